"""The controller killed by SIGKILL at every kind of row of a rollout, for a good change and for a bad one.

Whatever row was its last, the next controller must bring fleet, ledger and git to agree: the good change runs
everywhere, the bad one nowhere, and nothing was promoted without a PASS. ``--long`` plays every row, else a few.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model import Phase, Rollout
from controller.rollout import rows
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration import toy
from tests.integration.small import Place, Small, begin, discard, git, wait

TWO_NODES = """
[fleet.toy]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
"""
GOOD, BAD = Phase.PROMOTED, Phase.REVERTED
ALWAYS = (
    ("lead", GOOD), ("seen", GOOD), ("rollout pending", GOOD), ("moment staged", GOOD), ("rollout deploying", GOOD),
    ("moment wave1", GOOD), ("rollout watching", GOOD), ("sample", GOOD),
)  # fmt: skip
"""Rows before a verdict: what is known then is the same of both changes."""
MATRIX = (
    *ALWAYS, ("rollout promoted", GOOD), ("rollout settled", GOOD), ("git note", GOOD),
    ("rollout deploying", BAD), ("rollout watching", BAD), ("sample", BAD), ("rollout reverting", BAD), ("saved", BAD),
    ("moment traffic_off", BAD), ("moment nodes_back", BAD), ("rollout reverted", BAD), ("moment gone", BAD),
    ("git revert", BAD), ("git note", BAD),
)  # fmt: skip
SHORT = (("rollout deploying", GOOD), ("rollout promoted", GOOD), ("rollout reverting", BAD), ("git revert", BAD))
LANES = 2
"""Environments that are played side by side: most of a rollout is waiting."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    made = begin(tmp_path / "w", {f"lane{n}": TWO_NODES for n in range(LANES)})
    try:
        yield made
    finally:
        discard(made)


def test_whatever_row_was_its_last_the_next_controller_ends_what_it_began(
    small: Small, request: pytest.FixtureRequest
) -> None:
    wanted: queue.SimpleQueue[tuple[str, Phase]] = queue.SimpleQueue()
    points = MATRIX if request.config.getoption("--long") else SHORT
    for point in points:
        wanted.put(point)
    recovered: list[tuple[str, Phase]] = []
    failed: list[str] = []

    def play(place: Place) -> None:
        try:
            first_release(place)
            while True:
                row, ends = wanted.get_nowait()
                try:
                    killed_at(place, row, ends)
                    recovered.append((row, ends))
                except AssertionError as wrong:
                    failed.append(f"killed at {row!r}, to be {ends}: {wrong}")
                    return  # what this lane would begin from is not known any more
        except queue.Empty:
            return
        except Exception as broke:
            failed.append(f"{place.name}: {broke!r}")

    threads = [threading.Thread(target=play, args=(place,), daemon=True) for place in small.places.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\n{len(recovered)} of {len(points)} recovered")
    assert not failed, "\n".join(failed)
    assert sorted(recovered) == sorted(points)


def first_release(place: Place) -> None:
    first = place.head()
    place.start()
    wait("the first release", lambda: place.rollout(first))
    assert place.turnabout("approve", place.name, "--reason", "first")[0] == 0
    place.until(first, Phase.PROMOTED, 90)
    assert place.stop() == 0


def killed_at(place: Place, row: str, ends: Phase) -> None:
    """Play one change with a controller that dies of ``row``, then with one that lives."""
    base = place.chronicle.read().standing.promoted["toy"]
    began, tip = len(place.chronicle.rows), place.head()
    word = f"{row.replace(' ', '-')}-{began}"
    commit = place.change(f"Change it: {word}", toy.good(word) if ends is GOOD else toy.harm(word))
    place.start("-m", "tests.faults.dying", row)
    assert place.process is not None
    assert place.process.wait(90) == -9, "it died of something else"
    last = place.chronicle.read().standing.last_row
    place.start()
    wait("the next one leads", lambda: any(r.kind == rows.LEAD for r in place.chronicle.read().rows[last:]))
    try:
        rollout = ended(place, commit, ends)
        wait("git is told", place.owes_nothing, 60)
        agrees(place, rollout, base.digest, began, tip)
    finally:
        assert place.stop() == 0


def ended(place: Place, commit: str, ends: Phase) -> Rollout:
    rollout = place.until(commit, ends, 120)
    assert not (set(place.events(rollout.number)) & {"PROMOTED"}) or ends is GOOD
    return rollout


def agrees(place: Place, rollout: Rollout, base: str, began: int, tip: str) -> None:
    """Fleet, ledger and git say the same."""
    lane, standing = rollout.lanes[0], place.chronicle.read().standing
    wanted = lane.candidate.digest if rollout.phase is GOOD else base
    assert standing.promoted["toy"].digest == wanted, "the ledger"
    assert place.run(wanted, lane.nodes), "the fleet"
    decided = [r.body["rollout"] for r in place.chronicle.rows[began:] if r.kind == rows.ROLLOUT]
    for body in decided:
        if body["phase"] == "PROMOTED" and not body["settled"]:
            assert re.match(r"No check found harm in \d+ s", body["why"]), "promoted without a PASS"
    if rollout.phase is GOOD:
        assert place.head() == rollout.commit, "git"
        return
    served, t0 = place.small.crowd.served(lane.candidate.digest), [b["t0"] for b in decided if b["t0"] is not None]
    assert served.last <= max(t0) + rollout.budget.limit, "clients got it after its limit"
    assert time.clock_gettime(time.CLOCK_BOOTTIME) > served.last
    assert lane.candidate.digest in standing.quarantine
    made = git(place.small.repository, "rev-list", f"{rollout.commit}..{place.name}").splitlines()
    assert len(made) == 1, f"{len(made)} commits on top of the bad one, not one revert commit"
    assert f"Turnabout-Rollout: {rollout.token}" in place.message(made[0]).splitlines()
    assert git(place.small.repository, "diff", tip, place.name, "--", "apps") == "", "git"
