"""What the program declares for dev, stage and prod: the same shape, as large as each environment's file says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from environments import from_folder

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Plans = Callable[[str], Plan]

FOLDER = Path(__file__).parents[2] / "environments"
STACKS = ("dev", "stage", "prod")


@pytest.mark.parametrize("stack", STACKS)
def test_each_node_of_the_fleets_has_a_machine_and_a_volume_of_its_own(plan: Plans, stack: str) -> None:
    environment = from_folder(FOLDER, stack)
    nodes = [name for fleet in environment.fleets.values() for _, name in fleet.node_names()]

    assert sorted(one.name for one in plan(stack).of(":NodeSlot")) == sorted(nodes)
    for name in nodes:
        machine, volume = plan(stack).one(":Instance", name), plan(stack).one(":Volume", f"{name}-data")
        attached = plan(stack).one(":VolumeAttachment", f"{name}-data").inputs
        assert (attached["instanceId"], attached["volumeId"]) == (machine.id, volume.id)
        place = plan(stack).named(machine.inputs["subnetId"]).inputs["availabilityZone"]
        assert volume.inputs["availabilityZone"] == place


def test_the_three_stacks_have_the_same_kinds_of_resources(plan: Plans) -> None:
    kinds = {stack: {one.kind for one in plan(stack).made} for stack in STACKS}

    assert kinds["stage"] == kinds["prod"]
    assert {kind.rpartition("/")[2] for kind in kinds["stage"] - kinds["dev"]} == {
        "cloudBackupSchedule:CloudBackupSchedule"
    }


def test_stage_differs_from_prod_in_numbers_of_zones_nodes_and_controllers_only(plan: Plans) -> None:
    counts = {stack: Counter(one.kind for one in plan(stack).clouds()) for stack in STACKS}
    nodes = {stack: len(plan(stack).of(":NodeSlot")) for stack in STACKS}
    alone = (
        "Vpc",
        "CarrierGateway",
        "InternetGateway",
        "NatGateway",
        "RouteTable",
        "LoadBalancer",
        "Project",
        "Budget",
    )

    assert nodes == {"dev": 4, "stage": 4, "prod": 9}
    assert counts["prod"]["aws:ec2/instance:Instance"] == nodes["prod"] + 2
    assert counts["stage"]["aws:ec2/instance:Instance"] == nodes["stage"]
    for kind in alone:
        assert len(plan("stage").of(f":{kind}")) == len(plan("prod").of(f":{kind}")) > 0, kind


@pytest.mark.parametrize("stack", STACKS)
def test_everything_that_can_carry_tags_says_whose_it_is(plan: Plans, stack: str) -> None:
    tagged = [one for one in plan(stack).clouds() if one.kind.startswith("aws:") and "tags" in one.inputs]

    assert len(tagged) > 50
    assert {one.inputs["tags"]["turnabout:environment"] for one in tagged} == {stack}
    assert [
        one.name for one in plan(stack).of(":Instance") + plan(stack).of(":Volume") if "tags" not in one.inputs
    ] == []


@pytest.mark.parametrize("stack", STACKS)
def test_every_resource_is_made_in_the_region_of_the_environment(plan: Plans, stack: str) -> None:
    aws = plan(stack).one("pulumi:providers:aws")

    assert aws.inputs["region"] == "us-east-1"
    used = {one.provider.split("::")[2].rpartition("$")[2] for one in plan(stack).clouds()}
    assert used == {"pulumi:providers:aws", "pulumi:providers:mongodbatlas"}


def test_the_addresses_of_a_zone_follow_from_its_letters(plan: Plans) -> None:
    addresses = {one.name: one.inputs["privateIp"] for one in plan("prod").of(":Instance") if "privateIp" in one.inputs}

    assert [addresses[f"bos-{letter}"] for letter in "abc"] == ["10.22.16.4", "10.22.16.5", "10.22.16.6"]
    assert [addresses[f"region-{letter}"] for letter in "abc"] == ["10.22.32.4", "10.22.33.4", "10.22.32.5"]


def policy(plan: Plan, role: str) -> list[dict[str, Any]]:
    text = plan.one(":RolePolicy", role).inputs["policy"]
    statements: list[dict[str, Any]] = json.loads(text)["Statement"]
    return statements


def test_a_zone_s_nodes_read_their_own_facts_and_no_other_zone_s(plan: Plans) -> None:
    readable = [
        resource
        for statement in policy(plan("prod"), "nodes-BOS")
        if statement["Action"] == ["ssm:GetParameter"]
        for resource in statement["Resource"]
    ]

    assert [path.partition(":parameter")[2] for path in readable] == [
        "/turnabout/prod/nodes/bos-a",
        "/turnabout/prod/nodes/bos-b",
        "/turnabout/prod/nodes/bos-c",
        "/turnabout/prod/releases/mqtt",
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_no_role_may_do_just_anything(plan: Plans, stack: str) -> None:
    for role in plan(stack).of(":RolePolicy"):
        for statement in json.loads(role.inputs["policy"])["Statement"]:
            assert all("*" not in action for action in statement["Action"]), role.name


def test_the_bucket_is_private_versioned_and_wants_tls(plan: Plans) -> None:
    made = plan("dev")

    assert made.one(":BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    shut = made.one(":BucketPublicAccessBlock").inputs
    assert [value for key, value in shut.items() if key != "bucket"] == [True] * 4
    (deny,) = json.loads(made.one(":BucketPolicy").inputs["policy"])["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_open_to_the_world_but_the_fronts_that_only_the_carrier_reaches(plan: Plans, stack: str) -> None:
    world = [one for one in plan(stack).of(":SecurityGroupIngressRule") if one.inputs.get("cidrIpv4") == "0.0.0.0/0"]

    assert {(one.parents[-2].rpartition(":")[2], one.inputs["fromPort"]) for one in world} == {
        ("EdgeZone", 80),
        ("EdgeZone", 1883),
    }


def test_without_a_certificate_the_load_balancer_is_not_on_the_internet(plan: Plans, run: Any) -> None:
    inside = plan("prod")
    assert inside.one(":LoadBalancer").inputs["internal"] is True
    assert inside.one(":Listener").inputs["protocol"] == "HTTP"
    assert inside.one(":SecurityGroupIngressRule", "region-balancer").inputs["cidrIpv4"] == "10.22.0.0/16"

    outside = run("prod", {"budget_dollars": 'certificate = "arn:aws:acm:us-east-1:1:certificate/x"\nbudget_dollars'})
    assert outside.one(":LoadBalancer").inputs["internal"] is False
    assert (outside.one(":Listener").inputs["protocol"], outside.one(":Listener").inputs["port"]) == ("HTTPS", 443)
