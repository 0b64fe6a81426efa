"""Prod in an emulated AWS: brought up by Pulumi's own engine where that is here, else by calls alone.

With the engine its refresh is asked beside our look, and what findings print is run by it, once, when all is planted. A
command ``aws …`` is run by a small reading of it, because AWS's own command line is not here.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from controller.drift import live
from controller.drift.finding import Finding
from controller.drift.resources import Resources, read
from controller.observers.aws import AwsAccount
from environments.overlay import Table
from environments.settings import put, written
from infra import declared as program
from infra import published
from infra.engine.binary import NoEngine
from tests.drift_suite.changes import Change
from tests.drift_suite.rooms import planted
from tests.infra.account import Account, open_account
from tests.infra.emulated.cloud import KEYS, EmulatedCloud
from tests.infra.filled import HOUSE, fill
from tests.infra.provider.admin_api import AtlasClient

UP = "turnabout infra up prod"
MORE_ZONES = ("ATL", "CHI", "IAH", "MIA")
"""With these prod has more than ten times its resources; they are places where AWS has Wavelength zones."""
ENOUGH = 10_000
"""Deletions that the engine may do where a suite has made the mess."""


def declared(table: Any) -> Resources:
    asked = json.dumps({"name": "prod", "table": table})
    run = [sys.executable, "-m", "infra.declared"]
    said = subprocess.run(run, input=asked, cwd=HOUSE, capture_output=True, text=True, check=True, timeout=300)
    return read(json.loads(said.stdout)["resources"])


def clients(cloud: EmulatedCloud) -> Any:
    # on a machine with much to do an answer takes its time, and a figure is no place for an impatient client
    patient = Config(connect_timeout=60, read_timeout=120, retries={"total_max_attempts": 1})
    session = boto3.session.Session(*KEYS.values(), region_name=cloud.region)
    return cache(lambda service: session.client(service, endpoint_url=cloud.endpoint, config=patient))


class Cloud:
    """Changes stay, so that each is found among those before it."""

    def __init__(self, stack: ExitStack) -> None:
        self.account: Account | None = None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.ids = folder / "ids.json"
        try:
            self.account = stack.enter_context(open_account(folder))
            self.cloud = self.account.aws
            self.ids.write_text(json.dumps(self.brought_up(self.account)))
        except NoEngine as missing:
            print(f"SKIPPED beside it: Pulumi's refresh, and what it would mend ({missing})", file=sys.stderr)
            self.cloud = stack.enter_context(EmulatedCloud(opted_in=("us-east-1-wl1",)))
            self.ids.write_text(json.dumps(fill(self.cloud.client, "prod", atlas=self.stored())))
        self.client = clients(self.cloud)
        self.declared = declared(shipped())
        self.calls, self.seconds, self.engine_seconds = 0, 0.0, 0.0
        self.stated: frozenset[tuple[str, str]] = frozenset()

    def stored(self) -> AtlasClient | None:
        """Atlas, where it is brought up by calls alone; None where nobody looks at it."""
        return None

    def brought_up(self, account: Account) -> dict[str, str]:
        account.make_stack("prod")
        up = account.turnabout("up", "prod")
        assert up.code == 0, up.err
        return {
            f"{one['type'].rpartition(':')[2]} {one['urn'].rpartition('::')[2]}": one["id"]
            for one in account.state("prod") if one.get("id")
        }  # fmt: skip

    def plant(self, change: Change) -> None:
        planted(change, str(self.ids), self.cloud.environment)

    def look(self) -> list[Finding]:
        began = time.perf_counter()
        account = AwsAccount(self.client).look("prod")
        found = [*live.compare("prod", self.declared, account).findings]
        self.calls, self.seconds = account.calls, max(self.seconds, time.perf_counter() - began)
        return found

    def run(self, command: str) -> bool:
        words = shlex.split(command)
        if words[0] != "aws" or "…" in command:
            return False
        service = "s3" if words[1] == "s3api" else words[1]
        call = words[2].replace("-", "_")
        shape = self.client(service).meta.service_model.operation_model(
            "".join(part.title() for part in words[2].split("-"))
        )
        options = dict(zip(words[3::2], words[4::2], strict=True))
        given: dict[str, Any] = {}
        for name, value in options.items():
            member = next(m for m in shape.input_shape.members if kebab(m) == name.removeprefix("--"))
            given[member] = spelled(value) if shape.input_shape.members[member].type_name == "list" else value
        try:
            getattr(self.client(service), call)(**given)
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:  # else it went with another, as a group's rules do
                raise
        return True

    def restore(self) -> None: ...

    def naive(self) -> str:
        account = AwsAccount(self.client).look("prod")
        return json.dumps(sorted([one.kind, one.id, sorted(map(str, one.values.items()))] for one in account.found))

    def engine(self) -> frozenset[tuple[str, str]] | None:
        if self.account is None:
            return None
        said = self.account.turnabout("refresh", "prod", "--json")
        assert said.code in (0, 2), said.err
        self.engine_seconds = max(self.engine_seconds, said.seconds)
        steps = json.loads(said.out)["steps"]
        self.stated = frozenset(
            (f"{one['kind']} {one['name']}", path) for one in steps for path in one["properties"] or [""]
        )
        return self.stated

    def engine_before(self) -> frozenset[tuple[str, str]] | None:
        """What it said last: nothing that it knows of has changed since."""
        return self.stated if self.account is not None else None

    def later(self, command: str) -> bool:
        return self.account is not None and command == UP

    def settle(self) -> list[Finding]:
        if self.account is not None:
            done = self.account.turnabout("up", "prod", "--deletions", str(ENOUGH))
            print(f"{UP}: {done.said}", file=sys.stderr)
        return self.look()


def spelled(value: str) -> list[Any]:
    """A list as AWS's command line has it: words, or ``Id=i-1``."""
    key, equals, rest = value.partition("=")
    return [{key: rest}] if equals else [value]


def kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one look takes where AWS has so many resources."""

    resources: int
    calls: int
    seconds: float


def shipped() -> Table:
    return written(HOUSE / "environments", "prod").table


def grown(zones: Sequence[str]) -> Table:
    """Prod with as many nodes in each zone as there may be, and with these Wavelength zones beside its own."""
    table = shipped()
    more: list[tuple[tuple[str, ...], Any]] = [(("fleet", app, "nodes_per_zone"), 26) for app in ("mqtt", "c360")]
    more.append((("fleet", "mqtt", "zones"), [*table["fleet"]["mqtt"]["zones"], *zones]))
    for number, zone in enumerate(zones, 64):
        place = {f"us-east-1-wl1-{zone.lower()}-wlz-1": f"10.22.{number}.0/24"}
        more.append((("infra", "zones", zone), place))
    return put(table, more)


def looked_at(table: Table) -> Cost:
    """The cost of one look at prod as a table has it, brought up by calls alone."""
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud, long_outputs():
        client = clients(cloud)
        fill(client, "prod", table)
        asked = read(program.answer({"name": "prod", "table": table})["resources"])
        began = time.perf_counter()
        account = AwsAccount(client).look("prod")
        findings = live.compare("prod", asked, account).findings
        took = time.perf_counter() - began
    assert not findings, [one.what for one in findings][:5]
    return Cost(len(account.found), account.calls, took)


@contextmanager
def long_outputs() -> Iterator[None]:
    """One look is measured here, not what a controller is told: that must fit a parameter."""
    limit, published.PARAMETER_BYTES = published.PARAMETER_BYTES, 1_000_000
    try:
        yield
    finally:
        published.PARAMETER_BYTES = limit
