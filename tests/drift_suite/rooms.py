"""The rooms that changes are made in: an emulated prod, a store, a checkout. Each can be changed and be looked at.

What is looked at is the product's own: its observers, its comparisons, its waivers. A command that a finding prints is
run as it stands; ``aws …`` by a small reading of it, because AWS's own command line is not here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from controller.drift import live, stores
from controller.drift.finding import Finding, Kind
from controller.drift.resources import Resources, read
from controller.drifting import look
from controller.observers.aws import AwsAccount
from controller.observers.stores import MongoStores
from controller.siting import Wanted
from environments.settings import written
from infra.local.ports import Ports
from infra.local.servers import HOST, mongo_uri, start_mongod
from tests.drift_suite.changes import CLOUD, PROGRAM, STORE, WAIVER, Change
from tests.infra.emulated.cloud import KEYS, EmulatedCloud
from tests.infra.filled import HOUSE, fill


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


class Cloud:
    """Prod in an emulated AWS. Changes stay, so that each is found among those before it."""

    def __init__(self, stack: ExitStack) -> None:
        self.cloud = stack.enter_context(EmulatedCloud(opted_in=("us-east-1-wl1",)))
        # on a machine with much to do an answer takes its time, and a figure is no place for an impatient client
        patient = Config(connect_timeout=60, read_timeout=120, retries={"total_max_attempts": 1})
        session = boto3.session.Session(*KEYS.values(), region_name=self.cloud.region)
        self.client = cache(lambda service: session.client(service, endpoint_url=self.cloud.endpoint, config=patient))
        self.ids = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ids.json"
        self.ids.write_text(json.dumps(fill(self.client, "prod")))
        asked = json.dumps({"name": "prod", "table": written(HOUSE / "environments", "prod").table})
        run = [sys.executable, "-m", "infra.declared"]
        said = subprocess.run(run, input=asked, cwd=HOUSE, capture_output=True, text=True, check=True, timeout=300)
        self.declared: Resources = read(json.loads(said.stdout)["resources"])
        self.calls = 0

    def plant(self, change: Change) -> None:
        planted(change, str(self.ids), self.cloud.environment)

    def look(self) -> list[Finding]:
        account = AwsAccount(self.client).look("prod")
        self.calls = account.calls
        return [*live.compare("prod", self.declared, account).findings]

    def run(self, command: str) -> bool:
        words = shlex.split(command)
        if words[0] != "aws" or "…" in command:
            return False
        call = words[2].replace("-", "_")
        shape = self.client(words[1]).meta.service_model.operation_model(
            "".join(part.title() for part in words[2].split("-"))
        )
        options = dict(zip(words[3::2], words[4::2], strict=True))
        given: dict[str, Any] = {}
        for name, value in options.items():
            member = next(m for m in shape.input_shape.members if kebab(m) == name.removeprefix("--"))
            given[member] = [value] if shape.input_shape.members[member].type_name == "list" else value
        try:
            getattr(self.client(words[1]), call)(**given)
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:  # else it went with another, as a group's rules do
                raise
        return True

    def restore(self) -> None: ...

    def naive(self) -> str:
        account = AwsAccount(self.client).look("prod")
        return json.dumps(sorted([one.kind, one.id, sorted(map(str, one.values.items()))] for one in account.found))


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


class Store:
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


class Checkout:
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


ROOMS: Mapping[str, type[Cloud] | type[Store] | type[Checkout]] = {
    CLOUD: Cloud, STORE: Store, PROGRAM: Checkout, WAIVER: Checkout,
}  # fmt: skip
