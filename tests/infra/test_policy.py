"""Each guard rail goes red on the one thing that it is there for, and the shipped environments break none."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infra.policy import rules
from infra.policy.rules import Declared, broken

if TYPE_CHECKING:
    from tests.infra.cloud import Plan


def declared(plan: Plan) -> list[Declared]:
    """What the monitor kept, as the rules read it."""
    names = {one.id: one.name for one in plan.clouds()}
    return [
        Declared(
            one.kind.rpartition(":")[2],
            one.name,
            one.inputs,
            {key: names[value] for key, value in one.inputs.items() if isinstance(value, str) and value in names},
            one.protect,
        )
        for one in plan.clouds()
    ]


@pytest.mark.parametrize("stack", ["dev", "stage", "prod"])
def test_the_shipped_environments_break_no_rule(plan: Callable[[str], Plan], stack: str) -> None:
    assert broken(declared(plan(stack))) == ()


def one(
    kind: str, name: str = "x", refs: dict[str, str] | None = None, protected: bool = False, **inputs: Any
) -> Declared:
    return Declared(kind, name, inputs, refs or {}, protected)


TAGS = {"turnabout:environment": "dev"}
BOS = "us-east-1-wl1-bos-wlz-1"
CLUSTER: dict[str, Any] = {
    "encryptionAtRestProvider": "AWS",
    "backupEnabled": True,
    "terminationProtectionEnabled": True,
    "replicationSpecs": [{"regionConfigs": [{"electableSpecs": {"instanceSize": "M10"}}]}],
}
SHARED = [{"regionConfigs": [{"electableSpecs": {"instanceSize": "M0"}}]}]
GOOD: tuple[Declared, ...] = (
    one("SecurityGroupIngressRule", "ssh", ipProtocol="tcp", fromPort=22, toPort=22, cidrIpv4="198.51.100.0/24"),
    one("SecurityGroupIngressRule", "front", ipProtocol="tcp", fromPort=1883, toPort=1883, cidrIpv4="0.0.0.0/0"),
    one(
        "Instance",
        "bos-a",
        {"subnetId": "bos"},
        tags=TAGS,
        metadataOptions={"httpTokens": "required"},
        rootBlockDevice={"encrypted": True},
    ),
    one("Volume", "data", tags=TAGS, protected=True, availabilityZone=BOS, type="gp2", encrypted=True),
    one("Subnet", "bos", tags=TAGS, availabilityZone=BOS, cidrBlock="10.0.1.0/24"),
    one("Subnet", "public", tags=TAGS, cidrBlock="10.0.2.0/24"),
    one("RouteTableAssociation", "bos", {"subnetId": "bos", "routeTableId": "carrier"}),
    one("Route", "out", {"routeTableId": "carrier"}, carrierGatewayId="cagw-1"),
    one("Route", "public", {"routeTableId": "public"}, gatewayId="igw-1"),
    one("CarrierGateway", "carrier", tags=TAGS),
    one("Eip", "bos-a", tags=TAGS, networkBorderGroup=BOS),
    one("EipAssociation", "bos-a", {"instanceId": "bos-a", "allocationId": "bos-a"}),
    one("ProjectIpAccessList", "bos-a", ipAddress="155.146.0.1"),
    one("Bucket", "artifacts", tags=TAGS, protected=True),
    one(
        "BucketPublicAccessBlock",
        "artifacts",
        {"bucket": "artifacts"},
        blockPublicAcls=True,
        blockPublicPolicy=True,
        ignorePublicAcls=True,
        restrictPublicBuckets=True,
    ),
    one("BucketVersioning", "artifacts", {"bucket": "artifacts"}, versioningConfiguration={"status": "Enabled"}),
    one(
        "Repository", "mqtt", tags=TAGS, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True}
    ),
    one("EncryptionAtRest", "store"),
    one("AdvancedCluster", "store", protected=True, **CLUSTER),
    one("RolePolicy", "nodes", policy='{"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"]}]}'),
)


def but(
    kind: str, name: str, refs: dict[str, str] | None = None, protected: bool | None = None, **inputs: Any
) -> list[Declared]:
    """The good ones, one of them with other inputs."""
    found = [one for one in GOOD if (one.kind, one.name) == (kind, name)]
    assert len(found) == 1
    changed = dataclasses.replace(
        found[0], inputs={**found[0].inputs, **inputs}, refs={**found[0].refs, **(refs or {})},
        protected=found[0].protected if protected is None else protected,
    )  # fmt: skip
    return [changed if one is found[0] else one for one in GOOD]


RED: list[tuple[str, Sequence[Declared], str]] = [
    (
        "no_administration_from_the_world",
        but("SecurityGroupIngressRule", "ssh", cidrIpv4="0.0.0.0/0"),
        "SecurityGroupIngressRule ssh lets the whole world try port 22; name your own networks in infra.ssh_from",
    ),
    (
        "no_administration_from_the_world",
        but("SecurityGroupIngressRule", "front", fromPort=1000, toPort=4000),
        "SecurityGroupIngressRule front lets the whole world try port 3389; name your own networks in infra.ssh_from",
    ),
    (
        "no_administration_from_the_world",
        but("SecurityGroupIngressRule", "front", ipProtocol="-1", cidrIpv4=None, cidrIpv6="::/0"),
        "SecurityGroupIngressRule front lets the whole world try port 22; name your own networks in infra.ssh_from",
    ),
    (
        "metadata_by_token_only",
        but("Instance", "bos-a", metadataOptions={"httpTokens": "optional"}),
        "Instance bos-a gives its role's credentials to any request; set metadata_options http_tokens to required",
    ),
    (
        "disks_encrypted",
        but("Volume", "data", encrypted=False),
        "Volume data has a disk that is not encrypted; set encrypted",
    ),
    (
        "disks_encrypted",
        but("Instance", "bos-a", rootBlockDevice={}),
        "Instance bos-a has a disk that is not encrypted; set encrypted",
    ),
    (
        "volumes_that_wavelength_has",
        but("Volume", "data", type="gp3"),
        f"Volume data is of type gp3, and {BOS} has gp2; write gp2",
    ),
    (
        "edge_never_routes_to_the_internet",
        but("RouteTableAssociation", "bos", {"routeTableId": "public"}),
        "Route public leads from a Wavelength zone to something else than the carrier gateway; take it out",
    ),
    (
        "one_carrier_gateway",
        [*GOOD, one("CarrierGateway", "second", tags=TAGS)],
        "CarrierGateway second is one too many: a VPC has at most one carrier gateway, and carrier is it",
    ),
    (
        "addresses_of_the_node_s_own_zone",
        but("Eip", "bos-a", networkBorderGroup="us-east-1-wl1-dfw-wlz-1"),
        f"EipAssociation bos-a gives a node of {BOS} an address of us-east-1-wl1-dfw-wlz-1; take one of {BOS}",
    ),
    (
        "addresses_of_the_node_s_own_zone",
        but("Eip", "bos-a", networkBorderGroup=None),
        f"EipAssociation bos-a gives a node of {BOS} an address of the region; take one of {BOS}",
    ),
    (
        "networks_apart",
        but("Subnet", "public", cidrBlock="10.0.0.0/22"),
        "Subnet public has addresses of Subnet bos, which is 10.0.1.0/24; 10.0.0.0/22 must be another",
    ),
    (
        "all_is_protected_or_nothing",
        but("Bucket", "artifacts", protected=False),
        "Bucket artifacts may be deleted while others here may not; protect it as well, as infra.protect does",
    ),
    (
        "what_is_protected_is_backed_up",
        but("AdvancedCluster", "store", backupEnabled=False),
        "AdvancedCluster store is protected and nobody backs it up; set backup_enabled",
    ),
    (
        "what_is_protected_is_backed_up",
        but("AdvancedCluster", "store", replicationSpecs=SHARED),
        "AdvancedCluster store is protected and of a tier that others share; take M10 or above",
    ),
    (
        "what_is_protected_is_backed_up",
        but("AdvancedCluster", "store", terminationProtectionEnabled=False),
        "AdvancedCluster store is protected here and not in Atlas; set termination_protection_enabled",
    ),
    (
        "far_store_not_open",
        but("ProjectIpAccessList", "bos-a", cidrBlock="0.0.0.0/0"),
        "ProjectIpAccessList bos-a lets the whole world connect to the far store; name single addresses",
    ),
    (
        "everything_tagged",
        but("Eip", "bos-a", tags={"Name": "bos-a"}),
        "Eip bos-a does not say whose it is; give it the tag turnabout:environment",
    ),
    (
        "buckets_private_and_versioned",
        but("BucketPublicAccessBlock", "artifacts", blockPublicAcls=False),
        "Bucket artifacts may become public; give it a BucketPublicAccessBlock that blocks all four",
    ),
    (
        "buckets_private_and_versioned",
        but("BucketVersioning", "artifacts", versioningConfiguration={"status": "Suspended"}),
        "Bucket artifacts forgets what is overwritten; give it a BucketVersioning that is Enabled",
    ),
    (
        "images_that_stay_what_they_are",
        but("Repository", "mqtt", imageTagMutability="MUTABLE"),
        "Repository mqtt lets a tag name another image tomorrow; set image_tag_mutability to IMMUTABLE",
    ),
    (
        "images_that_stay_what_they_are",
        but("Repository", "mqtt", imageScanningConfiguration={}),
        "Repository mqtt takes images that nobody looked at; set scan_on_push",
    ),
    (
        "own_key_is_used",
        but("AdvancedCluster", "store", encryptionAtRestProvider="NONE"),
        "AdvancedCluster store does not use the key that EncryptionAtRest store brings; set "
        "encryption_at_rest_provider to AWS",
    ),
    (
        "private_way_is_the_only_one",
        [*GOOD, one("PrivateLinkEndpointService", "store-link")],
        "ProjectIpAccessList bos-a opens the far store beside its private way in; take it out",
    ),
    (
        "no_action_for_everything",
        but("RolePolicy", "nodes", policy='{"Statement": [{"Effect": "Allow", "Action": "s3:*"}]}'),
        "RolePolicy nodes allows s3:*; name each action",
    ),
]


def resource(kind: str, name: str, props: dict[str, Any], **refs: Any) -> Any:
    """A resource as Pulumi hands it to a policy, its unknown values behind a proxy."""
    policy: Any = pytest.importorskip("pulumi_policy")
    proxy: Any = importlib.import_module("pulumi_policy.proxy")
    opts = policy.PolicyResourceOptions(False, [], False, [], policy.PolicyCustomTimeouts(0, 0, 0), [])
    depends = {key: [of] for key, of in refs.items()}
    return policy.PolicyResource(kind, proxy.unknown_checking_proxy(props), name, name, opts, None, None, [], depends)


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # what Pulumi sends for a text that is not known yet


def test_in_a_preview_the_rules_hear_whose_a_value_will_be() -> None:
    subnet = resource("aws:ec2/subnet:Subnet", "bos", {"availabilityZone": BOS, "tags": TAGS})
    table = resource("aws:ec2/routeTable:RouteTable", "carrier", {})
    gateway = resource("aws:ec2/carrierGateway:CarrierGateway", "gate", {"tags": TAGS, "vpcId": UNKNOWN})
    ids = {"subnetId": UNKNOWN, "routeTableId": UNKNOWN}
    link = resource("aws:ec2/a:RouteTableAssociation", "bos", ids, subnetId=subnet, routeTableId=table)
    pack: Any = importlib.import_module("infra.policy.pack")

    def route(through: str) -> Any:
        return resource("aws:ec2/route:Route", "out", {through: UNKNOWN}, routeTableId=table, **{through: gateway})

    right = pack.declared([subnet, table, gateway, link, route("carrierGatewayId")])
    wrong = pack.declared([subnet, table, gateway, link, route("gatewayId")])

    assert "vpcId" not in right[2].inputs
    assert broken(right) == ()
    assert broken(wrong) == (
        "Route out leads from a Wavelength zone to something else than the carrier gateway; take it out",
    )


def test_the_pack_asks_every_rule_and_each_must_hold() -> None:
    pytest.importorskip("pulumi_policy")
    pack: Any = importlib.import_module("infra.policy.pack")
    heard: list[str] = []

    for policy in pack.policies():
        open_world = resource(
            "aws:vpc/x:SecurityGroupIngressRule",
            "ssh",
            {"fromPort": 22, "toPort": 22, "ipProtocol": "tcp", "cidrIpv4": "0.0.0.0/0"},
        )
        policy.validate(SimpleNamespace(resources=[open_world]), lambda sentence, urn=None: heard.append(sentence))

    assert len(pack.policies()) == len(rules.RULES)
    assert {policy.enforcement_level.value for policy in pack.policies()} == {"mandatory"}
    assert [sentence.split(";")[0] for sentence in heard] == [
        "SecurityGroupIngressRule ssh lets the whole world try port 22"
    ]


def test_what_is_good_breaks_no_rule() -> None:
    assert broken(GOOD) == ()


@pytest.mark.parametrize(("rule", "found", "said"), RED, ids=[f"{row[0]} {n}" for n, row in enumerate(RED)])
def test_a_rule_goes_red_and_no_other_does(rule: str, found: Sequence[Declared], said: str) -> None:
    assert tuple(getattr(rules, rule)(found)) == broken(found) == (said,)


def test_every_rule_was_seen_red() -> None:
    assert {rule.__name__ for rule in rules.RULES} == {row[0] for row in RED}
