"""The zones of an environment, each built as its place demands: what its nodes may do, and what each zone is told.

A zone whose subnet is a Wavelength zone is an ``EdgeZone``, any other one a ``RegionZone`` behind a load balancer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from environments import Infra
from infra import certificates, host_keys
from infra.artifacts import Artifacts
from infra.boot import Ssh, user_data
from infra.edge import EdgeZone, ZoneArgs
from infra.equipment import facts_path
from infra.labels import Labels
from infra.network import Network
from infra.region import RegionZone, RegionZoneArgs
from infra.roles import MachineRole, Right, RoleArgs
from infra.slot import MachineArgs, NodeSlot
from infra.slots import Slot, speaks_mqtt


@dataclass(frozen=True, slots=True)
class ZonesArgs:
    """What all zones share."""

    labels: Labels
    infra: Infra
    slots: Sequence[Slot]
    border_groups: Mapping[str, str]
    machine: MachineArgs
    network: Network
    artifacts: Artifacts
    roles: Mapping[str, MachineRole]
    controllers: pulumi.Input[str]
    """The group whose machines may observe, probe and reach the nodes."""
    bastion: pulumi.Input[str] | None
    authorised: str
    """The public key that may log in on nodes; empty where commands go another way."""


@dataclass(frozen=True, slots=True)
class Built:
    nodes: Mapping[str, NodeSlot]
    balancers: Mapping[str, pulumi.Output[str]]
    """Zone in the region to its load balancer's name."""


def roles(
    labels: Labels,
    infra: Infra,
    slots: Sequence[Slot],
    artifacts: Artifacts,
    more: Mapping[str, Sequence[Right]],
    opts: pulumi.ResourceOptions,
) -> dict[str, MachineRole]:
    """A role for the nodes of each zone: they read what they run and their own facts, no other zone's.

    ``more`` are rights that come with an application.
    """
    under = f"arn:aws:ssm:{infra.region}:*:parameter"
    objects = [pulumi.Output.concat(artifacts.bucket.arn, part) for part in ("/program/*", "/nodes/*", "/releases/*")]
    made: dict[str, MachineRole] = {}
    for zone in infra.zones:
        mine = [slot for slot in slots if slot.zone == zone]
        app = mine[0].app.name
        names = [facts_path(labels, slot.name) for slot in mine] + [labels.path("releases", app)]
        names += certificates.paths(labels, zone) if infra.device_tls and speaks_mqtt(mine[0]) else ()
        names += [host_keys.path(labels, slot.name) for slot in mine] if infra.ssh_from else []
        rights = [
            Right(["s3:GetObject"], objects),
            Right(["ssm:GetParameter"], [f"{under}{name}" for name in names]),
            *more.get(app, ()),
        ]
        made[zone] = MachineRole(f"nodes-{zone}", RoleArgs(labels, rights), opts)
    return made


def build(args: ZonesArgs, opts: pulumi.ResourceOptions) -> Built:
    """Every zone, with its nodes."""
    nodes: dict[str, NodeSlot] = {}
    balancers: dict[str, pulumi.Output[str]] = {}
    for zone in args.infra.zones:
        told = _zone(args, zone)
        if all(subnet.wavelength for subnet in told.subnets):
            nodes |= EdgeZone(zone, told, opts).slots
        else:
            behind = RegionZone(zone, _behind(args, told), opts)
            balancers[zone] = behind.address
            nodes |= behind.slots
    return Built(nodes, balancers)


def _zone(args: ZonesArgs, zone: str) -> ZoneArgs:
    infra, network = args.infra, args.network
    subnets, mine = infra.zones[zone], [slot for slot in args.slots if slot.zone == zone]
    routes = network.carrier_routes if all(subnet.wavelength for subnet in subnets) else network.private_routes
    assert routes is not None
    return ZoneArgs(
        labels=args.labels,
        zone=zone,
        subnets=subnets,
        slots=mine,
        fronts=[infra.fronts[port] for port in sorted(mine[0].app.modes)],
        vpc=network.vpc.id,
        routes=routes.id,
        machine=args.machine,
        data_gb=infra.data_gb,
        profile=args.roles[zone].profile.name,
        user_data={slot.name: _user_data(args, slot) for slot in mine},
        controllers=args.controllers,
        bastion=args.bastion,
        border_groups=dict(args.border_groups),
        linked=infra.vpc if infra.atlas.private_link else "",
    )


def _behind(args: ZonesArgs, zone: ZoneArgs) -> RegionZoneArgs:
    app = zone.slots[0].app
    return RegionZoneArgs(
        zone=zone,
        front=args.infra.fronts[app.ready_port],
        ready_path=app.ready_path,
        public_subnets=[subnet.id for subnet in args.network.public_subnets],
        inside=args.infra.vpc,
        certificate=args.infra.certificate,
    )


def _user_data(args: ZonesArgs, slot: Slot) -> pulumi.Output[str]:
    region, facts = args.infra.region, facts_path(args.labels, slot.name)
    release = args.labels.path("releases", slot.app.name)
    tls = certificates.paths(args.labels, slot.zone) if args.infra.device_tls and speaks_mqtt(slot) else None
    ssh = Ssh(host_keys.path(args.labels, slot.name), args.authorised) if args.bastion is not None else None
    text: pulumi.Output[str] = args.artifacts.bucket.bucket.apply(
        lambda bucket: user_data(slot.name, region, bucket, facts, release, tls, ssh)
    )
    return text
