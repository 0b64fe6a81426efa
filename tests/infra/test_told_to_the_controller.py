"""The contract with the controller: what the program exports is what the platform on one machine writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controller.rollout.replacing import commands
from environments import from_folder
from infra.local import layout
from infra.outputs import Outputs, from_json

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Plans = Callable[[str], Plan]
    Run = Callable[..., Plan]

HOUSE = Path(__file__).parents[2]
STACKS = ("dev", "stage", "prod")


def told(plan: Plan) -> Outputs:
    return from_json(plan.exports["outputs"])


@pytest.mark.parametrize("stack", STACKS)
def test_both_platforms_have_the_same_nodes_with_the_same_ports_and_backends(
    plan: Plans, stack: str, tmp_path: Path
) -> None:
    environment = from_folder(HOUSE / "environments", stack)
    ports = iter(range(30000, 31000))
    here = [layout.output(node) for node in layout.plan(environment, tmp_path, HOUSE / "apps", lambda: next(ports))]

    there = told(plan(stack)).nodes

    assert [(node.name, node.zone, node.app, node.backends) for node in there] == [
        (node.name, node.zone, node.app, node.backends) for node in here
    ]
    assert [(set(node.fronts), set(node.listens)) for node in there] == [
        (set(node.fronts), set(node.listens)) for node in here
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_the_parameter_says_the_same_as_the_stack(plan: Plans, stack: str) -> None:
    parameter = plan(stack).one(":Parameter", "outputs").inputs

    assert parameter["name"] == f"/turnabout/{stack}/outputs"
    assert from_json(parameter["value"]) == told(plan(stack))
    assert len(parameter["value"]) < 8192


def test_a_node_is_observed_at_its_private_address_and_devices_have_its_carrier_address(plan: Plans) -> None:
    nodes = {node.name: node for node in told(plan("prod")).nodes}
    bos, region = nodes["bos-a"], nodes["region-a"]

    assert (bos.transport, bos.address) == ("ssm", plan("prod").one(":Instance", "bos-a").id)
    assert bos.observe_url == "http://10.22.16.4:21000/observe"
    assert bos.fronts == {"http": "10.22.16.4:80", "mqtt": "10.22.16.4:1883"}
    assert (bos.carrier.startswith("198.18."), region.carrier) == (True, "")


@pytest.mark.parametrize("name", ["bos-a", "region-a"])
def test_the_machine_that_is_replaced_is_the_one_that_the_program_made(plan: Plans, name: str) -> None:
    machine, slot = plan("prod").one(":Instance", name), plan("prod").one(":NodeSlot", name)
    (node,) = [node for node in told(plan("prod")).nodes if node.name == name]

    within = "$".join([*slot.parents, slot.kind, machine.kind])  # the monitor names two generations only

    unprotect, up = commands(told(plan("prod")), node)
    assert f"'urn:pulumi:prod::turnabout::{within}::{name}'" in up
    assert f"--instance-id {machine.id} " in unprotect


def test_each_node_has_a_token_of_its_own_which_its_facts_hold(plan: Plans) -> None:
    made = plan("prod")
    tokens = {node.name: node.observe_token for node in told(made).nodes}
    facts = {name: json.loads(made.one(":Parameter", f"facts-{name}").inputs["value"]) for name in tokens}

    assert len(set(tokens.values())) == len(tokens)
    assert {name: said["observe"]["token"] for name, said in facts.items()} == tokens


def test_the_same_node_of_another_environment_has_another_token(plan: Plans) -> None:
    first = [node.observe_token for stack in STACKS for node in told(plan(stack)).nodes if node.name == "bos-a"]

    assert len(set(first)) == 3


def test_a_node_is_told_the_same_facts_as_on_one_machine(plan: Plans, tmp_path: Path) -> None:
    environment = from_folder(HOUSE / "environments", "dev")
    ports = iter(range(30000, 31000))
    nodes = layout.plan(environment, tmp_path, HOUSE / "apps", lambda: next(ports))
    common = layout.Common("/usr/sbin/haproxy", "/usr/bin/python3", lambda name: "mongodb://", ("ab" * 32,))
    layout.write(nodes[0], nodes[:2], common)
    here = json.loads((nodes[0].root / "node.json").read_text())

    there = json.loads(plan("dev").one(":Parameter", "facts-bos-a").inputs["value"])

    assert shape(there) == shape(here)
    assert there["balancer"]["backends"] == here["balancer"]["backends"]


def shape(value: object) -> object:
    """The keys and kinds of a value, without what is in it."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return type(value).__name__


def test_the_balancer_of_a_node_knows_the_addresses_of_its_zone(plan: Plans) -> None:
    config = plan("prod").one(":BucketObjectv2", "nodes/bos-b/haproxy.cfg").inputs["content"]

    assert all(f"10.22.16.{last}:" in config for last in (4, 5, 6))
    assert "10.22.17." not in config
    assert "bind 10.22.16.5:1883" in config


def test_nodes_that_are_reached_by_ssh_say_so_and_where_the_bastion_is(run: Run) -> None:
    made = run("dev", {"budget_dollars": 'transport = "ssh"\nssh_from = ["198.51.100.0/24"]\nbudget_dollars'})
    outputs = told(made)

    assert {node.transport for node in outputs.nodes} == {"ssh"}
    assert [node.address for node in outputs.nodes if node.zone == "BOS"] == ["10.20.16.4", "10.20.16.5"]
    assert outputs.bastion.startswith("10.255.")  # inside, where the controllers are
    knocks = [one.inputs for one in made.of(":SecurityGroupIngressRule", "bastion-in")]
    controllers = next(one.id for one in made.of(":SecurityGroup") if one.name == "controllers")
    who = {one.get("cidrIpv4") or one["referencedSecurityGroupId"] for one in knocks}
    assert who == {"198.51.100.0/24", controllers}
    assert (outputs.ssh_user, outputs.program[:2]) == ("ec2-user", ("/usr/bin/sudo", "-n"))
    ssh = [one.inputs for one in made.of(":SecurityGroupIngressRule") if one.name.endswith("-bastion-ssh")]
    bastion = next(one.id for one in made.of(":SecurityGroup") if one.name == "bastion")
    assert [one["referencedSecurityGroupId"] for one in ssh] == [bastion, bastion]
