"""Commands by Run Command and bits by way of a bucket, against an emulated AWS in which commands really run.

Instances are played by shells of this machine; one of them has the real node program. What AWS may say besides, such as
that it was asked too often, is put between the client and that AWS by a client of the tests' own.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from botocore.exceptions import ClientError, EndpointConnectionError

from controller.artifacts.bucket import Bucket
from controller.clock import BootClock
from controller.errors import Refused, Unreachable
from controller.fleets import nodes
from controller.fleets.nodes import NodeFleet
from controller.model import Activate, Confirm, Revert, Stage
from controller.transports import aws, ssm
from controller.transports.ssm import SsmTransport
from infra.outputs import NodeOutput, Outputs
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.emulated.commands import Stand
from tests.infra.emulated.instances import on_instances
from tests.integration.node_site import PROGRAM, Made, Site, eventually


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCloud]:
    with EmulatedCloud() as cloud:
        cloud.client("s3").create_bucket(Bucket="bits")
        yield cloud


@pytest.fixture
def bucket(cloud: EmulatedCloud) -> Bucket:
    return Bucket(cloud.client("s3"), "bits")


class Way:
    """One instance that takes commands, and the transport to it."""

    def __init__(self, cloud: EmulatedCloud, bucket: Bucket, folder: Path) -> None:
        import sys

        ec2 = cloud.client("ec2")
        made = ec2.run_instances(ImageId="ami-12c6146b", InstanceType="t3.medium", MinCount=1, MaxCount=1)
        self.instance = made["Instances"][0]["InstanceId"]
        self.stand: Stand = cloud.run_command.plays(self.instance, folder, environment=on_instances(cloud, folder))
        node = NodeOutput("bos-a", "BOS", "toy", str(folder / "n"), "ssm", self.instance, "", "", {}, {}, ("http",))
        program = (sys.executable, "-I", "-S", PROGRAM)
        self.outputs = Outputs("one", (node,), program, "", "", (), "", region=cloud.region, artifacts="bits")
        self.client = Client(cloud.client("ssm"))
        self.transport = SsmTransport(self.outputs, self.client, bucket)

    def run(self, *argv: str, stdin: bytes | None = None, timeout: float = 10.0) -> tuple[int, bytes]:
        ran = self.transport.run("bos-a", argv, stdin, timeout)
        return ran.code, ran.out

    def statuses(self) -> list[str]:
        """What became of every command that was sent to it."""
        return [one["Status"] for one in self.client.real.list_commands(InstanceId=self.instance)["Commands"]]

    def sentence(self, *argv: str, timeout: float = 10.0) -> str:
        with pytest.raises(Unreachable) as trouble:
            self.run(*(argv or ("true",)), timeout=timeout)
        return str(trouble.value)


class Client:
    """boto3's client, with what AWS says now and then said first: a list for each of its methods."""

    def __init__(self, real: Any) -> None:
        self.real, self.says, self.asked = real, dict[str, list[Exception]](), list[str]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(**asked: Any) -> Any:
            self.asked.append(name)
            if self.says.get(name):
                raise self.says[name].pop(0)
            return getattr(self.real, name)(**asked)

        return ask


def aws_says(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "It")


@pytest.fixture
def way(cloud: EmulatedCloud, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    monkeypatch.setattr(ssm, "SYSTEM_SECONDS", 5.0)
    return Way(cloud, bucket, tmp_path)


# ---- commands -------------------------------------------------------------------------------------------------------


def test_a_command_runs_word_by_word_and_ends_with_its_own_code(way: Way) -> None:
    words = ("it's", 'a "b"', "$HOME", "two  blanks", "", "new\nline")
    assert way.run("printf", "<%s>", *words) == (0, "".join(f"<{word}>" for word in words).encode())
    assert way.run("sh", "-c", "echo no; exit 3") == (3, b"no")


def test_an_answer_longer_than_run_command_shows_comes_whole(way: Way) -> None:
    assert way.run("seq", "6000")[1].split() == [str(n).encode() for n in range(1, 6001)]


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_what_a_command_is_given_goes_along_or_by_the_bucket_and_arrives_whole(way: Way, size: int) -> None:
    payload = os.urandom(size)
    assert way.run("sha256sum", stdin=payload)[1].split()[0].decode() == hashlib.sha256(payload).hexdigest()


def test_being_asked_too_often_and_not_knowing_yet_are_no_answers(way: Way) -> None:
    way.client.says["send_command"] = [aws_says("ThrottlingException"), aws_says("TooManyRequestsException")]
    way.client.says["get_command_invocation"] = [
        aws_says("InvocationDoesNotExist"), aws_says("ThrottlingException"),
        EndpointConnectionError(endpoint_url="https://ssm"),
    ]  # fmt: skip
    assert way.run("echo", "done") == (0, b"done")
    assert way.client.asked.count("send_command") == 3


# ---- what is unknown ------------------------------------------------------------------------------------------------


def test_an_order_that_may_have_been_taken_is_not_sent_twice(way: Way) -> None:
    way.client.says["send_command"] = [EndpointConnectionError(endpoint_url="https://ssm")]
    assert way.sentence("touch", "mark") == (
        'commanding bos-a: Systems Manager was not reached (Could not connect to the endpoint URL: "https://ssm"), '
        "so it is unknown whether it acted. It is read back."
    )
    assert way.client.asked == ["send_command"]


def test_a_node_out_of_reach_is_unknown_and_its_command_is_cancelled(way: Way) -> None:
    way.stand.reachable.clear()
    assert way.sentence("touch", "mark", timeout=1.0) == (
        "commanding bos-a: no answer within 6 s, so it is unknown whether it acted. It was cancelled, and is read back."
    )
    eventually(lambda: way.statuses() == ["Cancelled"])
    way.stand.reachable.set()
    assert way.run("echo", "back") == (0, b"back")
    assert not (way.stand.folder / "mark").exists()


def test_what_takes_too_long_on_its_node_is_unknown(way: Way) -> None:
    said = "commanding bos-a: it was not done within 1 s, so it is unknown whether it acted. It is read back."
    assert way.sentence("sleep", "60", timeout=1.0) == said


def test_a_command_that_somebody_cancels_is_unknown(way: Way) -> None:
    def cancel() -> None:
        mark = way.stand.folder / "mark"
        eventually(mark.exists)
        for command in way.client.real.list_commands(InstanceId=way.instance)["Commands"]:
            way.client.real.cancel_command(CommandId=command["CommandId"])

    thread = threading.Thread(target=cancel)
    thread.start()
    said = "commanding bos-a: it was cancelled, so it is unknown whether it acted. It is read back."
    assert way.sentence("sh", "-c", "touch mark; sleep 60") == said
    thread.join()


def test_a_controller_that_ends_gives_up_waiting_and_cancels_what_runs(way: Way, tmp_path: Path) -> None:
    said = list[str]()
    waiting = threading.Thread(target=lambda: said.append(way.sentence("sh", "-c", "touch mark; sleep 60", timeout=50)))
    waiting.start()
    eventually((way.stand.folder / "mark").exists)
    aws.LEAVING.set()
    try:
        waiting.join(10)
    finally:
        aws.LEAVING.clear()
    assert not waiting.is_alive()
    assert "so it is unknown whether it acted" in said[0]
    eventually(lambda: way.statuses() == ["Cancelled"])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"Status": "Undeliverable", "StatusDetails": "Undeliverable"},
            "it was not delivered. Look whether i-7 runs and its agent is online.",
        ),
        (
            {"Status": "TimedOut", "StatusDetails": "DeliveryTimedOut"},
            "it was not delivered. Look whether i-7 runs and its agent is online.",
        ),
        (
            {"Status": "Failed", "StatusDetails": "Terminated"},
            "Systems Manager says Terminated. Look at the agent of i-7.",
        ),
        (
            {"Status": "Success", "ResponseCode": 0, "StandardOutputContent": "H4sIAAAA--output truncated--"},
            "its answer did not arrive whole. It is read back.",
        ),
        (
            {"Status": "Failed", "ResponseCode": 127, "StandardOutputContent": "", "StandardErrorContent": "no gzip\n"},
            "its answer did not arrive whole (no gzip). It is read back.",
        ),
    ],
)
def test_what_else_a_command_may_end_with_is_unknown(told: dict[str, Any], said: str) -> None:
    with pytest.raises(Unreachable) as trouble:
        ssm.outcome("bos-a", "i-7", told, 5.0)
    assert str(trouble.value) == f"commanding bos-a: {said}"


def test_refusals_say_what_to_do(way: Way, bucket: Bucket) -> None:
    way.client.says["send_command"] = [aws_says("AccessDeniedException", "not authorized to perform it")]
    assert way.sentence() == (
        "commanding bos-a: Systems Manager does not let the controller (not authorized to perform it). "
        "Let the controller's role send commands to this environment's instances."
    )
    gone = way.outputs.nodes[0].address.replace("i-", "i-0")
    strange = SsmTransport(_with_address(way.outputs, gone), way.client, bucket)
    with pytest.raises(Unreachable) as trouble:
        strange.run("bos-a", ("true",), None, 5.0)
    assert str(trouble.value) == (
        f"commanding bos-a: Systems Manager does not manage {gone}. "
        "Look whether it runs and its agent is online; if it was replaced, bring the platform up."
    )


def _with_address(outputs: Outputs, address: str) -> Outputs:
    from dataclasses import replace

    return replace(outputs, nodes=(replace(outputs.nodes[0], address=address),))


# ---- the node program behind it -------------------------------------------------------------------------------------


class Bits:
    """Where the fleet takes a release from."""

    def __init__(self, made: Made) -> None:
        self.made = made

    def bundle(self, digest: str, blobs: tuple[str, ...]) -> bytes:
        assert digest == self.made.digest
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar, tarfile.open(fileobj=io.BytesIO(self.made.tar())) as whole:
            for member in whole:
                if member.name == "manifest.json" or member.name.removeprefix("blobs/") in blobs:
                    tar.addfile(member, whole.extractfile(member))
        return out.getvalue()


def test_a_release_is_staged_activated_and_confirmed_on_a_real_node(way: Way, tmp_path: Path) -> None:
    made = Made("one", tree=None)
    site = Site(tmp_path / "n").start()
    try:
        fleet = NodeFleet(way.outputs, way.transport, Bits(made), BootClock())
        assert fleet.act(Stage("bos-a", "toy", made.digest), 1) is None
        assert site.status()["apps"]["toy"]["staged"] == [made.digest]
        boot, now = site.boot_file.read_text(), BootClock().now()
        start = Activate("bos-a", "toy", made.digest, None, "t1", boot, now + 60, now + 30)
        program = (*way.outputs.program, str(tmp_path / "n"))
        assert way.run(*program, *nodes.activate(start), "--generation", "1")[0] == nodes.DONE
        site.serves(made)
        assert way.run(*program, *nodes.confirm(Confirm("bos-a", "toy", "t1")), "--generation", "1")[0] == nodes.DONE
        assert site.app()["good"] == made.digest
        with pytest.raises(Refused, match=r"revert on bos-a: "):
            fleet.act(Revert("bos-a", "toy", "t1", "asked"), 0)
    finally:
        site.close()


# ---- the bucket -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back_and_writing_it_again_changes_nothing(bucket: Bucket) -> None:
    bucket.put("releases/a.tar", b"bits")
    bucket.put("releases/a.tar", b"bits")
    assert bucket.get("releases/a.tar") == b"bits"


def test_a_name_that_is_taken_is_never_written_over(bucket: Bucket) -> None:
    bucket.put("releases/b.tar", b"bits")
    with pytest.raises(Refused) as no:
        bucket.put("releases/b.tar", b"other bits")
    assert str(no.value) == (
        "writing releases/b.tar into the bucket bits: something else has that name already. "
        "Nothing was changed; find out who writes there."
    )
    assert bucket.get("releases/b.tar") == b"bits"


def test_what_is_not_what_it_was_is_not_believed(
    cloud: EmulatedCloud, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(cloud.client("s3"))
    spoiled = Bucket(client, "bits")
    bucket.put("releases/c.tar", b"bits")

    def other(**asked: Any) -> Any:
        return {**client.real.get_object(**asked), "Body": io.BytesIO(b"bitz")}

    monkeypatch.setattr(client, "get_object", other, raising=False)
    with pytest.raises(Unreachable, match=r"what came does not have its checksum\. It is tried again\."):
        spoiled.get("releases/c.tar")


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        ("SlowDown", Unreachable, "It is tried again."),
        ("AccessDenied", Refused, "Look at the bucket, and at what the controller's role may do."),
    ],
)
def test_a_bucket_that_says_no_is_told_from_one_that_is_away(
    cloud: EmulatedCloud, code: str, kind: type[Exception], remedy: str
) -> None:
    client = Client(cloud.client("s3"))
    client.says["put_object"] = [aws_says(code)]
    with pytest.raises(kind) as trouble:
        Bucket(client, "bits").put("releases/d.tar", b"bits")
    assert str(trouble.value) == f"writing releases/d.tar into the bucket bits: S3 says {code}: no. {remedy}"
