"""What the branch asks for and cannot be looked at: which rows the ledger gets of it, and that each comes once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.errors import Refused, Unreachable
from controller.loop.branch import PATIENCE, REFUSED_AGAIN, Branch
from controller.model import Release
from controller.ports import Artifacts, Source
from controller.rollout.rows import BLOCKED, Body
from controller.rollout.standing import Standing, advance
from environments import BadEnvironment, Environment, Problem, load
from tests.unit.test_environments import FILES
from tests.unit.test_standing import Ledger

DEV = load({name: text.encode() for name, text in FILES.items()}.get, "dev")
GOOD, BAD, WORSE = "a" * 40, "b" * 40, "c" * 40
NO_TOML = BadEnvironment([Problem("environments/dev.toml", "line 3, column 1", "this is not TOML")])


class AtOnce(ThreadPoolExecutor):
    """Does what it is given when it is given it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **named))
        return done


@dataclass
class Repository:
    """A source whose branch a test moves; some commits cannot be released."""

    head: str | None = GOOD
    away: bool = False
    refuses: Mapping[str, Exception] = field(default_factory=lambda: {BAD: NO_TOML, WORSE: Refused("building", "no")})

    def heads(self) -> Mapping[str, str]:
        if self.away:
            raise Unreachable("asking git://x for its branches", "the server does not answer", "Look at it.")
        return {} if self.head is None else {"dev": self.head}

    def release(self, environment: Environment, commit: str) -> Release:
        if commit in self.refuses:
            raise self.refuses[commit]
        return Release("dev", commit, "a change", 0.0, {}, 1)


@dataclass
class Clock:
    name: str = "by hand"
    at: float = 0.0

    def now(self) -> float:
        return self.at

    def utc(self) -> float:
        return 1000.0 + self.at


class Place:
    """A branch that is asked every time somebody looks, and the ledger that its rows go to."""

    def __init__(self, source: Any, artifacts: Any = None) -> None:
        self.source, self.clock, self.ledger, self.standing = source, Clock(), Ledger(), Standing()
        self.start()

    def start(self) -> None:
        """A controller begins, and knows of the branch only what the ledger says."""
        source: Source = self.source
        artifacts: Artifacts = self.source
        self.branch = Branch(source, artifacts, AtOnce(1), self.clock, lambda heard: heard())

    def look(self, seconds: float = 10.0) -> list[Body]:
        """The rows of one look, ``seconds`` after the last."""
        self.clock.at += seconds
        self.branch.ask(DEV)
        bodies = list(self.branch.blocked("dev", self.standing.blocked))
        for body in bodies:
            self.standing = advance(self.standing, self.ledger.add(BLOCKED, body).rows[-1])
        return bodies


@pytest.fixture
def place() -> Place:
    return Place(Repository())


def test_a_head_that_cannot_be_released_is_one_row_and_one_more_when_another_can(place: Place) -> None:
    assert place.look() == []
    place.source.head = BAD
    [row] = place.look()
    why = f"The head of dev, {BAD[:7]}, cannot be released: {NO_TOML}"
    assert row == {"about": "head", "commit": BAD, "since": 1020.0, "why": why}
    assert [*place.look(), *place.look()] == []
    assert place.standing.blocked["head"].why == why

    place.source.head = WORSE
    [row] = place.look()
    assert (row["commit"], row["why"]) == (WORSE, f"The head of dev, {WORSE[:7]}, cannot be released: building: no.")
    place.source.head = GOOD  # by force: no new commit is seen, and still it is over
    [row] = place.look()
    assert (row["commit"], row["why"]) == (WORSE, None)
    assert place.standing.blocked == {}
    assert place.look() == []


def test_a_silent_source_is_a_row_after_a_while_that_says_since_when(place: Place) -> None:
    place.look()
    place.source.away = True
    assert place.look() == []
    assert place.look(PATIENCE - 1) == []
    [row] = place.look(1)
    assert (row["about"], row["since"]) == ("source", 1020.0)
    assert row["why"] == "asking git://x for its branches: the server does not answer. Look at it."
    assert place.look(PATIENCE) == []
    place.source.away = False
    [row] = place.look()
    assert (row["about"], row["why"]) == ("source", None)


def test_a_short_silence_is_no_row(place: Place) -> None:
    for away in (False, True, False, True, False):
        place.source.away = away
        assert place.look(PATIENCE - 1) == []


def test_a_branch_that_is_gone_is_a_row_until_it_is_back(place: Place) -> None:
    place.look()
    place.source.head = None
    [row] = place.look()
    assert (row["about"], row["why"]) == (
        "branch", "The repository has no branch dev any more: nothing changes here until somebody pushes it.",
    )  # fmt: skip
    place.source.head = GOOD
    [row] = place.look()
    assert (row["about"], row["why"]) == ("branch", None)


def test_a_controller_that_starts_ends_nothing_before_it_has_heard_the_source(place: Place) -> None:
    place.source.head = BAD
    place.look()
    place.source.away = True
    place.start()
    assert place.look() == [], "the head may be as it was"
    place.source.away = False
    assert place.look() == [], "and it is"
    place.start()
    place.source.head = GOOD
    assert [row["why"] for row in place.look()] == [None]


def test_what_was_refused_is_read_once_more_after_a_while_and_not_at_every_poll(place: Place) -> None:
    place.source.head = BAD
    place.look()
    place.source.refuses = {}  # a git that somebody ended, say: the next one is let do its work
    assert place.look(REFUSED_AGAIN - 1) == []
    assert place.branch.release is None
    [row] = place.look()
    assert (row["commit"], row["why"]) == (BAD, None)
    assert place.branch.release is not None
