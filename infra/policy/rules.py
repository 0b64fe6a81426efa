"""Guard rails: what nobody may build, as plain functions over what a program declares. Pure.

Each rule yields sentences about one resource, or about how several hang together. They speak of declared inputs, as
Pulumi spells them; where a value is known only after `up`, ``Declared.refs`` says whose it will be. What a setting may
not say is in ``environments``; that a zone or a machine is offered is asked in ``preflight.py``.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import combinations
from typing import Any

WORLD = ("0.0.0.0/0", "::/0")
ADMIN_PORTS = (22, 3389)
TAG = "turnabout:environment"
TAGGED = (
    "Instance",
    "Volume",
    "Vpc",
    "Subnet",
    "Eip",
    "SecurityGroup",
    "Bucket",
    "LoadBalancer",
    "CarrierGateway",
    "Role",
    "Repository",
)


KEPT = ("Volume", "Bucket", "AdvancedCluster", "FlexCluster")
"""What cannot be made again: the data in it is gone with it."""
SHARED_TIERS = ("M0", "M2", "M5")


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource: its kind without the package's path, such as ``Instance``, and what was declared."""

    kind: str
    name: str
    inputs: Mapping[str, Any]
    refs: Mapping[str, str]
    """Input to the name of the resource (of any kind) whose value it is."""
    protected: bool = False
    """Whether Pulumi refuses to delete it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Rule = Callable[[Sequence[Declared]], Iterator[str]]


def no_administration_from_the_world(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "SecurityGroupIngressRule"):
        source = one.inputs.get("cidrIpv4") or one.inputs.get("cidrIpv6")
        every = one.inputs.get("ipProtocol") == "-1"
        first, last = (0, 65535) if every else (one.inputs.get("fromPort", 0), one.inputs.get("toPort", 65535))
        open_ports = [port for port in ADMIN_PORTS if first <= port <= last]
        if source in WORLD and open_ports:
            yield f"{one} lets the whole world try port {open_ports[0]}; name your own networks in infra.ssh_from"


def metadata_by_token_only(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "Instance", "LaunchTemplate"):
        if (one.inputs.get("metadataOptions") or {}).get("httpTokens") != "required":
            yield f"{one} gives its role's credentials to any request; set metadata_options http_tokens to required"


def disks_encrypted(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "Volume", "Instance"):
        disk = one.inputs if one.kind == "Volume" else one.inputs.get("rootBlockDevice") or {}
        if disk.get("encrypted") is not True:
            yield f"{one} has a disk that is not encrypted; set encrypted"


def volumes_that_wavelength_has(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "Volume"):
        if is_edge(one) and one.inputs.get("type") != "gp2":
            yield f"{one} is of type {one.inputs.get('type')}, and {one.inputs['availabilityZone']} has gp2; write gp2"


def edge_never_routes_to_the_internet(declared: Sequence[Declared]) -> Iterator[str]:
    edge = {one.name for one in of(declared, "Subnet") if is_edge(one)}
    tables = {
        one.refs.get("routeTableId")
        for one in of(declared, "RouteTableAssociation")
        if one.refs.get("subnetId") in edge
    }
    for one in of(declared, "Route"):
        if one.refs.get("routeTableId") in tables and not said(one, "carrierGatewayId"):
            yield f"{one} leads from a Wavelength zone to something else than the carrier gateway; take it out"


def one_carrier_gateway(declared: Sequence[Declared]) -> Iterator[str]:
    gateways = of(declared, "CarrierGateway")
    for one in gateways[1:]:
        yield f"{one} is one too many: a VPC has at most one carrier gateway, and {gateways[0].name} is it"


def addresses_of_the_node_s_own_zone(declared: Sequence[Declared]) -> Iterator[str]:
    subnets = {one.name: one.inputs.get("availabilityZone") for one in of(declared, "Subnet")}
    zones = {one.name: subnets.get(one.refs.get("subnetId", "")) for one in of(declared, "Instance")}
    groups = {one.name: one.inputs.get("networkBorderGroup") for one in of(declared, "Eip")}
    for one in of(declared, "EipAssociation"):
        zone, group = zones.get(one.refs.get("instanceId", "")), groups.get(one.refs.get("allocationId", ""))
        if zone and "-wlz-" in zone and group != zone:
            yield f"{one} gives a node of {zone} an address of {group or 'the region'}; take one of {zone}"


def networks_apart(declared: Sequence[Declared]) -> Iterator[str]:
    known = [one for one in of(declared, "Subnet") if one.inputs.get("cidrBlock")]
    for first, second in combinations(known, 2):
        cidr = second.inputs["cidrBlock"]
        if ip_network(first.inputs["cidrBlock"]).overlaps(ip_network(cidr)):
            yield f"{second} has addresses of {first}, which is {first.inputs['cidrBlock']}; {cidr} must be another"


def all_is_protected_or_nothing(declared: Sequence[Declared]) -> Iterator[str]:
    kept = of(declared, *KEPT)
    if not any(one.protected for one in kept):
        return
    for one in kept:
        if not one.protected:
            yield f"{one} may be deleted while others here may not; protect it as well, as infra.protect does"


def what_is_protected_is_backed_up(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "AdvancedCluster", "FlexCluster"):
        if not one.protected:
            continue
        if one.kind == "FlexCluster" or tiers(one) & {*SHARED_TIERS}:
            yield f"{one} is protected and of a tier that others share; take M10 or above"
        elif one.inputs.get("backupEnabled") is not True:
            yield f"{one} is protected and nobody backs it up; set backup_enabled"
        if one.inputs.get("terminationProtectionEnabled") is not True:
            yield f"{one} is protected here and not in Atlas; set termination_protection_enabled"


def far_store_not_open(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "ProjectIpAccessList"):
        if one.inputs.get("cidrBlock") in WORLD or one.inputs.get("ipAddress") == "0.0.0.0":
            yield f"{one} lets the whole world connect to the far store; name single addresses"


def everything_tagged(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, *TAGGED):
        if TAG not in (one.inputs.get("tags") or {}):
            yield f"{one} does not say whose it is; give it the tag {TAG}"


def buckets_private_and_versioned(declared: Sequence[Declared]) -> Iterator[str]:
    shut = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    private = {
        one.refs.get("bucket")
        for one in of(declared, "BucketPublicAccessBlock")
        if all(one.inputs.get(key) is True for key in shut)
    }
    versioned = {
        one.refs.get("bucket")
        for one in of(declared, "BucketVersioning")
        if (one.inputs.get("versioningConfiguration") or {}).get("status") == "Enabled"
    }
    for one in of(declared, "Bucket"):
        if one.name not in private:
            yield f"{one} may become public; give it a BucketPublicAccessBlock that blocks all four"
        if one.name not in versioned:
            yield f"{one} forgets what is overwritten; give it a BucketVersioning that is Enabled"


def images_that_stay_what_they_are(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "Repository"):
        if one.inputs.get("imageTagMutability") != "IMMUTABLE":
            yield f"{one} lets a tag name another image tomorrow; set image_tag_mutability to IMMUTABLE"
        if (one.inputs.get("imageScanningConfiguration") or {}).get("scanOnPush") is not True:
            yield f"{one} takes images that nobody looked at; set scan_on_push"


def own_key_is_used(declared: Sequence[Declared]) -> Iterator[str]:
    for key in of(declared, "EncryptionAtRest"):
        for one in of(declared, "AdvancedCluster"):
            if one.inputs.get("encryptionAtRestProvider") != "AWS":
                yield f"{one} does not use the key that {key} brings; set encryption_at_rest_provider to AWS"


def private_way_is_the_only_one(declared: Sequence[Declared]) -> Iterator[str]:
    if of(declared, "PrivateLinkEndpointService"):
        for one in of(declared, "ProjectIpAccessList"):
            yield f"{one} opens the far store beside its private way in; take it out"


def no_action_for_everything(declared: Sequence[Declared]) -> Iterator[str]:
    for one in of(declared, "RolePolicy", "Policy"):
        text = one.inputs.get("policy")
        statements = json.loads(text).get("Statement", []) if isinstance(text, str) else []
        for statement in statements:
            actions = statement.get("Action", [])
            listed = [actions] if isinstance(actions, str) else actions
            if statement.get("Effect") == "Allow" and (wide := [action for action in listed if "*" in action]):
                yield f"{one} allows {wide[0]}; name each action"


def of(declared: Sequence[Declared], *kinds: str) -> list[Declared]:
    return [one for one in declared if one.kind in kinds]


def said(one: Declared, key: str) -> bool:
    """Whether an input has a value, or will have one that another resource gives it."""
    return bool(one.inputs.get(key) or one.refs.get(key))


def tiers(cluster: Declared) -> set[str]:
    regions = [one for spec in cluster.inputs.get("replicationSpecs") or () for one in spec.get("regionConfigs") or ()]
    return {str((one.get("electableSpecs") or {}).get("instanceSize")) for one in regions}


def is_edge(one: Declared) -> bool:
    return "-wlz-" in str(one.inputs.get("availabilityZone", ""))


RULES: tuple[Rule, ...] = (
    no_administration_from_the_world,
    metadata_by_token_only,
    disks_encrypted,
    volumes_that_wavelength_has,
    edge_never_routes_to_the_internet,
    one_carrier_gateway,
    addresses_of_the_node_s_own_zone,
    networks_apart,
    all_is_protected_or_nothing,
    what_is_protected_is_backed_up,
    far_store_not_open,
    everything_tagged,
    buckets_private_and_versioned,
    images_that_stay_what_they_are,
    own_key_is_used,
    private_way_is_the_only_one,
    no_action_for_everything,
)


def broken(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Every sentence of every rule; none, if the program may be built."""
    return tuple(sentence for rule in RULES for sentence in rule(declared))
