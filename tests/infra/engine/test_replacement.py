"""What ``turnabout node replace`` asks of the engine, in the emulated cloud: the slot stays, its machine goes."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from controller.rollout.replacing import commands
from infra.outputs import NodeOutput, Outputs, from_json

if TYPE_CHECKING:
    from tests.infra.account import Account

pytestmark = pytest.mark.timeout(600)

UP = """
import sys
from pathlib import Path
from infra.engine.stack import Stack
Stack("demo", Path("."))._stack.up(target=[sys.argv[1]], replace=[sys.argv[1]], target_dependents=True)
"""
"""`pulumi up --target-replace URN --target-dependents`, without the language host that the command wants."""


def told(account: Account) -> Outputs:
    said = account.pulumi("stack", "output", "outputs", "--show-secrets", "--stack", "demo")
    assert said.code == 0, said.err
    return from_json(said.out)


def node(outputs: Outputs, name: str) -> NodeOutput:
    return next(one for one in outputs.nodes if one.name == name)


def instance(account: Account, id: str) -> Any:
    (found,) = account.aws.client("ec2").describe_instances(InstanceIds=[id])["Reservations"]
    return found["Instances"][0]


def data_volume(account: Account, name: str) -> Any:
    volumes = account.aws.client("ec2").describe_volumes(Filters=[{"Name": "tag:turnabout:node", "Values": [name]}])
    attached = [(one["VolumeId"], link) for one in volumes["Volumes"] for link in one["Attachments"]]
    return next((id, link["InstanceId"]) for id, link in attached if link["Device"] == "/dev/sdf")


def test_a_slot_gets_another_machine_and_keeps_its_volume_its_addresses_and_its_neighbours(demo: Account) -> None:
    before = told(demo)
    old = node(before, "mia-a")
    volume, _ = data_volume(demo, "mia-a")
    address = instance(demo, old.address)["PrivateIpAddress"]
    words = shlex.split(commands(before, old)[1])
    assert words[4::2] == ["--target-replace", "--target-dependents"]

    done = demo._run([sys.executable, "-c", UP, words[5]], (), {})

    assert done.code == 0, done.err
    after = told(demo)
    new = node(after, "mia-a")
    assert new.address != old.address
    assert (new.carrier, instance(demo, new.address)["PrivateIpAddress"]) == (old.carrier, address)
    assert data_volume(demo, "mia-a") == (volume, new.address)
    assert node(after, "mia-b") == node(before, "mia-b")
    assert demo.turnabout("refresh", "demo").said == "demo: nothing to do"
