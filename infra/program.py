"""The platform of one environment in the cloud, put together: its parts, and what each is told of the others.

One program serves every environment: what differs is read from ``environments/`` and handed on as values. No part reads
configuration, and nothing here or below asks for an environment's name in order to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_mongodbatlas as mongodbatlas

from environments import Environment, Infra
from infra.alarms import Alarms, AlarmsArgs
from infra.application import App
from infra.artifacts import Artifacts, ArtifactsArgs
from infra.atlas import Client, FarStore, FarStoreArgs
from infra.bastion import Bastion, BastionArgs
from infra.boot import user_data
from infra.controllers import Controllers, ControllersArgs
from infra.edge import EdgeZone, ZoneArgs
from infra.equipment import Equipment, EquipmentArgs, facts_path
from infra.labels import Labels
from infra.network import Network, NetworkArgs
from infra.preflight import Ground, ask
from infra.published import Published, PublishedArgs, Reached, token
from infra.region import RegionZone, RegionZoneArgs
from infra.roles import MachineRole, Right, RoleArgs
from infra.slot import MachineArgs, NodeSlot
from infra.slots import Slot, slots


class NotInCloud(Exception):
    """The environment's file has no [infra]; the message says so."""


@dataclass(frozen=True, slots=True)
class Account:
    """What belongs to whoever runs the platform, and not to one environment's data."""

    organisation: str
    """Of Atlas, in which the project is made."""
    repository: str
    trusted: tuple[str, ...]
    observe_key: pulumi.Output[str]
    """The secret that observers' tokens are made of."""
    node_program: Path


class Platform(pulumi.ComponentResource):
    """Everything of one environment. ``document`` is what the controller reads."""

    def __init__(self, environment: Environment, account: Account, apps: Mapping[str, App]) -> None:
        if environment.infra is None:
            file = f"environments/{environment.name}.toml"
            raise NotInCloud(
                f"{file} has no [infra], so there is nothing to build; environments/reference.toml shows one."
            )
        self.infra: Infra = environment.infra
        self.slots = slots(environment, self.infra, apps)
        self.account, self.labels = account, Labels(environment.name, self.infra.tags)
        cloud = aws.Provider("aws", region=self.infra.region)
        ground = ask(environment.name, self.infra, pulumi.InvokeOptions(provider=cloud))
        super().__init__(
            "turnabout:infra:Platform",
            environment.name,
            None,
            pulumi.ResourceOptions(providers=[cloud, mongodbatlas.Provider("mongodbatlas")]),
        )
        self.under = pulumi.ResourceOptions(parent=self)
        self.document = self._build(ground)
        self.register_outputs({})

    def _build(self, ground: Ground) -> pulumi.Output[str]:
        infra, labels = self.infra, self.labels
        machine = MachineArgs(ground.image, infra.node_type, infra.root_gb, infra.protect)
        network = Network(
            "network",
            NetworkArgs(
                labels=labels,
                region=infra.region,
                cidr=infra.vpc,
                public=infra.public,
                carrier=bool(infra.wavelength_zones),
                private=any(not subnet.wavelength for zone in infra.zones.values() for subnet in zone),
                protect=infra.protect,
            ),
            self.under,
        )
        artifacts = Artifacts(
            "artifacts",
            ArtifactsArgs(labels, sorted({slot.app.name for slot in self.slots}), infra.protect),
            self.under,
        )
        public = [subnet.id for subnet in network.public_subnets]
        controllers = Controllers(
            "controllers",
            ControllersArgs(
                labels=labels,
                region=infra.region,
                machine=machine,
                count=infra.controller_hosts,
                vpc=network.vpc.id,
                inside=infra.vpc,
                fronts=tuple(infra.fronts.values()),
                subnets=public,
            ),
            self.under,
        )
        bastion = (
            Bastion(
                "bastion",
                BastionArgs(labels, machine, network.vpc.id, infra.vpc, public[0], infra.ssh_from),
                self.under,
            )
            if infra.ssh_from
            else None
        )
        roles = {zone: self._role(zone, artifacts) for zone in infra.zones}
        nodes = self._zones(ground, machine, network, artifacts, controllers, bastion, roles)
        store = self._far_store(network, nodes, roles)
        Equipment("equipment", self._equipment(artifacts, store), self.under)
        published = Published("outputs", self._published(nodes, store, artifacts, bastion), self.under)
        releases = [parameter.arn for parameter in artifacts.releases.values()]
        controllers.run(artifacts.bucket.arn, releases, published.parameter)
        instances = {name: node.instance.id for name, node in nodes.items()}
        Alarms("alarms", AlarmsArgs(labels, infra.region, infra.alerts_to, infra.budget_dollars, instances), self.under)
        return published.document

    def _role(self, zone: str, artifacts: Artifacts) -> MachineRole:
        """What the nodes of one zone may do: read what they run and their own facts, no other zone's."""
        mine = [slot for slot in self.slots if slot.zone == zone]
        under = f"arn:aws:ssm:{self.infra.region}:*:parameter"
        names = [facts_path(self.labels, slot.name) for slot in mine] + [self.labels.path("releases", mine[0].app.name)]
        objects = [
            pulumi.Output.concat(artifacts.bucket.arn, part) for part in ("/program/*", "/nodes/*", "/releases/*")
        ]
        rights = [
            Right(["s3:GetObject"], objects),
            Right(["ssm:GetParameter"], [f"{under}{name}" for name in names]),
        ]
        return MachineRole(f"nodes-{zone}", RoleArgs(self.labels, rights), self.under)

    def _zones(
        self,
        ground: Ground,
        machine: MachineArgs,
        network: Network,
        artifacts: Artifacts,
        controllers: Controllers,
        bastion: Bastion | None,
        roles: Mapping[str, MachineRole],
    ) -> dict[str, NodeSlot]:
        nodes: dict[str, NodeSlot] = {}
        for zone, subnets in self.infra.zones.items():
            mine = [slot for slot in self.slots if slot.zone == zone]
            edge = all(subnet.wavelength for subnet in subnets)
            routes = network.carrier_routes if edge else network.private_routes
            assert routes is not None
            args = ZoneArgs(
                labels=self.labels,
                zone=zone,
                subnets=subnets,
                slots=mine,
                fronts=[self.infra.fronts[port] for port in sorted(mine[0].app.modes)],
                vpc=network.vpc.id,
                routes=routes.id,
                machine=machine,
                data_gb=self.infra.data_gb,
                profile=roles[zone].profile.name,
                user_data={slot.name: self._user_data(slot, artifacts) for slot in mine},
                controllers=controllers.group,
                bastion=bastion.group if bastion else None,
                border_groups=dict(ground.border_groups),
            )
            made = (
                EdgeZone(zone, args, self.under) if edge else RegionZone(zone, self._behind(args, network), self.under)
            )
            nodes |= made.slots
        return nodes

    def _behind(self, zone: ZoneArgs, network: Network) -> RegionZoneArgs:
        app = zone.slots[0].app
        return RegionZoneArgs(
            zone=zone,
            front=self.infra.fronts[app.ready_port],
            ready_path=app.ready_path,
            public_subnets=[subnet.id for subnet in network.public_subnets],
            inside=self.infra.vpc,
            certificate=self.infra.certificate,
        )

    def _user_data(self, slot: Slot, artifacts: Artifacts) -> pulumi.Output[str]:
        region, facts = self.infra.region, facts_path(self.labels, slot.name)
        text: pulumi.Output[str] = artifacts.bucket.bucket.apply(lambda name: user_data(slot.name, region, name, facts))
        return text

    def _far_store(self, network: Network, nodes: Mapping[str, NodeSlot], roles: Mapping[str, MachineRole]) -> FarStore:
        """Nodes at the edge come from their carrier addresses, those of the region through the way out."""
        grants = self.infra.atlas.grants
        apps = {slot.zone: slot.app.name for slot in self.slots}
        clients = {
            f"{app}_{zone.lower()}": Client(roles[zone].arn, _in_zone(grants[app], zone))
            for zone, app in apps.items()
            if app in grants
        }
        addresses = {slot.name: nodes[slot.name].carrier for slot in self.slots if slot.subnet.wavelength}
        out = {"region": network.way_out.public_ip} if network.way_out else {}
        return FarStore(
            "store",
            FarStoreArgs(
                labels=self.labels,
                organisation=self.account.organisation,
                region=self.infra.region,
                settings=self.infra.atlas,
                clients=clients,
                addresses={**addresses, **out},
                protect=self.infra.protect,
            ),
            self.under,
        )

    def _tokens(self) -> dict[str, pulumi.Output[str]]:
        environment, key = self.labels.environment, self.account.observe_key
        return {slot.name: key.apply(partial(token, environment=environment, node=slot.name)) for slot in self.slots}

    def _equipment(self, artifacts: Artifacts, store: FarStore) -> EquipmentArgs:
        return EquipmentArgs(
            labels=self.labels,
            slots=self.slots,
            fronts=self.infra.fronts,
            trusted=self.account.trusted,
            node_program=self.account.node_program,
            bucket=artifacts.bucket.bucket,
            mongo_uri=store.uri,
            tokens=self._tokens(),
        )

    def _published(
        self, nodes: Mapping[str, NodeSlot], store: FarStore, artifacts: Artifacts, bastion: Bastion | None
    ) -> PublishedArgs:
        return PublishedArgs(
            labels=self.labels,
            region=self.infra.region,
            transport=self.infra.transport,
            repository=self.account.repository,
            trusted=self.account.trusted,
            slots=self.slots,
            fronts=self.infra.fronts,
            reached={name: Reached(node.instance.id, node.carrier) for name, node in nodes.items()},
            tokens=self._tokens(),
            mongo_uri=store.uri,
            bastion=bastion.address if bastion else "",
            bucket=artifacts.bucket.bucket,
            releases={app: self.labels.path("releases", app) for app in artifacts.releases},
        )


def _in_zone(rights: Mapping[str, tuple[str, ...]], zone: str) -> dict[str, tuple[str, ...]]:
    return {namespace.replace("{zone}", zone.lower()): actions for namespace, actions in rights.items()}
