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
from infra import host_keys, zones
from infra.alarms import Alarms, AlarmsArgs
from infra.application import App
from infra.artifacts import Artifacts, ArtifactsArgs
from infra.atlas import Client, FarStore, FarStoreArgs
from infra.atlas_link import Ways
from infra.bastion import Bastion, BastionArgs
from infra.boot import Ssh
from infra.certificates import Certificates, CertificatesArgs
from infra.controllers import Controllers, ControllersArgs
from infra.endpoints import Endpoints, EndpointsArgs
from infra.equipment import Equipment, EquipmentArgs
from infra.labels import Labels
from infra.names import Names, NamesArgs
from infra.network import Network, NetworkArgs
from infra.preflight import Ground, ask
from infra.published import BASTION, Published, PublishedArgs, Reached, token
from infra.registry import Registry, RegistryArgs
from infra.roles import MachineRole
from infra.slot import MachineArgs, NodeSlot
from infra.slots import slots, speaks_mqtt


class NobodyLetIn(Exception):
    """Commands are to go by SSH, and no key may log in; the message says how to name one."""


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
    ssh_key: str = ""
    """The controllers' public SSH key, which nodes and bastion let in where commands go by SSH."""


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
        self.authorised = authorised(environment.name, self.infra, account)
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
        apps = sorted({slot.app.name for slot in self.slots})
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
            ArtifactsArgs(labels, apps, infra.protect),
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
        keys = self._host_keys()
        bastion = (
            Bastion(
                BASTION,
                BastionArgs(
                    labels=labels,
                    machine=machine,
                    vpc=network.vpc.id,
                    inside=infra.vpc,
                    subnet=public[0],
                    controllers=controllers.group,
                    ssh_from=infra.ssh_from,
                    region=infra.region,
                    ssh=Ssh(host_keys.path(labels, BASTION), self.authorised),
                ),
                self.under,
            )
            if infra.ssh_from
            else None
        )
        registry = (
            Registry("registry", RegistryArgs(labels, apps, infra.protect), self.under) if infra.registry else None
        )
        pull = registry.pull if registry else {}
        roles = zones.roles(labels, infra, self.slots, artifacts, pull, self.under)
        built = zones.build(
            zones.ZonesArgs(
                labels=labels,
                infra=infra,
                slots=self.slots,
                border_groups=ground.border_groups,
                machine=machine,
                network=network,
                artifacts=artifacts,
                roles=roles,
                controllers=controllers.group,
                bastion=bastion.group if bastion else None,
                authorised=self.authorised,
            ),
            self.under,
        )
        nodes = built.nodes
        self._ways_in(network, built)
        store = self._far_store(network, nodes, roles)
        Equipment("equipment", self._equipment(artifacts, store), self.under)
        published = Published("outputs", self._published(nodes, store, artifacts, bastion, keys), self.under)
        releases = [parameter.arn for parameter in artifacts.releases.values()]
        controllers.run(artifacts.bucket.arn, releases, published.parameter)
        instances = {name: node.instance.id for name, node in nodes.items()}
        Alarms("alarms", AlarmsArgs(labels, infra.region, infra.alerts_to, infra.budget_dollars, instances), self.under)
        return published.document

    def _ways_in(self, network: Network, built: zones.Built) -> None:
        """What an environment may ask for besides: ways to AWS inside the VPC, certificates, and names."""
        infra = self.infra
        if infra.ssm_endpoints:
            subnets = [subnet.id for subnet in network.public_subnets]
            Endpoints(
                "inside", EndpointsArgs(self.labels, infra.region, network.vpc.id, infra.vpc, subnets), self.under
            )
        if infra.device_tls:
            mqtt = sorted({slot.zone for slot in self.slots if speaks_mqtt(slot)})
            Certificates("tls", CertificatesArgs(self.labels, mqtt), self.under)
        if infra.dns:
            carriers: dict[str, list[pulumi.Input[str]]] = {}
            for slot in self.slots:
                if slot.subnet.wavelength:
                    carriers.setdefault(slot.zone, []).append(built.nodes[slot.name].carrier)
            Names("names", NamesArgs(infra.dns.hosted_zone, infra.dns.domain, carriers, built.balancers), self.under)

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
                ways=Ways(network.vpc.id, self.infra.vpc, [subnet.id for subnet in network.public_subnets]),
                protect=self.infra.protect,
            ),
            self.under,
        )

    def _host_keys(self) -> Mapping[str, pulumi.Output[str]]:
        """The public halves of every machine that SSH leads to; none without a bastion."""
        if not self.infra.ssh_from:
            return {}
        machines = [BASTION, *(slot.name for slot in self.slots)]
        args = host_keys.HostKeysArgs(self.labels, self.account.observe_key, machines)
        return host_keys.HostKeys("host-keys", args, self.under).public

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
            tls=self.infra.device_tls,
        )

    def _published(
        self,
        nodes: Mapping[str, NodeSlot],
        store: FarStore,
        artifacts: Artifacts,
        bastion: Bastion | None,
        keys: Mapping[str, pulumi.Output[str]],
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
            host_keys=keys,
            bucket=artifacts.bucket.bucket,
            releases={app: self.labels.path("releases", app) for app in artifacts.releases},
        )


def authorised(environment: str, infra: Infra, account: Account) -> str:
    """Whose key may log in: the controllers', and only where they come that way. Raises NobodyLetIn."""
    if infra.transport != "ssh":
        return ""
    if not account.ssh_key:
        raise NobodyLetIn(
            f"{environment} is commanded by SSH, and no key of the controllers may log in. Write its public half: "
            '`pulumi config set sshKey "$(ssh-keygen -y -f keys/ssh.key)"`.'
        )
    return account.ssh_key


def _in_zone(rights: Mapping[str, tuple[str, ...]], zone: str) -> dict[str, tuple[str, ...]]:
    return {namespace.replace("{zone}", zone.lower()): actions for namespace, actions in rights.items()}
