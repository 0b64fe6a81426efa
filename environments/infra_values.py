"""What the infrastructure program receives of an environment: frozen values, read and checked before.

An environment that runs on one machine only has none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.infra_shapes import AtlasShape, InfraShape, is_wavelength

SHARED_TIERS = ("M0", "FLEX")


@dataclass(frozen=True, slots=True)
class AtlasSettings:
    """The far store. Empty texts: the cluster does not grow by itself; Atlas encrypts with a key of its own."""

    tier: str
    autoscale_to: str
    version: str
    backup: bool
    encryption_key: str
    private_link: bool
    grants: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Application to database.collection to actions; ``{zone}`` stands for the zone in small letters."""
    maintenance_day: int
    maintenance_hour: int

    @property
    def dedicated(self) -> bool:
        """Whether the cluster has machines of its own: only those have versions, backups and maintenance."""
        return self.tier not in SHARED_TIERS


@dataclass(frozen=True, slots=True)
class Subnet:
    """A network, and the availability zone or Wavelength zone that it lies in."""

    place: str
    cidr: str

    @property
    def wavelength(self) -> bool:
        return is_wavelength(self.place)


@dataclass(frozen=True, slots=True)
class Dns:
    """Where the names of the zones go, and what they end with."""

    hosted_zone: str
    domain: str


@dataclass(frozen=True, slots=True)
class Infra:
    """What runs where in the cloud. ``zones`` has the subnets of each fleet's zones, by the zone's name."""

    region: str
    vpc: str
    public: tuple[Subnet, ...]
    zones: Mapping[str, tuple[Subnet, ...]]
    fronts: Mapping[str, int]
    node_type: str
    image: str
    root_gb: int
    data_gb: int
    transport: str
    ssh_from: tuple[str, ...]
    certificate: str
    ssm_endpoints: bool
    registry: bool
    device_tls: bool
    dns: Dns | None
    controller_hosts: int
    protect: bool
    alerts_to: str
    budget_dollars: int
    tags: Mapping[str, str]
    atlas: AtlasSettings

    @property
    def wavelength_zones(self) -> tuple[str, ...]:
        """Every Wavelength zone that the environment uses, once."""
        places = (subnet.place for subnets in self.zones.values() for subnet in subnets if subnet.wavelength)
        return tuple(dict.fromkeys(places))


def infra_of(shape: InfraShape) -> Infra:
    return Infra(
        region=shape.region,
        vpc=shape.vpc,
        public=_subnets(shape.public),
        zones={zone: _subnets(places) for zone, places in shape.zones.items()},
        fronts=dict(shape.fronts),
        node_type=shape.node_type,
        image=shape.image,
        root_gb=shape.root_gb,
        data_gb=shape.data_gb,
        transport=shape.transport,
        ssh_from=tuple(shape.ssh_from),
        certificate=shape.certificate or "",
        ssm_endpoints=shape.ssm_endpoints,
        registry=shape.registry,
        device_tls=shape.device_tls,
        dns=Dns(shape.dns.hosted_zone, shape.dns.domain) if shape.dns else None,
        controller_hosts=shape.controller_hosts,
        protect=shape.protect,
        alerts_to=shape.alerts_to or "",
        budget_dollars=shape.budget_dollars,
        tags=dict(shape.tags),
        atlas=_atlas(shape.atlas),
    )


def _subnets(places: Mapping[str, str]) -> tuple[Subnet, ...]:
    return tuple(Subnet(place, cidr) for place, cidr in places.items())


def _atlas(shape: AtlasShape) -> AtlasSettings:
    return AtlasSettings(
        tier=shape.tier,
        autoscale_to=shape.autoscale_to or "",
        version=shape.version,
        backup=shape.backup,
        encryption_key=shape.encryption_key or "",
        private_link=shape.private_link,
        grants={
            app: {namespace: tuple(actions) for namespace, actions in rights.items()}
            for app, rights in shape.grants.items()
        },
        maintenance_day=shape.maintenance_day,
        maintenance_hour=shape.maintenance_hour,
    )
