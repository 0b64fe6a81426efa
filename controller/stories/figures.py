"""The figures a rollout is measured by: when its marks were, what it spent of its budgets, how long each step took.

Pure. The only place where seconds that people read are worked out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from controller.model import CLOSED, IN_FLIGHT, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.stories.story import COMING, NOBODYS, OVER, RUNNING, UNUSED, WITHIN, Figures, Span, Spent, Tick

TURNING = (Phase.REVERTING, Phase.RETURNING)
LOOK = 1.0
"""The loop looks once a second, so a stage that used up its budget ends up to a look later."""
ABSENT = 5.0
"""Seconds without a row of a loop that looks once a second, after which it is said that no controller is there."""


def marked(
    mine: Sequence[Row],
    versions: Sequence[tuple[Row, Rollout]],
    entered: Sequence[tuple[Phase, bool, float | None]],
    t0_at: float | None,
) -> Mapping[str, float]:
    """The moments that figures are made of, in seconds since T0."""
    if t0_at is None:
        return {}
    marks: dict[str, float] = {}
    was = Phase.PENDING
    for phase, settled, t in entered:
        assert t is not None
        if was in IN_FLIGHT and phase not in IN_FLIGHT:
            marks["verdict"] = t
        if phase is not was and phase is Phase.WATCHING:
            marks["watch"] = t
        if phase is not was and phase in TURNING:
            marks["turn"] = t
        if phase is not was and phase is Phase.PROMOTED and "promoted" not in marks:
            marks["promoted"] = t
        if phase in CLOSED or settled:
            marks.setdefault("closed", t)
        else:
            marks.pop("closed", None)
        was = phase
    for row in mine:
        if row.kind == rows.MOMENT and row.body["moment"] in ("traffic_off", "nodes_back", "gone"):
            t = row.body["t"]
            marks[row.body["moment"]] = round(row.at - t0_at if t is None else float(t), 3)
    if "turn" in marks and "closed" in marks:
        marks.setdefault("nodes_back", marks["closed"])
        marks.setdefault("gone", marks["nodes_back"])
    return marks


@dataclass(frozen=True, slots=True)
class Stage:
    """A budget's beginning and end in this rollout; None where it did not come to that."""

    name: str
    limit: float
    begin: float | None
    end: float | None


def stages(rollout: Rollout, marks: Mapping[str, float]) -> tuple[Stage, ...]:
    budget = rollout.budget
    began = 0.0 if rollout.phase is not Phase.PENDING else None
    deployed = marks.get("watch", marks.get("verdict"))
    return (
        Stage("deploy", budget.deploy, began, deployed),
        Stage("watch", budget.watch, marks.get("watch"), marks.get("verdict")),
        Stage("revert", budget.revert, marks.get("turn"), marks.get("nodes_back")),
    )


def unled(
    mine: Sequence[Row], versions: Sequence[tuple[Row, Rollout]], t0_at: float | None, until: float | None
) -> Iterator[Span]:
    """When no controller was there while the candidate was on trial; ``until`` is UTC now while that goes on."""
    if t0_at is None:
        return
    written = [row for row in mine if row.kind != rows.ORDER and row.at >= t0_at]
    for before, row in pairwise(written):
        if row.kind == rows.LEAD and row.at - before.at >= ABSENT and trial(versions, before):
            yield Span("unled", round(before.at - t0_at, 3), round(row.at - t0_at, 3))
    if until is not None and written and until - written[-1].at >= ABSENT and trial(versions, written[-1]):
        yield Span("unled", round(written[-1].at - t0_at, 3), round(until - t0_at, 3))


def trial(versions: Sequence[tuple[Row, Rollout]], row: Row) -> bool:
    """Whether the candidate was on trial, or on its way back, when ``row`` was written."""
    phase = next((rollout.phase for version, rollout in reversed(versions) if version.n <= row.n), Phase.PENDING)
    return phase in IN_FLIGHT or phase is Phase.REVERTING


def went_alone(marks: Mapping[str, float], absent: Sequence[Span]) -> bool:
    """The nodes went back while no controller was there: no decision was made that a budget could count from."""
    return "turn" in marks and any(gap.end <= marks["turn"] for gap in absent)


def spent(
    rollout: Rollout, marks: Mapping[str, float], t: float | None, absent: Sequence[Span] = ()
) -> Iterator[Spent]:
    over = rollout.phase not in IN_FLIGHT and rollout.phase is not Phase.PENDING
    for stage in stages(rollout, marks):
        if stage.begin is None or t is None or (stage.name == "revert" and went_alone(marks, absent)):
            yield Spent(stage.name, 0.0, stage.limit, UNUSED if over else COMING)
            continue
        end = t if stage.end is None else stage.end
        used = round(max(0.0, end - stage.begin), 3)
        state = RUNNING if stage.end is None else WITHIN
        if used > stage.limit + LOOK:
            state = NOBODYS if any(gap.begin < end and stage.begin < gap.end for gap in absent) else OVER
        yield Spent(stage.name, used, stage.limit, state)


def figures(
    mine: Sequence[Row], marks: Mapping[str, float], ticks: Sequence[Tick], absent: Sequence[Span] = ()
) -> Figures:
    alone = went_alone(marks, absent)
    seen = next((row.body["seen_s"] for row in mine if row.kind == rows.SEEN), None)

    def between(begin: str, end: str) -> float | None:
        return round(marks[end] - marks[begin], 3) if begin in marks and end in marks and not alone else None

    return Figures(
        seen_s=seen,
        deploy_s=marks.get("watch"),
        verdict_s=between("watch", "verdict"),
        traffic_off_s=between("turn", "traffic_off"),
        nodes_back_s=between("turn", "nodes_back"),
        exposure_s=marks.get("gone"),
        harmed=ticks[-1].requests if ticks else 0,
        clients=ticks[-1].clients if ticks else 0,
    )
