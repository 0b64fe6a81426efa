"""What changes a stack that is up: its file, somebody's hand, and what the guard does not let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.account import Account

pytestmark = pytest.mark.timeout(600)


def machines(account: Account) -> dict[str, str]:
    """The ids of demo's machines that run, to their types."""
    running = [
        {"Name": "instance-state-name", "Values": ["running"]},
        {"Name": "tag:turnabout:environment", "Values": ["demo"]},
    ]
    found = account.aws.client("ec2").describe_instances(Filters=running)["Reservations"]
    return {one["InstanceId"]: one["InstanceType"] for reservation in found for one in reservation["Instances"]}


def test_another_machine_type_changes_the_machines_and_replaces_none(demo: Account) -> None:
    before = machines(demo)
    with demo.edited("demo", {"[infra]": '[infra]\nnode_type = "t3.xlarge"'}):
        preview, up = demo.turnabout("preview", "demo"), demo.turnabout("up", "demo")

    assert preview.out.splitlines()[:2] == [
        "~ mia-a (ec2 Instance): instanceType",
        "~ mia-b (ec2 Instance): instanceType",
    ]
    assert preview.said.startswith("demo: 2 to change, ")
    assert up.said.startswith("demo: 2 changed, ")
    assert machines(demo) == dict.fromkeys(before, "t3.xlarge")


def test_what_was_changed_by_hand_is_seen_and_put_right(demo: Account) -> None:
    ec2, ssm = demo.aws.client("ec2"), demo.aws.client("ssm")
    (network,) = (one["id"] for one in demo.state("demo") if one["type"] == "aws:ec2/vpc:Vpc")
    opening = next(one for one in demo.state("demo") if one["urn"].endswith("::MIA-nodes-in-front-1883"))
    ec2.create_tags(Resources=[network], Tags=[{"Key": "by", "Value": "hand"}])
    ec2.revoke_security_group_ingress(
        GroupId=opening["inputs"]["securityGroupId"], SecurityGroupRuleIds=[opening["id"]]
    )
    ssm.put_parameter(Name="/turnabout/demo/releases/mqtt", Value="sha256:1", Overwrite=True)  # the controller's

    seen = demo.turnabout("refresh", "demo")
    assert seen.code == 2
    assert "- MIA-nodes-in-front-1883 (vpc SecurityGroupIngressRule)" in seen.out
    assert "~ network (ec2 Vpc): tags.by" in seen.out
    assert "Nothing was changed." in seen.out

    assert demo.turnabout("up", "demo").code == 0
    again = demo.turnabout("refresh", "demo")
    assert (again.code, again.said) == (0, "demo: nothing to do")
    assert ssm.get_parameter(Name="/turnabout/demo/releases/mqtt")["Parameter"]["Value"] == "sha256:1"


def test_a_route_that_was_sent_another_way_is_sent_back(demo: Account) -> None:
    ec2 = demo.aws.client("ec2")
    (route,) = (one["inputs"] for one in demo.state("demo") if one["urn"].endswith("::network-carrier-default"))
    (internet,) = (one["id"] for one in demo.state("demo") if one["type"] == "aws:ec2/internetGateway:InternetGateway")
    table = route["routeTableId"]
    ec2.replace_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=internet)

    seen = demo.turnabout("refresh", "demo")
    assert seen.code == 2
    assert "~ network-carrier-default (ec2 Route): carrierGatewayId" in seen.out

    assert demo.turnabout("up", "demo").said.startswith("demo: 1 changed, ")
    (there,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    default = next(one for one in there["Routes"] if one.get("DestinationCidrBlock") == "0.0.0.0/0")
    assert default["CarrierGatewayId"] == route["carrierGatewayId"]
    assert "GatewayId" not in default


def test_more_deletions_than_allowed_are_refused_and_nothing_is_touched(demo: Account) -> None:
    done = len(demo.provider.done)
    with demo.edited("demo", {"10.40.0.0/24": "10.40.1.0/24"}):
        refused = demo.turnabout("up", "demo", "--deletions", "1")

    assert refused.code == 4
    assert refused.err.startswith(
        "demo: 2 resources would be deleted or replaced, and 1 may be: network-public-us-east"
    )
    assert refused.err.rstrip().endswith("If that is meant: `turnabout infra up demo --deletions 2`.")
    assert len(demo.provider.done) == done


def test_what_is_protected_goes_only_when_it_is_named(demo: Account) -> None:
    kept = {"protect = false": "protect = true", 'tier = "M0"': 'tier = "M10"\nbackup = true'}
    with demo.edited("demo", {**kept, "nodes_per_zone = 2": "nodes_per_zone = 3"}):
        assert demo.turnabout("up", "demo", "--deletions", "10").code == 0
    with demo.edited("demo", kept):
        refused = demo.turnabout("up", "demo", "--deletions", "20", "--unprotect", "mia-c-data")
        assert (refused.code, refused.err) == (
            4,
            "demo: mia-c-carrier (ec2 Eip) would be deleted, and is protected: what is in there is lost with it. "
            "Nothing was changed. If that is meant: `turnabout infra up demo --unprotect mia-c-carrier`.\n",
        )
        named = ("--unprotect", "mia-c-data", "--unprotect", "mia-c-carrier")
        let_go = demo.turnabout("up", "demo", "--deletions", "20", *named)
    assert let_go.code == 0, let_go.err
    assert "- mia-c-data (ebs Volume)" in let_go.err
    names = {one["urn"].rpartition("::")[2] for one in demo.state("demo")}
    assert {"mia-b-data", "mia-b-carrier"} <= names and not any(name.startswith("mia-c") for name in names)
    with demo.edited("demo", {'tier = "M0"': 'tier = "M10"\nbackup = true'}):
        assert demo.turnabout("up", "demo").code == 0
