"""Stage and prod with real nodes, balancers and controllers: what is changed on a node, and what reached prod alone.

The controllers are stopped while somebody changes a node by hand, as they would mend some of it, and run when a release
is to go somewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from controller.drift.finding import Finding, Kind
from controller.glass.drifting import look
from controller.glass.siting import Wanted
from controller.model import Phase
from controller.site import load_site
from tests.drift_suite.changes import ASK, CLOCK, PACKAGE, SKIP, Change
from tests.drift_suite.rooms import Plain, planted
from tests.integration import toy
from tests.integration.small import HERE, TOY, Place, Small, begin, clients_fronts, discard, git, wait
from tests.integration.test_artifacts import wheel

KINDS = (Kind.RELEASE, Kind.RUNTIME, Kind.HISTORY, Kind.TRAFFIC)
HERE_TOO = ("git push", "turnabout node mend")
"""What a finding prints that is run here as it stands, beside the node program's own words."""


def makes(change: Change) -> bool:
    """Whether a change can be made on this machine: a wrong clock is compiled, and packages are dpkg's."""
    needs = {CLOCK: "cc", PACKAGE: "dpkg-query"}.get(change.name)
    return needs is None or shutil.which(needs) is not None


class Fleet(Plain):
    """Each change is made, found, and made undone before the next."""

    def __init__(self, stack: ExitStack) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (self.folder / "wheels").mkdir()
        lock = wheel(self.folder / "wheels")
        os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder / "wheels")}
        self.small: Small = begin(self.folder / "w", {"stage": TOY, "prod": f'promotes_from = "stage"\n{TOY}'})
        stack.callback(discard, self.small)
        self.stage, self.prod = (self.small.places[name] for name in ("stage", "prod"))
        self.begin(lock)
        self.stop()
        self.saved: dict[Path, bytes] = {}

    def begin(self, lock: str) -> None:
        """Two releases promoted in both, so that there is one to go back to."""
        clone = self.stage.clone
        (clone / "apps" / "toy" / "requirements.lock").write_text(lock)
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--message", "Depend on something")
        for name in ("stage", "prod"):
            git(clone, "push", "--quiet", "origin", f"HEAD:{name}")
        (self.small.root / "both").mkdir()
        for place in (self.stage, self.prod):
            place.start()
            (self.small.root / "both" / place.name).symlink_to(self.small.root / f"state-{place.name}" / place.name)
            self.first(place, place.head())
        (self.small.root / "both" / "artifacts").symlink_to(self.small.root / "state-prod" / "artifacts")
        second = self.stage.change("Go on", toy.good("second"))
        self.stage.until(second, Phase.PROMOTED, 90)
        git(clone, "push", "--quiet", "origin", f"{second}:prod")
        self.prod.until(second, Phase.PROMOTED, 90)
        site = 'environments = ["stage", "prod"]\noutputs = "seen"\nstate = "both"\nkeys = "platform/keys"\n'
        (self.small.root / "both.toml").write_text(site)

    def first(self, place: Place, commit: str) -> None:
        wait("it asks", lambda: (r := place.rollout(commit)) is not None and "an approval" in r.why, 90)
        assert place.turnabout("approve", place.name, "--reason", "the first one")[0] == 0
        place.until(commit, Phase.PROMOTED, 90)

    def start(self) -> None:
        for place in (self.stage, self.prod):
            place.start()

    def stop(self) -> None:
        for place in (self.stage, self.prod):
            if place.process is not None and place.process.poll() is None:
                place.stop()

    def facts(self) -> Path:
        """What somebody with a shell on every node would know."""
        where = self.folder / "facts.json"
        nodes = {}
        for name in self.prod.nodes:
            said = self.prod.node(name)
            nodes[name] = {
                "root": str(self.prod.root(name)), "running": said["running"], "staged": said["staged"],
                "generation": said["generation"],
            }  # fmt: skip
        outputs = self.small.platform.outputs["prod"]
        fronts = [front for node in outputs.nodes for front in clients_fronts(node)]
        facts = {"nodes": nodes, "program": outputs.program, "clone": str(self.prod.clone), "fronts": fronts}
        where.write_text(json.dumps(facts))
        return where

    def plant(self, change: Change) -> None:
        if change.name in (SKIP, ASK):
            self.start()
        else:
            self.saved = kept(self.prod.root(change.given[0]))
        if change.name == ASK:
            self.rehearse()
        planted(change, str(self.facts()), {"PYTHONPATH": str(HERE)})
        if change.name in (SKIP, ASK):
            self.prod.until(self.prod.head(), Phase.PROMOTED, 120)

    def rehearse(self) -> None:
        """A release goes through stage, and prod begins with it: what prod is asked meanwhile counts."""
        commit = self.stage.change("Go on again", toy.good("rehearsed"))
        self.stage.until(commit, Phase.PROMOTED, 120)
        git(self.stage.clone, "push", "--quiet", "origin", f"{commit}:prod")

    def look(self) -> list[Finding]:
        site = load_site(self.small.root / "both.toml")
        report = look(Wanted(self.stage.clone, ("stage", "prod"), (("stage", "prod"),), KINDS, site))
        return [*report.open, *report.unseen]

    def run(self, command: str) -> bool:
        if not command.startswith((sys.executable, str(self.small.root), *HERE_TOO)):
            return False
        path, site = f"{Path(sys.executable).parent}:{os.environ['PATH']}", self.small.root / "both.toml"
        env = {**os.environ, "PYTHONPATH": str(HERE), "PATH": path, "TURNABOUT_SITE": str(site)}
        done = subprocess.run(
            command, shell=True, cwd=self.prod.clone, env=env, capture_output=True, timeout=60, check=False
        )
        if done.returncode == 0 and command.startswith("git push"):
            self.stage.until(self.stage.head(), Phase.PROMOTED, 120)
        return done.returncode == 0

    def restore(self) -> None:
        self.stop()
        for path, content in self.saved.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        for name in self.prod.nodes:
            (self.prod.root(name) / "instead").unlink(missing_ok=True)
            for older in self.prod.root(name).glob("store/dependencies/*/dependable-0.9.dist-info"):
                shutil.rmtree(older)
        self.saved = {}

    def naive(self) -> str:
        return ""  # it describes a cloud


def kept(root: Path) -> dict[Path, bytes]:
    """What of a node is put back, should nothing that is printed do it: its balancer's configuration, its libraries."""
    libraries = [path for path in root.glob("store/dependencies/*/**/*") if path.is_file()]
    return {path: path.read_bytes() for path in (root / "haproxy.cfg", *libraries)}
