"""A small platform with everything real: nodes, balancers, a git server, clients; and a controller to try.

``Small`` is the machine room, ``Place`` one environment of it with its own controller, clone and site file. What is
expected of any of it stands in the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from controller import assemble
from controller.demo.chronicle import Chronicle
from controller.keys import build_key
from controller.loop.loop import EnvironmentLoop, Parts
from controller.model import Phase, Rollout
from controller.node.pack import pack
from controller.rollout import rows
from controller.site import Site, load_site
from environments import Environment, from_folder
from infra.local.apart.machines import Apart
from infra.local.places import OneMachine, Places
from infra.local.platform import Platform, up
from infra.outputs import NodeOutput, to_json
from tests.integration import toy
from tests.integration.crowd import Crowd, Gate

T = TypeVar("T")
Json = dict[str, Any]
HERE = Path(__file__).resolve().parents[2]

BASE = """\
poll_seconds = 0.3
drift_every_seconds = 0
[budget]
deploy_seconds = 12
watch_seconds = 4
revert_seconds = 15
margin_seconds = 3
wave_seconds = 1
[judge]
alpha = 0.01
silence_seconds = 3.5
smallest_harm = 0.4
[app.toy]
greeting = "hello"
[app.side]
greeting = "hello"
"""
TOY = """
[fleet.toy]
zones = ["BOS"]
nodes_per_zone = 3
waves = [{ BOS = 1 }]
"""
SIDE = """
[fleet.side]
zones = ["region"]
nodes_per_zone = 2
waves = [{ region = 1 }]
"""
CUT = """\
#!/bin/sh
# The way to a node: the node is $5, its program the words before. A test can cut it, or let others answer.
if [ -e "$5/cut" ]; then sleep 1; exit 255; fi
if [ -e "$5/instead" ]; then . "$5/instead"; fi
exec "$@"
"""
WHO = {f"GIT_{role}_{what}": "ann" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


def git(folder: Path, *argv: str) -> str:
    env = {**os.environ, **WHO, **QUIET}
    done = subprocess.run(["git", *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"git {' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


def wait(what: str, look: Callable[[], T | None], seconds: float = 30.0) -> T:
    """What ``look`` finds; the bound is only there so that a failing test ends."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class Notes:
    """A notifier that keeps what it is told."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, environment: str, event: str, sentence: str, fields: Any) -> None:
        self.said.append((event, sentence))


@dataclass
class Place:
    """One environment: its site, its branch, the clone that somebody edits, and its controller while one runs."""

    small: Small
    name: str
    site: Site
    clone: Path
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.chronicle = Chronicle(self.site, self.name)
        self.nodes = [node.name for node in self.small.platform.outputs[self.name].nodes]

    # ---- somebody edits

    def change(self, subject: str, *edits: toy.Edit, app: str = "toy", push: bool = True) -> str:
        """Commit edits on top of what the branch is now, and push: the commit."""
        return self.commit(subject, {app: edits}, push)

    def commit(self, subject: str, by_app: dict[str, Sequence[toy.Edit]], push: bool = True, **files: str) -> str:
        """``files`` are whole files of the environments folder, by name without ``.toml``."""
        git(self.clone, "fetch", "--quiet", "origin", self.name)
        git(self.clone, "checkout", "--quiet", "-B", self.name, "FETCH_HEAD")
        for app, edits in by_app.items():
            for name, before, after in edits:
                path = self.clone / "apps" / app / name
                text = path.read_text()
                assert text.count(before) == 1, f"{path} holds {before!r} {text.count(before)} times"
                path.write_text(text.replace(before, after))
        for name, content in files.items():
            (self.clone / "environments" / f"{name}.toml").write_text(content)
        git(self.clone, "commit", "--quiet", "--all", "--allow-empty", "--message", subject)
        if push:
            self.push()
        return git(self.clone, "rev-parse", "HEAD")

    def push(self, *force: str) -> None:
        git(self.clone, "push", "--quiet", *force, "origin", self.name)

    def head(self) -> str:
        """What the git server says the branch is."""
        return git(self.small.repository, "rev-parse", self.name)

    def message(self, commit: str) -> str:
        return git(self.small.repository, "show", "--no-patch", "--format=%B", commit)

    # ---- the controller

    def start(self, *wrapped: str) -> None:
        """The controller as a process; ``wrapped`` are the words that start it where it is not the product's own."""
        argv = [sys.executable, *(wrapped or ("-m", "controller.cli")), "--site", str(self.site.file), "run"]
        with (self.small.root / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=HERE)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def log(self) -> list[Json]:
        """What the controller told people: one line each."""
        lines = (self.small.root / f"{self.name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def told(self, event: str) -> list[str]:
        return [line["why"] for line in self.log() if line["event"] == event]

    @contextlib.contextmanager
    def controller(
        self, changed: Callable[[Environment, Parts], tuple[Environment, Parts]] = lambda *both: both
    ) -> Iterator[Notes]:
        """The controller inside this process, with parts of its own where a test wants that; what it tells people."""
        notes, stop = Notes(), threading.Event()
        broke: list[Exception] = []

        def run() -> None:
            try:
                EnvironmentLoop(*made).run(stop)
            except Exception as error:  # shown below, where the test sees it
                broke.append(error)

        with ThreadPoolExecutor(16, f"pool-{self.name}") as pool:
            made = changed(*assemble.put_together(self.site, self.name, assemble.shared(self.site), notes, pool))
            thread = threading.Thread(target=run, name=self.name)
            thread.start()
            try:
                yield notes
            finally:
                stop.set()
                thread.join(30)
        if broke:
            raise broke[0]

    def turnabout(self, *argv: str) -> tuple[int, str]:
        return turnabout("--site", str(self.site.file), *argv)

    # ---- what is seen

    def rules_of(self, commit: str) -> None:
        """Wait until what a commit states as rules, and nothing else, is in force."""
        wait(f"the rules of {commit[:7]}", lambda: self.chronicle.read().standing.policy == commit)

    def rollout(self, commit: str) -> Rollout | None:
        return self.chronicle.read().rollout(commit)

    def until(self, commit: str, phase: Phase, seconds: float = 40.0, after: int = 0) -> Rollout:
        """The newest rollout of a commit, numbered above ``after``, as soon as it is in ``phase``."""
        seen = None

        def look() -> Rollout | None:
            nonlocal seen
            seen = self.rollout(commit)
            there = seen is not None and seen.number > after and seen.phase is phase
            return seen if there and (phase is not Phase.PROMOTED or seen.settled) else None  # type: ignore[union-attr]  # there

        try:
            return wait(f"{commit[:7]} is {phase}", look, seconds)
        except AssertionError as late:
            where = f"rollout {seen.number} is {seen.phase}: {seen.why}" if seen else "it has no rollout"
            raise AssertionError(f"{late}; {where}") from None

    def approve_first(self, commit: str, seconds: float = 40.0) -> Rollout:
        """A first release, which waits for a person because there is no last good: approved, and promoted."""
        wait("it asks", lambda: (seen := self.rollout(commit)) is not None and "an approval" in seen.why, seconds)
        assert self.turnabout("approve", self.name, "--reason", "the first one")[0] == 0
        return self.until(commit, Phase.PROMOTED, seconds)

    def until_promoted(self, commit: str, seconds: float = 40.0) -> Rollout:
        """The newest rollout of a commit as soon as it is promoted, while it is still settling."""

        def look() -> Rollout | None:
            seen = self.rollout(commit)
            return seen if seen is not None and seen.phase is Phase.PROMOTED else None

        return wait(f"{commit[:7]} is promoted", look, seconds)

    def numbered(self, number: int) -> Rollout | None:
        """A rollout as its newest row has it."""
        for row in reversed(self.chronicle.read().rows):
            if row.kind == rows.ROLLOUT and row.body["rollout"]["number"] == number:
                return rows.read(rows.ROLLOUTS, row.body["rollout"])
        return None

    def reaches(self, number: int, phase: Phase, seconds: float = 40.0) -> Rollout:
        """Rollout ``number`` as soon as it is in ``phase``, whatever has begun after it."""

        def look() -> Rollout | None:
            found = self.numbered(number)
            return found if found is not None and found.phase is phase else None

        return wait(f"rollout {number} is {phase}", look, seconds)

    def events(self, number: int) -> list[str]:
        """Phases of a rollout in the order of their rows."""
        of = [r.body["rollout"] for r in self.chronicle.read().rows if r.kind == rows.ROLLOUT]
        phases = [body["phase"] for body in of if body["number"] == number]
        return [phase for i, phase in enumerate(phases) if i == 0 or phases[i - 1] != phase]

    def owes_nothing(self) -> bool:
        """Whether git was told everything."""
        standing = self.chronicle.read().standing
        return not standing.owed_reverts and not standing.owed_notes

    def node(self, name: str) -> Json:
        """What the node itself says of its application, asked past every gate."""
        described = next(n for n in self.small.platform.outputs[self.name].nodes if n.name == name)
        headers = {"Authorization": f"Bearer {described.observe_token}"}
        asked = urllib.request.Request(described.observe_url, headers=headers)
        with urllib.request.urlopen(asked, timeout=3) as answer:
            app: Json = json.load(answer)["apps"][described.app]
            return app

    def run(self, digest: str | None, nodes: Sequence[str] = ()) -> bool:
        """Whether each of the nodes runs this release for good, and nothing else."""
        try:
            apps = [self.node(name) for name in nodes or self.nodes]
        except OSError:
            return False
        return all(app["running"] == app["good"] == digest and app["pending"] is None and app["ready"] for app in apps)

    def root(self, name: str) -> Path:
        return Path(next(n.root for n in self.small.platform.outputs[self.name].nodes if n.name == name))

    @property
    def apart(self) -> bool:
        """Whether its nodes are machines of their own."""
        return isinstance(self.small.platform.places, Apart)

    def enter(self, name: str) -> None:
        """The calling thread is on the node from here on, as far as the network goes."""
        places = self.small.platform.places
        if isinstance(places, Apart):
            places.network(f"{self.name}/{name}").enter()

    @contextlib.contextmanager
    def cut(self, name: str) -> Iterator[None]:
        """Nothing reaches the node from the controller and nothing comes back; the node itself lives on."""
        gate, mark = self.small.gates[self.name, name], self.root(name) / "cut"
        mark.touch()
        gate.state = "closed"
        try:
            yield
        finally:
            gate.state = "open"
            mark.unlink(missing_ok=True)

    @contextlib.contextmanager
    def instead(self, name: str, observed: str, commanded: str, says: bytes = b"") -> Iterator[None]:
        """The node lives on, and something else answers for it: a state of its gate, and shell before its program."""
        gate, way = self.small.gates[self.name, name], self.root(name) / "instead"
        way.write_text(commanded + "\n")
        gate.says, gate.state = says, observed
        try:
            yield
        finally:
            gate.state = "open"
            way.unlink()


@dataclass
class Small:
    """The machine room: platform, git server, clients, and a gate before each node's observations and before git."""

    root: Path
    platform: Platform
    git_gate: Gate
    gates: dict[tuple[str, str], Gate]
    crowd: Crowd
    places: dict[str, Place] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.root / "platform" / "git" / "repository.git"

    def stop(self) -> None:
        for place in self.places.values():
            if place.process is not None and place.process.poll() is None:
                place.process.kill()
                place.process.wait()
        self.crowd.stop()
        self.platform.stop()
        for gate in (self.git_gate, *self.gates.values()):
            gate.close()


def begin(root: Path, overlays: dict[str, str], places: Places | None = None) -> Small:
    """Everything up, one branch for each environment, no controller yet and so no release.

    ``FLEET`` in the surroundings says where the nodes are for every test that uses this, as ``places`` does for one:
    ``ssh`` places them apart, ``ssm`` in an emulated cloud.
    """
    places = places or placed(os.environ.get("FLEET"))
    root = root.resolve()
    sources = root / "sources"
    for name, content in (*toy.files("toy").items(), *toy.files("side").items()):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_text(content)
    (sources / "environments").mkdir()
    (sources / "environments" / "base.toml").write_text(BASE)
    for name, overlay in overlays.items():
        (sources / "environments" / f"{name}.toml").write_text(f'branch = "{name}"\n{overlay}')
    environments = [from_folder(sources / "environments", name) for name in overlays]
    build_key(root / "platform" / "keys")
    program = pack(root / "node.pyz")
    platform = up(root / "platform", environments, program, sources / "apps", far_store=False, places=places)
    try:
        return furnish(root, platform, sources, tuple(overlays))
    except BaseException:
        platform.stop()
        raise


def placed(fleet: str | None) -> Places:
    if fleet == "ssm":
        from tests.infra.emulated.instances import Instances

        return Instances()
    return Apart() if fleet == "ssh" else OneMachine()


def furnish(root: Path, platform: Platform, sources: Path, names: tuple[str, ...]) -> Small:
    git(sources, "init", "--quiet", f"--initial-branch={names[0]}")
    git(sources, "add", "--all")
    git(sources, "commit", "--quiet", "--message", "Begin")
    url = platform.outputs[names[0]].repository
    for name in names:
        git(sources, "push", "--quiet", url, f"HEAD:refs/heads/{name}")
    small = Small(root, platform, Gate(("127.0.0.1", urlsplit(url).port or 0)), {}, Crowd())
    way = root / "way.sh"
    way.write_text(CUT)
    way.chmod(0o700)
    for name, outputs in platform.outputs.items():
        nodes = []
        for node in outputs.nodes:
            observed = urlsplit(node.observe_url)
            gate = small.gates[name, node.name] = Gate((observed.hostname or "", observed.port or 0))
            nodes.append(replace(node, observe_url=f"http://127.0.0.1:{gate.port}/observe"))
        described = replace(outputs, nodes=tuple(nodes), program=(str(way), *outputs.program))
        (root / "seen" / name).mkdir(parents=True)
        (root / "seen" / name / "outputs.json").write_text(to_json(described))
        site = root / f"{name}.toml"
        site.write_text(
            f'environments = ["{name}"]\noutputs = "seen"\nstate = "state-{name}"\nkeys = "platform/keys"\n'
            f'repository = "git://127.0.0.1:{small.git_gate.port}/repository.git"\n'
        )
        clone = root / f"clone-{name}"
        git(root, "clone", "--quiet", "--branch", name, url, str(clone))
        small.places[name] = Place(small, name, load_site(site), clone)
        enter = platform.places.network("carrier").enter if isinstance(platform.places, Apart) else lambda: None
        small.crowd.visit((front for node in outputs.nodes for front in clients_fronts(node)), enter)
    return small


def clients_fronts(node: NodeOutput) -> list[str]:
    """Where clients reach a node's fronts: at its carrier's address, where it has one."""
    fronts = [front.rpartition(":") for front in node.fronts.values()]
    return [f"{node.carrier or host}:{port}" for host, _, port in fronts]


def turnabout(*argv: str, folder: Path = HERE) -> tuple[int, str]:
    """The command as a person runs it: exit code, and everything it printed."""
    env = {**os.environ, "PYTHONPATH": str(HERE), "TURNABOUT_WHO": "ann", "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli", *argv], cwd=folder, env=env, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def discard(small: Small) -> None:
    small.stop()
    shutil.rmtree(small.root, ignore_errors=True)
