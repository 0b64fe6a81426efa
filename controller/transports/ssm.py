"""Commands to nodes by AWS Systems Manager's Run Command, for nodes that nobody logs in to.

A command is sent, and asked after until it is over. Systems Manager takes a while to know what it was told, limits how
often it is asked, and delivers late: whatever is not plainly over is unknown, never failed. A command that is given up
is cancelled, and the orders in it carry their own expiry. What a command is given is small enough to go with it, or
lies in a bucket, from where its node fetches it.
"""

from __future__ import annotations

import base64
import gzip
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from controller.errors import Unreachable
from controller.ports import Ran
from controller.transports.aws import LEAVING
from infra.outputs import Outputs

DOCUMENT = "AWS-RunShellScript"
DELIVERY_SECONDS = 30
"""The least that AWS takes; a command that is given up before is cancelled."""
SYSTEM_SECONDS = 10.0
"""What Systems Manager itself may take, on top of what the command may."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
GOES_ALONG = 16 << 10
"""Bytes, packed, that go with the command itself."""
BUSY = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "InternalServerError")
NOT_YET = (*BUSY, "InvocationDoesNotExist")
"""What may be said of a command that was sent and is not known everywhere yet."""
UNDELIVERED = ("Undeliverable", "DeliveryTimedOut", "Delivery Timed Out")


class Payloads(Protocol):
    """Where what a command is given lies until its node fetches it."""

    name: str

    def send(self, content: bytes) -> str: ...


class SsmTransport:
    """The nodes of one environment. ``client`` is boto3's, of ``ssm``; it should try nothing twice by itself."""

    def __init__(self, outputs: Outputs, client: Any, payloads: Payloads) -> None:
        self._instances = {node.name: node.address for node in outputs.nodes}
        self._region, self._client, self._payloads = outputs.region, client, payloads

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        script = self._script(argv, stdin)
        until = time.monotonic() + timeout + SYSTEM_SECONDS
        command = self._sent(node, script, timeout, until)
        told = self._over(node, command, until)
        if told is None:
            with suppress(ClientError, BotoCoreError):
                self._client.cancel_command(CommandId=command, InstanceIds=[self._instances[node]])
            told = self._told(node, command)  # it may have been over just before
            told = None if told is not None and told["Status"] == "Cancelled" else told
        if told is None or not is_over(told):
            said = f"no answer within {timeout + SYSTEM_SECONDS:.0f} s, so it is unknown whether it acted"
            raise Unreachable(f"commanding {node}", said, "It was cancelled, and is read back.")
        return outcome(node, self._instances[node], told, timeout)

    def _script(self, argv: tuple[str, ...], stdin: bytes | None) -> str:
        """The command for a shell; its answer comes back packed, because Run Command cuts long ones off."""
        feed = "" if stdin is None else f"{self._feed(stdin)} | "
        return f'said=$({feed}{shlex.join(argv)}); code=$?; printf %s "$said" | gzip -c | base64 -w 0; exit $code'

    def _feed(self, stdin: bytes) -> str:
        packed = base64.b64encode(gzip.compress(stdin)).decode()
        if len(packed) <= GOES_ALONG:
            return f"printf %s {packed} | base64 -d | gzip -dc"
        place = f"s3://{self._payloads.name}/{self._payloads.send(stdin)}"
        return f"aws s3 cp --only-show-errors --region {self._region} {shlex.quote(place)} -"

    def _sent(self, node: str, script: str, timeout: float, until: float) -> str:
        """The id of the command. One that was refused for being too many has not been taken, and is sent again."""
        pause, instance = FIRST_PAUSE, self._instances[node]
        asked: Mapping[str, Any] = {
            "InstanceIds": [instance], "DocumentName": DOCUMENT, "TimeoutSeconds": DELIVERY_SECONDS,
            "Parameters": {"commands": [script], "executionTimeout": [str(max(1, round(timeout)))]},
        }  # fmt: skip
        while True:
            try:
                return str(self._client.send_command(**asked)["Command"]["CommandId"])
            except ClientError as error:
                if error.response["Error"]["Code"] not in BUSY or time.monotonic() + pause > until:
                    raise refused(node, instance, error) from error
            except BotoCoreError as error:
                said = f"Systems Manager was not reached ({error}), so it is unknown whether it acted"
                raise Unreachable(f"commanding {node}", said, "It is read back.") from error
            if LEAVING.wait(pause):
                raise Unreachable(f"commanding {node}", "this controller ends", "The next one reads it back.")
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _over(self, node: str, command: str, until: float) -> Mapping[str, Any] | None:
        pause = FIRST_PAUSE
        while time.monotonic() + pause < until and not LEAVING.wait(pause):
            told = self._told(node, command)
            if told is not None and is_over(told):
                return told
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return None

    def _told(self, node: str, command: str) -> Mapping[str, Any] | None:
        """What Systems Manager says of a command, if it says anything now. Raises Unreachable when it never will."""
        try:
            told: Mapping[str, Any] = self._client.get_command_invocation(
                CommandId=command, InstanceId=self._instances[node]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_YET:
                return None
            raise refused(node, self._instances[node], error) from error
        except BotoCoreError:
            return None
        return told


def is_over(told: Mapping[str, Any]) -> bool:
    return told["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling")


def outcome(node: str, instance: str, told: Mapping[str, Any], timeout: float) -> Ran:
    """How a command that is over has ended. Raises Unreachable unless it ran to its own end."""
    status, details, code = told["Status"], told.get("StatusDetails") or told["Status"], told.get("ResponseCode", -1)
    if status in ("Success", "Failed") and code >= 0 and details not in UNDELIVERED:
        try:
            return Ran(code, unpacked(told["StandardOutputContent"]))
        except (ValueError, EOFError, OSError) as error:
            err = (told.get("StandardErrorContent") or "").strip()[-200:]
            said = f"its answer did not arrive whole{f' ({err})' if err else ''}"
            raise Unreachable(f"commanding {node}", said, "It is read back.") from error
    if details in UNDELIVERED:
        said, remedy = "it was not delivered", f"Look whether {instance} runs and its agent is online."
    elif status == "TimedOut":
        said, remedy = f"it was not done within {timeout:.0f} s, so it is unknown whether it acted", "It is read back."
    elif status == "Cancelled":
        said, remedy = "it was cancelled, so it is unknown whether it acted", "It is read back."
    else:
        said, remedy = f"Systems Manager says {details}", f"Look at the agent of {instance}."
    raise Unreachable(f"commanding {node}", said, remedy)


def unpacked(answer: str) -> bytes:
    """What a command said. Raises ValueError, EOFError or OSError where it is not whole."""
    if not answer:
        raise EOFError  # even of a command that says nothing something comes, packed
    return gzip.decompress(base64.b64decode(answer, validate=True))


def refused(node: str, instance: str, error: ClientError) -> Unreachable:
    """What AWS's refusal means for people."""
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "").strip(". ")
    attempt = f"commanding {node}"
    if code == "InvalidInstanceId":
        remedy = "Look whether it runs and its agent is online; if it was replaced, bring the platform up."
        return Unreachable(attempt, f"Systems Manager does not manage {instance}", remedy)
    if code in ("AccessDeniedException", "AccessDenied"):
        remedy = "Let the controller's role send commands to this environment's instances."
        return Unreachable(attempt, f"Systems Manager does not let the controller ({said})", remedy)
    if code in BUSY:
        return Unreachable(attempt, f"Systems Manager is asked too often ({code})", "It is tried again.")
    return Unreachable(attempt, f"Systems Manager says {code}: {said}", "It is tried again.")
