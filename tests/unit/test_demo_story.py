"""The demo's own promises: what breaks one and what does not, how to go on by hand, and how much there is to spare."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controller.clock import BootClock
from controller.demo import by_hand, publish
from controller.demo.chronicle import Chronicle
from controller.demo.forge import Forge
from controller.demo.outcomes import LATE, gone_in_time, tries
from controller.demo.show import Show
from controller.demo.stage import Broken, Stage, Unmet
from controller.demo.world import ENVIRONMENTS, HERE, TRAFFIC
from controller.faces.demo import Ending
from controller.judge.evidence import Evidence, sees_from
from controller.judge.weighing import WARM_UP
from controller.model import Arm, Phase
from environments import from_folder
from tests import tales

# ---- what is a broken promise, and what is not ----------------------------------------------------------------------


def test_what_does_not_happen_in_time_breaks_no_promise() -> None:
    stage = Stage(Path("nowhere"), Path("nowhere"))
    with pytest.raises(Unmet, match=r"^Traffic in every environment did not happen within 0 s\.$"):
        stage.wait("Traffic in every environment", 0.0, lambda: None)


def test_a_candidate_that_is_on_trial_for_too_long_breaks_one() -> None:
    rollout = tales.reverted().rollout
    late = BootClock().now() - rollout.budget.limit - LATE - 1
    for phase in (Phase.DEPLOYING, Phase.WATCHING, Phase.REVERTING):
        with pytest.raises(Broken, match=r"prod has 7c1e9f4 on trial for 183 s; 180 s are allowed"):
            gone_in_time(replace(rollout, phase=phase, t0=late))
        gone_in_time(replace(rollout, phase=phase, t0=late + 5))
    gone_in_time(replace(rollout, phase=Phase.REVERTED, t0=late))


def test_a_change_that_was_held_first_says_so_and_why() -> None:
    held, promoted = tales.held().rollout, tales.promoted().rollout
    assert tries((promoted,)) == ""
    assert tries((held, promoted)) == " (held once: no clear pass; promoted at the second try)"


# ---- the report of a demo, however it ended -------------------------------------------------------------------------


class Told(Chronicle):
    """A chronicle of rows that stand here, and not in a file."""

    def __init__(self, tale: tales.Tale) -> None:
        self.environment, self.rows = tale.environment, tale.written

    def read(self) -> Chronicle:
        return self


def played(tmp_path: Path, tale: tales.Tale, sentence: str) -> tuple[Stage, Show]:
    """A demo whose second scene, in which the tale's rollouts began, did not hold."""
    stage = Stage(tmp_path / "build" / "demo", tmp_path, chronicles={"prod": Told(tale)})
    show = Show(stage, plain=True)
    for i, began in enumerate((0.0, tale.t0_at - 10.0)):
        show.begin(i)
        show.began[i] = began
    show.done(0, "mongod and nodes")
    show.broke(1, sentence)
    return stage, show


def test_the_report_of_a_failed_demo_shows_what_did_not_hold_with_its_rollouts(tmp_path: Path) -> None:
    stage, show = played(tmp_path, tales.orphaned(), "prod did not promote it.")
    publish(stage, show, Ending.UNMET)
    page = (tmp_path / "build" / "report.html").read_text()
    failed = page.index("<b>traffic flows</b>")
    assert page.index("<b>everything starts</b>") < page.index(">prod/41<") < failed < page.index(">prod/42<")
    assert page.index(">prod/42<") < page.index(">prod/43<")
    assert page.count("prod did not promote it.") == 2
    assert "NOT SHOWN" in page
    assert "NOT KEPT" not in page
    said = json.loads((tmp_path / "build" / "demo.json").read_text())
    assert (said["kept"], said["ending"]) == (False, "not everything happened as it should; no promise was broken")


def test_every_try_of_a_commit_is_found_with_its_newest_row() -> None:
    attempts = Told(tales.orphaned()).attempts(tales.BAD)
    assert [(one.number, one.phase) for one in attempts] == [(42, Phase.HELD), (43, Phase.PROMOTED)]


# ---- going on by hand -----------------------------------------------------------------------------------------------


def git(folder: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout.strip()


def commands(text: str) -> list[list[str]]:
    """The git commands of the words that a kept demo ends with."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [shlex.split(one) for line in lines if line.startswith("git ") for one in line.split(" && ")]


def test_the_commands_that_a_kept_demo_prints_work_in_its_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, sources, clone = (tmp_path / name for name in ("bare.git", "sources", "clone"))
    (sources / "apps" / "one").mkdir(parents=True)
    (sources / "apps" / "one" / "web.py").write_text("x = 1\n")
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # as on a machine where nobody has told git who he is
    Forge(clone).begin(sources, {}, str(bare), ENVIRONMENTS)
    assert git(clone, "branch", "--format=%(refname:short) %(upstream:short)").splitlines() == [
        "dev origin/dev",
        "prod origin/prod",
        "stage origin/stage",
    ]
    checkout, pull, commit, push = commands(by_hand(clone, tmp_path / "site.toml"))
    git(clone, *checkout[1:])
    git(clone, *pull[1:])
    (clone / "apps" / "one" / "web.py").write_text("x = 2\n")
    git(clone, *commit[1:])
    git(clone, *push[1:])
    assert git(bare, "log", "-1", "--format=%s", "dev") == "What I changed"


def test_the_readme_names_the_same_commands_as_the_demo() -> None:
    readme = (HERE.parents[1] / "README.md").read_text()
    for argv in commands(by_hand(Path("clone"), Path("site"))):
        assert shlex.join(argv).replace("'", '"') in readme


def test_beside_nodes_that_are_apart_the_first_command_leads_to_where_they_are() -> None:
    inside = ("nsenter", "--net=/proc/7/fd/9", "--")
    lines = by_hand(Path("clone"), Path("site"), inside).splitlines()
    assert lines[lines.index("  export TURNABOUT_SITE=site") - 1] == "  nsenter --net=/proc/7/fd/9 -- bash"
    assert "nsenter" not in by_hand(Path("clone"), Path("site"))


def test_where_nodes_cannot_be_apart_the_demo_says_why_and_is_skipped() -> None:
    somebody = ("unshare", "--user", "--map-user=1000") if os.getuid() == 0 else ()
    if somebody and subprocess.run([*somebody, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this root cannot be somebody else: unshare gives it no user namespace")
    argv = [*somebody, sys.executable, "-m", "controller.cli", "demo", "--fleet", "ssh"]
    done = subprocess.run(argv, cwd=HERE.parents[1], capture_output=True, text=True, timeout=60, check=False)
    reason = "Nodes in networks of their own need root, which alone may make such networks."
    assert (done.returncode, done.stdout) == (0, f"Skipped: {reason}\n"), done.stderr


# ---- enough to spare ------------------------------------------------------------------------------------------------

SLOWEST = 0.065
"""The share of calls over last good's slowest twentieth when it comes out high: a twentieth, and a few more."""


@pytest.mark.parametrize("app", ["mqtt", "c360"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_harmless_change_passes_with_two_thirds_of_the_requests_that_are_sent(name: str, app: str) -> None:
    environment = from_folder(HERE / "environments", name)
    fleet = environment.fleets[app]
    readers, customers = (float(rate) for rate in TRAFFIC[name].split(":")[2:])
    a_second = (readers if app == "mqtt" else customers) + fleet.synthetic_per_second
    nodes = fleet.nodes_per_zone * len(fleet.zones)
    canaries = sum(fleet.waves[-1].values())
    on_each = a_second * (environment.budget.watch - WARM_UP) / nodes / 1.5
    canary, control = int(on_each * canaries), int(on_each * (nodes - canaries))
    counted = Evidence(canary=Arm(canary, round(canary * SLOWEST)), control=Arm(control, round(control * SLOWEST)))
    limit = sees_from(counted, 3 / environment.judge.alpha)
    assert limit is not None
    assert limit <= environment.judge.smallest_harm
