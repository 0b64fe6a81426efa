"""What rollouts are measured in: two zones of three edge nodes, a forge, a controller that can be killed, and clients.

All of it is real and of this machine, and ends with this process. Nothing is measured here.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from controller.commands.orders import order
from controller.demo.changes import Change
from controller.demo.chronicle import Chronicle
from controller.demo.forge import Forge
from controller.keys import build_key
from controller.model import Lane, Phase, Rollout
from controller.node.pack import pack
from controller.site import Site, load_site
from controller.sources.webhook import signature
from environments import Environment, from_folder
from infra.local.platform import Platform, up
from tests.bench.progress import say

HERE = Path(__file__).parent
SOURCES = HERE.parents[1]
NAME = "bench"
SECRET = "a secret of the bench"
TRAFFIC = "120:0.5:120:0"
"""Devices, messages a second of each, readers' requests a second, no customers."""
PATIENCE = 60.0

T = TypeVar("T")


class Broken(Exception):
    """Something did not come to pass; the message says what, and where the rollout stood."""


@dataclass(slots=True)
class Clients:
    """The traffic of one part, counted by the clients themselves, in a folder of its own."""

    folder: Path
    outputs: Path
    process: subprocess.Popen[bytes]

    def counted(self) -> Mapping[str, Any]:
        """What the clients of the edge application counted until about a second ago."""
        try:
            lines = (self.folder / "load.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        whole = [line for line in lines if line.endswith(b"}")]
        found: Mapping[str, Any] = json.loads(whole[-1])["environments"][NAME]["mqtt"] if whole else {}
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def fate(self) -> Mapping[str, Any]:
        """What became of every acknowledged message. Stop first."""
        argv = [sys.executable, "-m", "infra.local.load", "verify", "--out", str(self.folder), str(self.outputs)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode not in (0, 2):
            raise Broken(f"The acknowledged messages could not be looked for: {done.stderr.strip()}")
        found: Mapping[str, Any] = json.loads(done.stdout)[NAME]
        return found


class World:
    """A running world. Use ``opened``."""

    def __init__(self, root: Path, platform: Platform, forge: Forge, site: Site, environment: Environment) -> None:
        self.root, self.platform, self.forge, self.site, self.environment = root, platform, forge, site, environment
        self.chronicle = Chronicle(site, NAME)
        self.controller: subprocess.Popen[bytes] | None = None
        self.fleet = environment.fleets["mqtt"]
        self.canaries = self.fleet.wave_nodes(len(self.fleet.waves) - 1)
        self.nodes = {node.name: node for node in platform.outputs[NAME].nodes}

    # ---- the controller -------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        argv = [sys.executable, "-m", "controller.cli", "--site", str(self.site.file), "run"]
        with (self.root / "controller.log").open("ab") as log:
            self.controller = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill_controller(self) -> None:
        assert self.controller is not None
        self.controller.kill()
        self.controller.wait()

    def hint(self) -> None:
        """What a forge does after a push: a signed call that names the branch."""
        assert self.site.webhook is not None
        body = json.dumps({"ref": f"refs/heads/{NAME}"}).encode()
        url = f"http://{self.site.webhook.host}:{self.site.webhook.port}/"
        headers = {"X-Hub-Signature-256": signature(SECRET.encode(), body)}
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=2).close()
        except OSError as silence:
            raise Broken(f"The controller's webhook does not answer: {silence}") from silence

    def order(self, verb: str, reason: str) -> None:
        said = order(self.site, NAME, verb, reason)
        if isinstance(said, str):
            raise Broken(said)

    def source(self, path: str) -> str:
        """A file as the branch has it on the server."""
        return self.forge.file(NAME, path)

    # ---- commits and what becomes of them -------------------------------------------------------------------------

    def push(self, change: Change, hint: bool = True) -> tuple[str, float]:
        """Merge a change; its commit, and when its push began (UTC)."""
        commit, began = self.forge.change(NAME, change)
        if hint:
            self.hint()
        return commit, began

    def wait(self, what: str, look: Callable[[], T | None], seconds: float = PATIENCE, every: float = 0.05) -> T:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found is not None and found is not False:
                return found
            time.sleep(every)
        last = self.chronicle.read().standing.rollout
        stands = f" Rollout {last.number} is {last.phase}: {last.why}" if last is not None else ""
        raise Broken(f"{what} did not happen within {seconds:.0f} s.{stands}")

    def rollout(self, commit: str) -> Rollout | None:
        return self.chronicle.read().rollout(commit)

    def became(self, commit: str, *phases: Phase, seconds: float = 2 * PATIENCE) -> Rollout:
        """The rollout of a commit, once it is in one of ``phases`` with no work left on the fleet.

        One that was given up without a verdict is tried again by the controller itself: that is waited for once.
        """

        def look() -> Rollout | None:
            found = self.rollout(commit)
            if found is None or (found.phase is Phase.PROMOTED and not found.settled):
                return None
            ended = found.phase in (Phase.PROMOTED, Phase.REVERTED, Phase.SUPERSEDED, Phase.STUCK)
            held_again = found.phase is Phase.HELD and found.attempt > 1
            if (ended or held_again) and found.phase not in phases:
                raise Broken(f"Rollout {found.number} ended {found.phase}: {found.why}")
            return found if found.phase in phases else None

        return self.wait(f"{' or '.join(phases)} of {commit[:7]}", look, seconds)

    # ---- traffic --------------------------------------------------------------------------------------------------

    @contextmanager
    def clients(self, name: str) -> Iterator[Clients]:
        """Devices and readers, until the block ends."""
        folder, outputs = self.root / name, self.site.outputs_folder / NAME / "outputs.json"
        folder.mkdir()
        argv = [sys.executable, "-m", "infra.local.load", "run", "--out", str(folder)]
        argv += ["--traffic", f"{NAME}={TRAFFIC}", str(outputs)]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        clients = Clients(folder, outputs, process)
        try:
            self.wait("Traffic", lambda: clients.counted().get("requests", 0) >= 500 or None)
            yield clients
        finally:
            clients.stop()

    def stop(self) -> None:
        if self.controller is not None and self.controller.poll() is None:
            self.controller.terminate()
            try:
                self.controller.wait(12)
            except subprocess.TimeoutExpired:
                self.controller.kill()
                self.controller.wait()
        self.platform.stop()


@contextmanager
def opened(root: Path) -> Iterator[World]:
    """A fresh world under ``root``, with a first release promoted on every node."""
    root = root.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    say("bringing up six edge nodes, mongod and a git server")
    environment = from_folder(HERE / "environments", NAME)
    build_key(root / "platform" / "keys")
    platform = up(root / "platform", [environment], pack(root / "node.pyz"), SOURCES / "apps")
    world = None
    try:
        forge = Forge(root / "clone")
        files = {name: HERE / "environments" / name for name in ("base.toml", f"{NAME}.toml")}
        first = forge.begin(SOURCES, files, platform.outputs[NAME].repository, (NAME,))
        site = root / "platform" / "turnabout.toml"
        webhook = f'[webhook]\nport = {platform.ports.take()}\nsecret = "{SECRET}"\n'
        site.write_text(f"environments = {json.dumps([NAME])}\n{webhook}")
        world = World(root, platform, forge, load_site(site), environment)
        world.start_controller()
        world.wait("Seeing the first commit", lambda: world.rollout(first))
        world.order("approve", "a first release has nothing to be compared with")
        world.became(first, Phase.PROMOTED, seconds=90)
        say("the first release is promoted on every node")
        yield world
    finally:
        if world is not None:
            world.stop()
        else:
            platform.stop()


def lane(rollout: Rollout) -> Lane:
    return rollout.lanes[0]
