"""Where a fault begins and where it must end: a first release promoted, and everybody of one mind.

What goes wrong in between is the tests' matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model import Phase, Rollout
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration.small import Place, begin, discard, wait


def first_promoted(root: Path, name: str, overlay: str) -> Iterator[Place]:
    """An environment whose first release is promoted, and no controller."""
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(root, {name: overlay})
    try:
        place = small.places[name]
        with place.controller():
            wait("the first release", lambda: place.rollout(place.head()))
            assert place.turnabout("approve", name, "--reason", "first")[0] == 0
            place.until(place.head(), Phase.PROMOTED)
        yield place
    finally:
        discard(small)


def candidate(rollout: Rollout) -> str:
    return rollout.lanes[0].candidate.digest


def base(rollout: Rollout) -> str:
    good = rollout.lanes[0].base
    assert good is not None
    return good.digest


def ends(place: Place, commit: str, phase: Phase, seconds: float = 60.0) -> Rollout:
    """The rollout of a commit at its end, with fleet, ledger and clients of one mind about it."""
    rollout = place.until(commit, phase, seconds)
    wanted = candidate(rollout) if phase is Phase.PROMOTED else base(rollout)
    assert place.chronicle.read().standing.promoted["toy"].digest == wanted
    wait("the fleet agrees", lambda: place.run(wanted))
    if phase is not Phase.PROMOTED and rollout.t0 is not None:
        assert place.small.crowd.served(candidate(rollout)).last <= rollout.t0 + rollout.budget.limit
    return rollout


def pending_because(place: Place, commit: str, what: str) -> Rollout:
    """The pending rollout of a commit, as soon as it says why it waits."""
    seen = ""

    def look() -> Rollout | None:
        nonlocal seen
        rollout = place.rollout(commit)
        seen = f"{rollout.phase}: {rollout.why}" if rollout else "not there"
        return rollout if rollout is not None and rollout.phase is Phase.PENDING and what in rollout.why else None

    try:
        return wait(f"it waits because {what!r}", look)
    except AssertionError as late:
        raise AssertionError(f"{late}; it is {seen}") from None


def git_agrees(place: Place, rollout: Rollout) -> str:
    row = wait("the revert commit", lambda: place.chronicle.read().git(rollout.number), 60)
    assert row.body["commit"] == place.head(), row.body
    return place.message(place.head())


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
