"""What an environment may ask for besides: ways to AWS and to the far store that stay inside, names, a registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from infra.policy.rules import broken
from tests.infra.test_policy import declared

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Run = Callable[..., Plan]

SERVICES = ["ec2messages", "ssm", "ssmmessages"]


def asking(run: Run, *lines: str) -> Plan:
    """Prod, which asks for more in its [infra]."""
    made = run("prod", {"budget_dollars": "\n".join([*lines, "budget_dollars"])})
    assert broken(declared(made)) == ()
    return made


def test_nothing_of_it_is_there_unless_it_is_asked_for(plan: Callable[[str], Plan]) -> None:
    optional = ("Endpoints", "PrivateLink", "Names", "Registry")

    assert [one.kind for one in plan("prod").made if one.kind.rpartition(":")[2] in optional] == []


def test_systems_manager_can_be_reached_without_leaving_the_vpc(run: Run) -> None:
    made = asking(run, "ssm_endpoints = true")
    public = [one.id for one in made.of(":Subnet") if one.name.startswith("network-public")]

    inside = [one.inputs for one in made.of(":VpcEndpoint", "inside-")]

    assert sorted(one["serviceName"].rpartition(".")[2] for one in inside) == SERVICES
    assert all({*one["subnetIds"]} == {*public} and one["privateDnsEnabled"] for one in inside)
    (way_in,) = [one.inputs for one in made.of(":SecurityGroupIngressRule", "inside-")]
    assert (way_in["cidrIpv4"], way_in["fromPort"]) == ("10.22.0.0/16", 443)


@pytest.fixture(scope="module")
def linked(run: Run) -> Plan:
    from tests.infra.cloud import Answers

    answers = Answers()
    answers.private = [{"srvConnectionString": "mongodb+srv://private.mongodb.example"}]
    return run("prod", {'tier = "M30"': 'tier = "M30"\nprivate_link = true'}, answers=answers)


def test_the_far_store_can_have_a_private_way_in_and_then_no_other(linked: Plan) -> None:
    endpoint = linked.one(":VpcEndpoint", "store-link")

    assert linked.of(":ProjectIpAccessList") == []
    assert (endpoint.inputs["serviceName"], endpoint.inputs["vpcEndpointType"]) == (
        "com.amazonaws.vpce.atlas",
        "Interface",
    )
    joined = linked.one(":PrivateLinkEndpointService").inputs
    assert (joined["endpointServiceId"], joined["privateLinkId"]) == (endpoint.id, "link")
    assert broken(declared(linked)) == ()


def test_nodes_are_told_the_private_address_and_may_reach_it_and_only_within_the_vpc(linked: Plan) -> None:
    facts = json.loads(linked.one(":Parameter", "facts-bos-a").inputs["value"])
    out = [one.inputs for one in linked.of(":SecurityGroupEgressRule") if one.name.endswith("-out-far-store-link")]

    assert "mongodb+srv://private.mongodb.example/" in json.dumps(facts)
    assert {(one["cidrIpv4"], one["fromPort"], one["toPort"]) for one in out} == {("10.22.0.0/16", 1024, 65535)}
    assert len(out) == len(linked.of(":EdgeZone")) + len(linked.of(":RegionZone"))


def test_a_cluster_without_its_private_address_says_what_to_do(run: Run) -> None:
    from infra.atlas_link import NoPrivateAddress

    with pytest.raises(NoPrivateAddress, match="Run `pulumi refresh`, then `pulumi up` again"):
        run("prod", {'tier = "M30"': 'tier = "M30"\nprivate_link = true'})


def test_a_zone_has_a_name_with_the_carrier_addresses_of_all_its_nodes(run: Run) -> None:
    made = asking(run, 'dns = { hosted_zone = "Z0123456789ABCDEFGHIJ", domain = "prod.example.com" }')
    told = json.loads(made.exports["outputs"])["nodes"]
    carriers = [node["carrier"] for node in told if node["zone"] == "BOS"]

    records = {one.inputs["name"]: one.inputs for one in made.of(":Record")}

    assert records.keys() == {"bos.prod.example.com", "dfw.prod.example.com", "region.prod.example.com"}
    assert (records["bos.prod.example.com"]["type"], records["bos.prod.example.com"]["records"]) == ("A", carriers)
    assert len(carriers) == 3
    region: Any = records["region.prod.example.com"]
    assert (region["type"], region["records"]) == ("CNAME", ["region.elb.example"])
    assert {one["zoneId"] for one in records.values()} == {"Z0123456789ABCDEFGHIJ"}


def test_a_registry_has_a_repository_for_each_application_whose_tags_stay(run: Run) -> None:
    made = asking(run, "registry = true")
    repositories = {one.inputs["name"]: one for one in made.of(":Repository")}

    assert repositories.keys() == {"turnabout/prod/c360", "turnabout/prod/mqtt"}
    mqtt = repositories["turnabout/prod/mqtt"]
    assert (mqtt.inputs["imageTagMutability"], mqtt.protect) == ("IMMUTABLE", True)
    assert mqtt.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    (rule,) = json.loads(made.one(":LifecyclePolicy", "registry-mqtt").inputs["policy"])["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"


def test_a_zone_s_nodes_may_pull_the_images_of_their_own_application_only(run: Run) -> None:
    made = asking(run, "registry = true")
    arns = {one.inputs["name"]: f"arn:aws:repository:{one.name}" for one in made.of(":Repository")}

    def pulls(role: str) -> list[str]:
        statements = json.loads(made.one(":RolePolicy", role).inputs["policy"])["Statement"]
        return [on for one in statements if "ecr:BatchGetImage" in one["Action"] for on in one["Resource"]]

    assert pulls("nodes-BOS") == pulls("nodes-DFW") == [arns["turnabout/prod/mqtt"]]
    assert pulls("nodes-region") == [arns["turnabout/prod/c360"]]


def test_a_zone_at_the_edge_has_certificates_that_its_own_nodes_alone_may_read(run: Run) -> None:
    dns = 'dns = { hosted_zone = "Z0123456789ABCDEFGHIJ", domain = "prod.example.com" }'
    made = asking(run, "device_tls = true", dns)
    parameters = {one.inputs["name"]: one for one in made.of(":Parameter", "tls-")}

    assert {path: one.inputs["type"] for path, one in parameters.items()} == {
        "/turnabout/prod/tls/devices": "String",
        "/turnabout/prod/tls/BOS": "SecureString",
        "/turnabout/prod/tls/DFW": "SecureString",
    }
    assert all((one.inputs["value"], one.ignores) == ("none", ("value",)) for one in parameters.values())

    def reads(role: str) -> str:
        return str(made.one(":RolePolicy", role).inputs["policy"])

    assert ["/tls/devices" in reads(f"nodes-{zone}") for zone in ("BOS", "DFW", "region")] == [True, True, False]
    assert ["/tls/BOS" in reads(f"nodes-{zone}") for zone in ("BOS", "DFW", "region")] == [True, False, False]


def test_only_where_mqtt_is_spoken_do_nodes_fetch_certificates_and_use_them(run: Run) -> None:
    dns = 'dns = { hosted_zone = "Z0123456789ABCDEFGHIJ", domain = "prod.example.com" }'
    made = asking(run, "device_tls = true", dns)

    def config(node: str) -> str:
        return str(made.one(":BucketObjectv2", f"nodes/{node}/haproxy.cfg").inputs["content"])

    assert "ssl crt /srv/turnabout/bos-a/tls/server.pem" in config("bos-a")
    assert "ssl" not in config("region-a")
    assert "pem /turnabout/prod/tls/BOS " in made.one(":Instance", "bos-a").inputs["userData"]
    assert "/tls/" not in made.one(":Instance", "region-a").inputs["userData"]
