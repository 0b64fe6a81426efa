"""The rooms that changes are made in: an emulated prod, a store, a checkout. Each can be changed and be looked at.

What is looked at is the product's own: its observers, its comparisons, its waivers. A command that a finding prints is
run as it stands; ``aws …`` by a small reading of it, because AWS's own command line is not here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from controller.drift import stores
from controller.drift.finding import Finding, Kind
from controller.glass.drifting import look
from controller.glass.siting import Wanted
from controller.observers.stores import MongoStores
from infra.local.ports import Ports
from infra.local.servers import HOST, mongo_uri, start_mongod
from tests.drift_suite.changes import Change
from tests.infra.filled import HOUSE


def planted(change: Change, where: str, env: Mapping[str, str] | None = None) -> None:
    """The change, made by a process of its own."""
    argv = [sys.executable, "-m", "tests.drift_suite.plant", change.room, change.name, where, *change.given]
    env = {**os.environ, **(env or {}), "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(argv, cwd=HOUSE, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{change.name} {' '.join(change.given)} could not be made: {done.stderr[-400:]}")


class Room(Protocol):
    def plant(self, change: Change) -> None: ...

    def look(self) -> list[Finding]:
        """Every open finding of what is there now, and what could not be looked at because of the change."""
        ...

    def run(self, command: str) -> bool:
        """Run what a finding prints; whether that is something that can be run here."""
        ...

    def restore(self) -> None:
        """As before the change, where changes are not made one on top of the other."""
        ...

    def naive(self) -> str:
        """What a detector that only describes would see of it: a text that is not the same after a change it sees."""
        ...

    def engine(self) -> frozenset[tuple[str, str]] | None:
        """What Pulumi's refresh says is not as its state has it: resource and property; None where it is not here."""
        ...

    def engine_before(self) -> frozenset[tuple[str, str]] | None:
        """What it said before the change."""
        ...

    def later(self, command: str) -> bool:
        """Whether a command that a finding prints is run once, at the end, for all whose end it is."""
        ...

    def settle(self) -> list[Finding]:
        """Run what was left for the end; what is found then."""
        ...


class Plain:
    """A room that no engine looks at, and in which nothing is left for the end."""

    def engine(self) -> frozenset[tuple[str, str]] | None:
        return frozenset()

    def engine_before(self) -> frozenset[tuple[str, str]] | None:
        return frozenset()

    def later(self, command: str) -> bool:
        return False

    def settle(self) -> list[Finding]:
        return []


class Store(Plain):
    """The database of stage and that of prod in one server; both are made anew for each change."""

    def __init__(self, stack: ExitStack) -> None:
        self.port = Ports().take()
        server = start_mongod(Path(stack.enter_context(tempfile.TemporaryDirectory())), HOST, self.port)
        stack.callback(server.stop)
        self.restore()

    def plant(self, change: Change) -> None:
        planted(change, str(self.port))

    def look(self) -> list[Finding]:
        uri = mongo_uri(HOST, self.port)
        left, right = (MongoStores(uri).store({"c360": real}) for real in ("c360_stage", "c360"))
        return [*stores.findings("stage", "prod", left, right, uri)]

    def run(self, command: str) -> bool:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path}
        return (
            subprocess.run(command, shell=True, env=env, capture_output=True, timeout=60, check=False).returncode == 0
        )

    def restore(self) -> None:
        from pymongo import MongoClient

        with MongoClient[dict[str, Any]]("127.0.0.1", self.port, directConnection=True) as client:
            for name in ("c360_stage", "c360"):
                client[name].command("dropAllRolesFromDatabase")
                client.drop_database(name)
                database = client[name]
                database.create_collection("orders", validator={"cents": {"$gte": 0}})
                database["orders"].create_index([("customer", 1), ("at", -1)], name="by_customer")
                database["orders"].insert_many([{"customer": f"c{n}", "at": n, "cents": n} for n in range(60)])
                at = {"db": name, "collection": "orders"}
                reads = [{"resource": at, "actions": ["find"]}]
                database.command("createRole", "reader", privileges=reads, roles=[])

    def naive(self) -> str:
        return ""  # it describes a cloud


class Checkout(Plain):
    """A checkout of one's own, of which prod is looked at; made anew for each change."""

    def __init__(self, stack: ExitStack) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.restore()

    def plant(self, change: Change) -> None:
        planted(change, str(self.folder))

    def look(self) -> list[Finding]:
        report = look(Wanted(self.folder, ("prod",), (), (Kind.ALIGNMENT, Kind.WAIVER), None))
        return [*report.open, *report.unseen]

    def run(self, command: str) -> bool:
        if not command.endswith("delete this waiver"):
            return False
        (self.folder / "environments" / "waivers.toml").unlink()  # the one waiver that is in it
        return True

    def restore(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("environments", "infra", "apps"):
            ignored = shutil.ignore_patterns("__pycache__", "tests", "templates")
            shutil.copytree(HOUSE / part, self.folder / part, ignore=ignored)

    def naive(self) -> str:
        return ""
