"""Run Command in the emulated cloud: it runs, on what it was asked to, and says how that went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from botocore.exceptions import ClientError

from tests.infra.emulated.cloud import EmulatedCloud

ASKED = """
import boto3
ssm = boto3.client("ssm")
sent = ssm.send_command(InstanceIds=["{node}"], DocumentName="AWS-RunShellScript", Parameters={{"commands": ["pwd"]}})
print(sent["Command"]["CommandId"])
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatedCloud]:
    with EmulatedCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def ssm(cloud: EmulatedCloud) -> Any:
    return cloud.client("ssm")


class Nodes:
    """Three instances, each played by a shell in a folder of its own."""

    def __init__(self, cloud: EmulatedCloud, folder: Path) -> None:
        ec2 = cloud.client("ec2")
        made = ec2.run_instances(ImageId="ami-12c6146b", InstanceType="t3.medium", MinCount=3, MaxCount=3)["Instances"]
        self.ids = [one["InstanceId"] for one in made]
        self.folders = {id: folder / id for id in self.ids}
        for number, id in enumerate(self.ids):
            self.folders[id].mkdir()
            tags = [{"Key": "zone", "Value": "BOS" if number < 2 else "DFW"}, {"Key": "test", "Value": folder.name}]
            ec2.create_tags(Resources=[id], Tags=tags)
        self.stands = {id: cloud.run_command.plays(id, self.folders[id]) for id in self.ids}

    def with_a(self, name: str) -> list[str]:
        return [id for id in self.ids if (self.folders[id] / name).exists()]


@pytest.fixture
def nodes(cloud: EmulatedCloud, tmp_path: Path) -> Nodes:
    return Nodes(cloud, tmp_path)


def send(ssm: Any, script: str, **asked: Any) -> str:
    document = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": script.splitlines()}}
    return str(ssm.send_command(**document, **asked)["Command"]["CommandId"])


def until(look: Callable[[], Any]) -> Any:
    ends = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return found


def over(ssm: Any, command: str, node: str) -> Any:
    def look() -> Any:
        told = ssm.get_command_invocation(CommandId=command, InstanceId=node)
        return told if told["Status"] not in ("Pending", "InProgress") else None

    return until(look)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_a_command_runs_where_it_was_sent_and_nowhere_else(ssm: Any, nodes: Nodes) -> None:
    first, second, _ = nodes.ids

    told = over(ssm, send(ssm, "touch was-here\necho said\necho more >&2", InstanceIds=[second]), second)

    assert (told["Status"], told["ResponseCode"]) == ("Success", 0)
    assert (told["StandardOutputContent"], told["StandardErrorContent"]) == ("said\n", "more\n")
    assert nodes.with_a("was-here") == [second]
    with refused("InvocationDoesNotExist"):
        ssm.get_command_invocation(CommandId=told["CommandId"], InstanceId=first)


def test_targets_are_those_that_fit_every_one_of_them(ssm: Any, nodes: Nodes, tmp_path: Path) -> None:
    here = [{"Key": "tag:test", "Values": [tmp_path.name]}, {"Key": "tag:zone", "Values": ["BOS"]}]

    command = send(ssm, "touch was-here", Targets=here)

    for node in nodes.ids[:2]:
        assert over(ssm, command, node)["Status"] == "Success"
    assert nodes.with_a("was-here") == nodes.ids[:2]
    (listed,) = ssm.list_commands(CommandId=command)["Commands"]
    assert (listed["Status"], listed["TargetCount"], listed["CompletedCount"]) == ("Success", 2, 2)


def test_a_command_that_fails_says_how(ssm: Any, nodes: Nodes) -> None:
    node = nodes.ids[0]
    told = over(ssm, send(ssm, "echo no such thing >&2\nexit 3", InstanceIds=[node]), node)

    assert (told["Status"], told["ResponseCode"]) == ("Failed", 3)
    assert told["StandardErrorContent"] == "no such thing\n"


def test_what_runs_too_long_is_ended(ssm: Any, nodes: Nodes) -> None:
    node = nodes.ids[0]
    parameters = {"commands": ["sleep 600"], "executionTimeout": ["1"]}
    sent = ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=[node], Parameters=parameters)

    told = over(ssm, sent["Command"]["CommandId"], node)

    assert (told["Status"], told["StatusDetails"], told["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", -1)


def test_a_command_is_cancelled_with_all_that_it_started(ssm: Any, nodes: Nodes) -> None:
    node = nodes.ids[0]
    command = send(ssm, "echo $$ > pid\nsleep 600", InstanceIds=[node])
    pid = int(until(lambda: (path := nodes.folders[node] / "pid").exists() and path.read_text()))

    ssm.cancel_command(CommandId=command)

    assert over(ssm, command, node)["Status"] == "Cancelled"
    until(lambda: not alive(pid))


def test_a_node_out_of_reach_gets_its_command_when_it_is_back(ssm: Any, nodes: Nodes) -> None:
    near, away = nodes.ids[:2]
    nodes.stands[away].reachable.clear()

    command = send(ssm, "touch was-here", InstanceIds=[near, away])

    assert over(ssm, command, near)["Status"] == "Success"
    waiting = ssm.get_command_invocation(CommandId=command, InstanceId=away)
    assert (waiting["Status"], waiting["ResponseCode"]) == ("Pending", -1)
    pings = {
        one["InstanceId"]: one["PingStatus"] for one in ssm.describe_instance_information()["InstanceInformationList"]
    }
    assert (pings[near], pings[away]) == ("Online", "ConnectionLost")
    nodes.stands[away].reachable.set()
    assert over(ssm, command, away)["Status"] == "Success"
    told = {
        one["InstanceId"]: one["Status"]
        for one in ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
    }
    assert told == {near: "Success", away: "Success"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceId"),
        ({"DocumentName": "AWS-RunPowerShellScript"}, "InvalidDocument"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "colour": ["red"]}}, "InvalidParameters"),
        ({"InstanceIds": []}, "ValidationException"),
        ({"InstanceIds": [], "Targets": [{"Key": "colour", "Values": ["red"]}]}, "InvalidTarget"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_runs_nowhere(ssm: Any, nodes: Nodes, asked: Any, code: str) -> None:
    sent = {"InstanceIds": nodes.ids[:1], "Parameters": {"commands": ["touch was-here"]}, **asked}
    with refused(code):
        ssm.send_command(**{"DocumentName": "AWS-RunShellScript", **sent})
    assert nodes.with_a("was-here") == []


def test_an_instance_that_is_named_twice_and_a_command_that_is_none_are_refused(ssm: Any, nodes: Nodes) -> None:
    with refused("DuplicateInstanceId"):
        send(ssm, "true", InstanceIds=[nodes.ids[0], nodes.ids[0]])
    with refused("InvalidCommandId"):
        ssm.cancel_command(CommandId="00000000-0000-0000-0000-000000000000")


def test_another_process_takes_it_for_aws(cloud: EmulatedCloud, ssm: Any, nodes: Nodes) -> None:
    node = nodes.ids[1]
    environment = {**os.environ, **cloud.environment}
    asking = [sys.executable, "-c", ASKED.format(node=node)]
    said = subprocess.run(asking, env=environment, capture_output=True, text=True, timeout=60, check=True)

    told = over(ssm, said.stdout.strip(), node)

    assert told["StandardOutputContent"].strip() == str(nodes.folders[node].resolve())


def test_only_one_is_open_at_a_time(cloud: EmulatedCloud) -> None:
    with pytest.raises(RuntimeError, match="open already"), EmulatedCloud():
        pass
