"""Earlier rollouts in short: for lists, and for the row of bars beside a report.

Pure, and read from the rows as they stand: a ledger of years has thousands of rollouts, and a list needs one line of
each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.model import AppRelease, Cause, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.stories.story import Past

SHOWN = 12


@dataclass(slots=True)
class Gathered:
    """What is known of one rollout while its rows are read."""

    at: float = 0.0
    body: Any = None
    t0_at: float | None = None
    promoted: float | None = None
    gone: float | None = None
    harmed: int = 0
    closed: float | None = None
    apps: tuple[str, ...] = field(default=())


def history(rows_of: Sequence[Row]) -> tuple[Past, ...]:
    """Every rollout, oldest first."""
    gathered: dict[int, Gathered] = {}
    for row in rows_of:
        if row.kind == rows.ROLLOUT:
            gather(gathered.setdefault(row.body["rollout"]["number"], Gathered(at=row.at)), row)
        elif row.kind == rows.MOMENT and row.body["rollout"] in gathered and row.body["moment"] == "gone":
            one = gathered[row.body["rollout"]]
            one.gone = row.body["t"] if one.gone is None else one.gone
        elif row.kind == rows.SAMPLE and row.body["rollout"] in gathered:
            gathered[row.body["rollout"]].harmed = int(row.body["harmed"]["requests"])
    return tuple(lines(gathered))


def gather(one: Gathered, row: Row) -> None:
    one.body = body = row.body["rollout"]
    phase = body["phase"]
    one.apps = tuple(lane["app"] for lane in body["lanes"])
    if phase == Phase.DEPLOYING and one.t0_at is None:
        one.t0_at = row.at
    if one.t0_at is None:
        return
    t = row.at - one.t0_at if body["t0"] is None else body["entered_at"] - body["t0"]
    if phase == Phase.PROMOTED and one.promoted is None:
        one.promoted = t
    if phase in (Phase.REVERTED, Phase.HELD, Phase.SUPERSEDED) and one.closed is None:
        one.closed = t


def lines(gathered: dict[int, Gathered]) -> Iterator[Past]:
    for number, one in sorted(gathered.items()):
        body = one.body
        seconds = one.promoted if one.promoted is not None else one.gone if one.gone is not None else one.closed
        yield Past(
            number, one.at, one.apps, body["commit"], body["subject"], Phase(body["phase"]),
            Cause(body["cause"]) if body["cause"] else None, body["short"], seconds, one.harmed,
        )  # fmt: skip


def around(rows_of: Sequence[Row], rollout: Rollout) -> tuple[tuple[Past, ...], Past | None]:
    """The last rollouts of any of its applications up to ``rollout``, and the newest later one of the same commit."""
    apps = {lane.app for lane in rollout.lanes}
    same = [one for one in history(rows_of) if apps & set(one.apps)]
    again = [one for one in same if one.number > rollout.number and one.commit == rollout.commit]
    return tuple([one for one in same if one.number <= rollout.number][-SHOWN:]), again[-1] if again else None


def promoted(rows_of: Sequence[Row]) -> tuple[tuple[AppRelease, ...], ...]:
    """What each rollout that was ever promoted brought, oldest first."""
    found: dict[int, tuple[AppRelease, ...]] = {}
    for row in rows_of:
        if row.kind == rows.ROLLOUT and row.body["rollout"]["phase"] == Phase.PROMOTED:
            rollout: Rollout = rows.read(rows.ROLLOUTS, row.body["rollout"])
            found[rollout.number] = tuple(lane.candidate for lane in rollout.lanes)
    return tuple(found.values())
