"""What new nodes find follows what is promoted: looked at once by every controller, then whenever it moves."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import cast

from controller.errors import Refused, Trouble, Unreachable
from controller.loop.publishing import Publishing
from controller.model import AppRelease, Cause, Phase
from controller.ports import Clock
from controller.rollout.standing import Standing, fold
from tests.unit.scene import L, X, lane, release, rollout
from tests.unit.test_standing import Ledger

OLD, NEW = release(L), release(X)


class AtOnce:
    """A pool that does what it is given before it returns."""

    def submit(self, call: object, *args: object) -> None:
        call(*args)  # type: ignore[operator]  # what a pool is given


class Hand:
    """A clock that a test moves."""

    name = "hand"
    at = 100.0

    def now(self) -> float:
        return self.at

    def utc(self) -> float:
        return self.at


class Kept:
    """A shelf in memory. ``trouble`` is what it says instead, as often as it is there."""

    apps: tuple[str, ...] = ("mqtt",)

    def __init__(self) -> None:
        self.has: tuple[AppRelease | None, AppRelease | None] = (None, None)
        self.trouble: list[Exception] = []
        self.asked = 0

    def hold(self, app: str, good: AppRelease | None, previous: AppRelease | None, generation: int) -> bool:
        self.asked += 1
        if self.trouble:
            raise self.trouble.pop(0)
        moved, self.has = self.has != (good, previous), (good, previous)
        return moved


class Table:
    def __init__(self) -> None:
        self.shelf, self.clock, self.said = Kept(), Hand(), list[str]()
        self.publishing = Publishing(self.shelf, cast("Executor", AtOnce()), cast("Clock", self.clock), self._hear)

    def _hear(self, app: str, said: str, trouble: Trouble | None) -> None:
        self.said.append(f"{said}: {trouble}" if trouble else said)

    def look(self, standing: Standing) -> None:
        self.publishing.look(standing, 3)


def test_a_promotion_and_the_release_before_it_are_held_out_once() -> None:
    table, standing = Table(), Standing(promoted={"mqtt": NEW}, before={"mqtt": OLD})
    for _ in range(3):
        table.look(standing)

    assert table.shelf.has == (NEW, OLD)
    assert (table.shelf.asked, table.said) == (1, [f"A new node of mqtt starts with {NEW.commit[:7]}."])


def test_a_controller_that_starts_looks_once_and_says_nothing_where_nothing_moved() -> None:
    table = Table()
    table.shelf.has = (NEW, None)
    table.look(Standing(promoted={"mqtt": NEW}))

    assert (table.shelf.asked, table.said) == (1, [])


def test_what_could_not_be_held_out_is_said_and_tried_again_more_and_more_patiently() -> None:
    table, standing = Table(), Standing(promoted={"mqtt": NEW})
    table.shelf.trouble = [Unreachable("writing it", "S3 is away", "It is tried again."), RuntimeError("odd")]
    asked = []
    for _ in range(9):
        table.look(standing)
        table.clock.at += 0.5
        asked.append(table.shelf.asked)

    assert asked == [1, 1, 2, 2, 2, 2, 3, 3, 3]
    start = f"A new node of mqtt does not start with {NEW.commit[:7]} yet, it is tried again"
    assert table.said == [
        f"{start}: writing it: S3 is away. It is tried again.",
        f"{start}: publishing mqtt: it broke: RuntimeError('odd'). Please report it.",
        f"A new node of mqtt starts with {NEW.commit[:7]}.",
    ]


def test_what_is_refused_does_not_keep_a_later_promotion_from_being_held_out() -> None:
    table = Table()
    table.shelf.trouble = [Refused("writing it", "no", "Look at it.")]
    table.look(Standing(promoted={"mqtt": OLD}))
    table.clock.at += 1.0
    table.look(Standing(promoted={"mqtt": NEW}, before={"mqtt": OLD}))

    assert table.shelf.has == (NEW, OLD)


def test_the_ledger_knows_what_was_promoted_before_until_the_newest_is_taken_back() -> None:
    first = rollout(Phase.PROMOTED, number=6, settled=True, lanes=(lane(candidate=OLD, base=None),))
    second = rollout(Phase.PROMOTED, number=7, settled=True, lanes=(lane(candidate=NEW, base=OLD),))
    back = rollout(Phase.RETURNING, number=7, cause=Cause.ABORTED, lanes=(lane(candidate=NEW, base=OLD),))

    one, two, three = (
        fold(Ledger().moved(*steps).rows) for steps in ((first,), (first, second), (first, second, back))
    )
    assert (one.promoted, one.before) == ({"mqtt": OLD}, {})
    assert (two.promoted, two.before) == ({"mqtt": NEW}, {"mqtt": OLD})
    assert (three.promoted, three.before) == ({"mqtt": OLD}, {})
