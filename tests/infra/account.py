"""An account in an emulated cloud, and a checkout from which real commands bring stacks up in it by the real engine.

The engine is Pulumi's own; its providers are ours, which realise everything by calls of the emulated AWS and Atlas.
States are kept in a folder, secrets behind a key of the account's KMS, unless a test wants them elsewhere.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.engine.binary import find
from tests.infra import warm
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.provider.admin_api import AdminApi, AtlasClient
from tests.infra.provider.every import KINDS
from tests.infra.provider.kinds import Cloud, unless_gone
from tests.infra.provider.wire import Provider, attached

HOUSE = Path(__file__).parents[2]
PARTS = ("infra", "environments", "apps", "controller")
SECRET = "the observers' own secret"
PASSPHRASE = "a passphrase for tests"
ALIAS, BUCKET = "alias/turnabout", "states"
BY_KMS = f"awskms://{ALIAS}?region=us-east-1"
IN_BUCKET = f"s3://{BUCKET}?region=us-east-1"
LIMIT_SECONDS = 300
CONFIGURATION = {
    "organisation": "5f0000000000000000000000",
    "repository": "https://git.example/factory.git",
    "trusted": json.dumps(["ab" * 32]),
}
SMALL = """\
branch = "{name}"

[fleet.mqtt]
zones = ["MIA"]
nodes_per_zone = 2
waves = [{{ MIA = 1 }}]
synthetic_per_second = 5

[infra]
vpc = "10.40.0.0/16"
public = {{ us-east-1a = "10.40.0.0/24" }}
protect = false
budget_dollars = 60
alerts_to = "{name}@example.com"

[infra.zones]
MIA = {{ us-east-1-wl1-mia-wlz-1 = "10.40.16.0/24" }}

[infra.atlas]
tier = "M0"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """The last line of its answer, without the seconds, which differ."""
        last = (self.out.strip() or self.err.strip()).splitlines()[-1]
        return last.partition(";")[0]


class Account:
    """``aws``, ``atlas`` and ``provider`` are the emulated cloud; ``house`` is the checkout."""

    def __init__(self, folder: Path, aws: EmulatedCloud, atlas: AdminApi, provider: Provider, attach: str) -> None:
        self.aws, self.atlas, self.provider, self.house = aws, atlas, provider, folder / "house"
        for part in PARTS:
            shutil.copytree(
                HOUSE / part, self.house / part, ignore=shutil.ignore_patterns("__pycache__", "tests", "go.*")
            )
        shutil.copy(HOUSE / "Pulumi.yaml", self.house)
        self.states = folder / "state"
        self.states.mkdir()
        self.engine = find(HOUSE)
        self.surroundings = {
            **os.environ,
            **aws.environment,
            "PATH": f"{self.engine / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(HOUSE),
            "PULUMI_BACKEND_URL": f"file://{self.states}",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DEBUG_PROVIDERS": attach,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "GOGC": "off",  # the engine ends before looking for garbage is worth it
            "MONGODB_ATLAS_CLIENT_ID": atlas.client,
            "MONGODB_ATLAS_CLIENT_SECRET": atlas.secret,
        }

    def turnabout(self, *args: str, without: tuple[str, ...] = (), **more: str) -> Ran:
        """``turnabout infra …``, as a user calls it; ``without`` and ``more`` change its environment variables."""
        surroundings, started = self._around(without, more), time.monotonic()
        code, out, err = warm.turnabout(("infra", *args), self.house, surroundings, LIMIT_SECONDS)
        return Ran(code, out, err, time.monotonic() - started)

    def pulumi(self, *args: str, without: tuple[str, ...] = (), **more: str) -> Ran:
        return self._run([str(self.engine / "bin" / "pulumi"), "--non-interactive", *args], without, more)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """``turnabout infra …`` which goes on while the test does something; in a process group of its own."""
        command = [sys.executable, "-m", "controller.cli", "infra", *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.house, env=self.surroundings, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def _run(self, command: list[str], without: tuple[str, ...], more: Mapping[str, str]) -> Ran:
        surroundings, started = self._around(without, more), time.monotonic()
        done = subprocess.run(
            command, cwd=self.house, env=surroundings, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def _around(self, without: tuple[str, ...], more: Mapping[str, str]) -> dict[str, str]:
        return {key: value for key, value in {**self.surroundings, **more}.items() if key not in without}

    def make_stack(self, environment: str, secrets: str = BY_KMS) -> None:
        """What docs/deploy.md tells to do before the first ``pulumi up``."""
        steps: list[tuple[str, ...]] = [("stack", "init", environment, "--secrets-provider", secrets)]
        plain = [word for key, value in CONFIGURATION.items() for word in ("--plaintext", f"{key}={value}")]
        steps += [("config", "set-all", *plain, "--secret", f"observeKey={SECRET}", "--stack", environment)]
        for step in steps:
            done = self.pulumi(*step)
            assert done.code == 0, done.err

    def make_environment(self, name: str, secrets: str = BY_KMS) -> None:
        """A new environment, once: one file, and a stack."""
        file = self.house / "environments" / f"{name}.toml"
        if not file.exists():
            file.write_text(SMALL.format(name=name))
            self.make_stack(name, secrets)

    def state(self, environment: str) -> list[dict[str, Any]]:
        """The resources that the stack's state has, secrets still encrypted."""
        done = self.pulumi("stack", "export", "--stack", environment)
        assert done.code == 0, done.err
        resources: list[dict[str, Any]] = json.loads(done.out)["deployment"].get("resources", [])
        return [one for one in resources if not one["type"].startswith(("pulumi:", "turnabout:"))]

    def kept(self, environment: str) -> str:
        """The state as it lies on disk."""
        return (self.states / ".pulumi" / "stacks" / "turnabout" / f"{environment}.json").read_text()

    @contextmanager
    def keeping_states_in(self, url: str) -> Iterator[None]:
        """States are kept elsewhere for as long as the block lasts."""
        before = self.surroundings["PULUMI_BACKEND_URL"]
        self.surroundings["PULUMI_BACKEND_URL"] = url
        try:
            yield
        finally:
            self.surroundings["PULUMI_BACKEND_URL"] = before

    @contextmanager
    def edited(self, environment: str, changes: Mapping[str, str]) -> Iterator[None]:
        """An environment's file with text replaced, for as long as the block lasts."""
        file = self.house / "environments" / f"{environment}.toml"
        before = text = file.read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(text)
        try:
            yield
        finally:
            file.write_text(before)

    def comes_up_whole(self, environment: str) -> None:
        """Another run goes on to the end; the state and the cloud then have the same, and nothing twice."""
        self.provider.before = lambda deed, name: None
        up = self.turnabout("up", environment)
        assert up.code == 0, up.err
        assert self.turnabout("refresh", environment).said == f"{environment}: nothing to do"
        at = [{"Name": "tag:turnabout:environment", "Values": [environment]}]
        made = self.state(environment)
        for call, many in (("describe_vpcs", "Vpcs"), ("describe_subnets", "Subnets"), ("describe_volumes", "Volumes")):
            there = getattr(self.aws.client("ec2"), call)(Filters=at)[many]
            declared = [one for one in made if one["type"].endswith(f":{many[:-1].capitalize()}")]
            disks = 2 if many == "Volumes" else 0  # each machine's own disk
            assert len(there) == len(declared) + disks, many

    def there(self, resources: Iterable[Mapping[str, Any]]) -> list[str]:
        """Those of a state's resources that the cloud really has, each asked for by its own call."""
        cloud, found = self.provider.cloud, []
        for one in resources:
            kind = KINDS[one["type"]](cloud)
            if unless_gone(partial(kind.read, one["id"], one["inputs"])) is not None:
                found.append(one["urn"])
        return found


@contextmanager
def open_account(folder: Path) -> Iterator[Account]:
    """An account with the Wavelength zones of us-east-1 opened, and nothing in it. Raises NoEngine."""
    find(HOUSE)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request drowns what failed
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as aws, AdminApi() as atlas:
        prepare(aws)
        provider = Provider(Cloud(aws.direct, AtlasClient(atlas.url, atlas.client, atlas.secret)))
        with attached(provider) as attach:
            yield Account(folder, aws, atlas, provider, attach)


def prepare(aws: EmulatedCloud) -> None:
    """What docs/deploy.md tells to do once for each account: a key for secrets, and a bucket for states."""
    key = aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    aws.client("kms").create_alias(AliasName=ALIAS, TargetKeyId=key)
    aws.client("s3").create_bucket(Bucket=BUCKET)
    aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
