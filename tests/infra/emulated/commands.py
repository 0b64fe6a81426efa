"""Run Command that really runs: each command becomes a process on what plays the instance, and on no other.

An instance takes commands after ``RunCommand.plays`` said what plays it: a program that reads a script from its
input, such as a shell in a folder or in a network namespace. A command for one that is out of reach waits until it is
back or its time to be delivered is over. How AWS is asked for all this is in ``systems.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.ssm.exceptions import SSMException

OUT_CHARS, ERR_CHARS = 24_000, 8_000
OVER = ("Success", "Failed", "TimedOut", "Cancelled")


@dataclass
class Stand:
    """What plays an instance. Clear ``reachable`` to cut it off from the cloud."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    reachable: threading.Event = field(default_factory=threading.Event)


@dataclass
class Invocation:
    """One command on one instance."""

    instance: str
    stand: Stand
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    out: str = ""
    err: str = ""
    began: float = 0.0
    ended: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def finish(self, status: str, details: str, code: int = -1) -> None:
        self.code, self.details, self.ended = code, details, time.time()
        self.status = status  # the last of all: who sees it finds the rest


@dataclass
class Command:
    id: str
    parameters: dict[str, list[str]]
    expires: float
    comment: str
    asked: float
    instances: list[str]
    targets: list[dict[str, Any]]
    invocations: dict[str, Invocation]

    @property
    def status(self) -> str:
        said = {one.status for one in self.invocations.values()}
        for status in ("InProgress", "Pending", "Failed", "TimedOut", "Cancelled"):
            if status in said:
                return status
        return "Success"


class RunCommand:
    """The commands of one account, and what plays its instances."""

    def __init__(self) -> None:
        self._stands: dict[str, Stand] = {}
        self._commands: dict[str, Command] = {}

    def plays(
        self,
        instance: str,
        folder: Path,
        argv: Sequence[str] = ("/bin/sh",),
        environment: Mapping[str, str] | None = None,
    ) -> Stand:
        """From now on ``argv``, started in ``folder``, runs the scripts that are sent to an instance."""
        known = {"PATH": os.environ["PATH"]} if environment is None else environment
        self._stands[instance] = stand = Stand(argv, folder, known)
        stand.reachable.set()
        return stand

    def stand(self, instance: str) -> Stand:
        try:
            return self._stands[instance]
        except KeyError:
            raise SSMException("InvalidInstanceId", f"{instance} is not a managed node of this account.") from None

    @property
    def managed(self) -> Mapping[str, Stand]:
        return self._stands

    def send(
        self, instances: list[str], targets: list[dict[str, Any]], tagged: list[str], parameters: dict[str, list[str]],
        seconds: int, comment: str,
    ) -> Command:  # fmt: skip
        if len(set(instances)) != len(instances):
            raise SSMException("DuplicateInstanceId", "You can't specify an instance ID in more than one place.")
        stands = {instance: self.stand(instance) for instance in (*instances, *tagged)}
        now = time.time()
        made = {instance: Invocation(instance, stand) for instance, stand in stands.items()}
        command = Command(str(uuid.uuid4()), parameters, now + seconds, comment, now, instances, targets, made)
        self._commands[command.id] = command
        for one in made.values():
            one.thread = threading.Thread(target=_deliver, args=(command, one), daemon=True)
            one.thread.start()
        return command

    def command(self, id: str) -> Command:
        try:
            return self._commands[id]
        except KeyError:
            raise SSMException("InvalidCommandId", "The specified command ID isn't valid.") from None

    def commands(self) -> Iterable[Command]:
        return self._commands.values()

    def cancel(self, id: str, instances: Iterable[str]) -> None:
        command = self.command(id)
        for instance in list(instances) or command.invocations:
            if instance not in command.invocations:
                raise SSMException("InvalidInstanceId", f"{instance} is no target of the command.")
            command.invocations[instance].cancelled.set()

    def close(self) -> None:
        """End what still runs."""
        for command in self._commands.values():
            for one in command.invocations.values():
                one.cancelled.set()
                if one.thread:
                    one.thread.join(10)


def _deliver(command: Command, one: Invocation) -> None:
    """Wait until the instance can be reached, then run the script there."""
    while not one.stand.reachable.wait(0.05):
        if one.cancelled.is_set():
            return one.finish("Cancelled", "Cancelled")
        if time.time() > command.expires:
            return one.finish("TimedOut", "DeliveryTimedOut")
    one.began, one.details = time.time(), "InProgress"
    one.status = "InProgress"
    return _run(command, one)


def _run(command: Command, one: Invocation) -> None:
    asked = command.parameters
    folder = one.stand.folder / (asked.get("workingDirectory") or [""])[0]
    ends = one.began + float((asked.get("executionTimeout") or ["3600"])[0])
    script: str | None = "\n".join(asked["commands"]) + "\n"
    try:
        process = subprocess.Popen(
            one.stand.argv, cwd=folder, env=dict(one.stand.environment), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        one.err = str(error)
        return one.finish("Failed", "Failed", 1)
    while True:
        try:
            out, err = process.communicate(script, timeout=0.05)
        except subprocess.TimeoutExpired:
            script = None  # it was sent; the shell reads it as it can
            if one.cancelled.is_set() or time.time() > ends:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                over = ("Cancelled", "Cancelled") if one.cancelled.is_set() else ("TimedOut", "ExecutionTimedOut")
                return one.finish(*over)
            continue
        one.out, one.err = out[:OUT_CHARS], err[:ERR_CHARS]
        good = process.returncode == 0
        return one.finish(*(("Success", "Success") if good else ("Failed", "Failed")), process.returncode)
