"""From a ledger's rows to a Story: everything that people see of a rollout, in one value.

Pure. T0 is known in UTC from the row that was written at it; everything else counts from there. On the controller's own
clock a rollout's times are exact to the millisecond; once another clock took over, the UTC of the rows has to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from controller.errors import Refused
from controller.model import CLOSED, IN_FLIGHT, Phase, Rollout, Verdict
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.rollout.standing import Standing, quarantined
from controller.stories import news
from controller.stories.advice import advice, after, alone, asks, kind_of, sentence
from controller.stories.chapter import chapter, moments
from controller.stories.figures import figures, marked, spent, unled
from controller.stories.past import around
from controller.stories.story import (
    CANDIDATE,
    EMPTY,
    LAST_GOOD,
    STARTING,
    STOPPING,
    UNSEEN,
    GitSaid,
    Judged,
    Span,
    Story,
    Tick,
)

STAGING_SHOWN = 4.0
"""Seconds before T0 that a timeline shows at most: a rollout may have waited for days."""


def newest(history: Sequence[Row]) -> int | None:
    """The number of the newest rollout."""
    return next((row.body["rollout"]["number"] for row in reversed(history) if row.kind == rows.ROLLOUT), None)


def tell(history: Sequence[Row], number: int, now: float | None = None) -> Story:
    """Rollout ``number`` as people see it at UTC ``now``; without it, when its newest row was written.

    Raises Refused when the ledger has no such rollout.
    """
    mine = chapter(history, number)
    if not mine:
        last = newest(history)
        has = f"the ledger has rollouts 1 to {last}" if last else "the ledger has no rollout yet"
        raise Refused(f"showing rollout {number}", has, "Name one of those, or none for the newest.")
    versions = [(r, rows.read(rows.ROLLOUTS, r.body["rollout"])) for r in mine if r.kind == rows.ROLLOUT]
    rollout = versions[-1][1]
    t0_at = next((row.at for row, version in versions if version.phase is Phase.DEPLOYING), None)
    entered = [(version.phase, version.settled, exact(row, version, t0_at)) for row, version in versions]
    samples = [row for row in mine if row.kind == rows.SAMPLE]
    looked = [(row, phase_at(versions, row)) for row in samples]
    ticks = tuple(tick(row, phase, rollout, t0_at) for row, phase in looked) if t0_at is not None else ()
    marks = marked(mine, versions, entered, t0_at)
    over = rollout.phase in CLOSED or rollout.settled
    at = mine[-1].at if now is None or over else now
    t = None if t0_at is None else marks["closed"] if over else round(at - t0_at, 3)
    verdict = deciding(samples, versions)
    told = (row for row in reversed(mine) if row.kind == rows.GIT and row.body["did"] in ("revert", "aside"))
    git = next((said(row) for row in told), None)
    nodes, shares = now_on(rollout, ticks, marks)
    past, later = around(history, rollout)
    absent = tuple(unled(mine, versions, t0_at, None if over else at))
    gap = absent[-1] if absent and not over and absent[-1].end == t else None
    return Story(
        rollout=rollout,
        at=at,
        t=t,
        t0_at=t0_at,
        sentence=sentence(rollout, verdict),
        after=f"{after(rollout, git, nodes, later)} {alone(rollout, gap)}".strip(),
        ticks=ticks,
        moments=tuple(news.news(moments(mine, versions, t0_at))),
        spans=tuple(spans(entered, t)) if t is not None else (),
        paths={node: tuple(path(rollout, node, ticks, nodes[node], marks, t or 0.0)) for node in rollout.nodes},
        nodes=nodes,
        shares=shares,
        spent=tuple(spent(rollout, marks, t, absent)),
        figures=figures(mine, marks, ticks, absent),
        marks=marks,
        verdict=verdict,
        checks=judged(rollout, verdict),
        git=git,
        quarantine=tuple(quarantined(Standing(), rollout).quarantine.values()),
        past=past,
        later=later,
        unled=absent,
        advice=advice(rollout, verdict, nodes, later),
        first_row=mine[0].n,
        last_row=mine[-1].n,
        hash=mine[-1].hash,
    )


# ---- time ---------------------------------------------------------------------------------------------------------


def exact(row: Row, rollout: Rollout, t0_at: float | None) -> float | None:
    """When this version of the rollout entered its phase, in seconds since T0."""
    if t0_at is None:
        return None
    return round(rollout.entered_at - rollout.t0 if rollout.t0 is not None else row.at - t0_at, 3)


def phase_at(versions: Sequence[tuple[Row, Rollout]], row: Row) -> Phase:
    return next((rollout.phase for earlier, rollout in reversed(versions) if earlier.n < row.n), Phase.PENDING)


def spans(entered: Sequence[tuple[Phase, bool, float | None]], end: float) -> Iterator[Span]:
    """Phase after phase without a gap, from the staging before T0 to ``end``."""
    steps: list[tuple[str, float]] = []
    for phase, settled, t in entered:
        assert t is not None
        name = {Phase.PENDING: "staging", Phase.PROMOTED: "PROMOTED" if settled else "settling"}.get(phase, phase.value)
        if not steps or steps[-1][0] != name:
            steps.append((name, max(t, -STAGING_SHOWN) if phase is Phase.PENDING else t))
    for (name, begin), (_, until) in zip(steps, [*steps[1:], ("", max(end, steps[-1][1]))], strict=True):
        yield Span(name, begin, until)


# ---- what was seen ------------------------------------------------------------------------------------------------


def tick(row: Row, phase: Phase, rollout: Rollout, t0_at: float) -> Tick:
    body = row.body
    nodes = {node: ran(rollout, node, state, phase) for node, state in body["nodes"].items()}
    t = round(row.at - t0_at if body["t"] is None else float(body["t"]), 3)
    together = body["verdict"]["evidence"] if body["verdict"] else None
    harmed = body["harmed"]
    return Tick(
        t, row.at, phase, nodes, body["shares"], body["evidence"], together,
        int(harmed["requests"]), int(harmed["clients"]),
    )  # fmt: skip


def ran(rollout: Rollout, node: str, state: str, phase: Phase) -> str:
    """A node's state; one that has no last good is empty before the first release and after it went back."""
    without = any(node in lane.nodes and lane.base is None for lane in rollout.lanes)
    waits = state == STOPPING and phase is Phase.DEPLOYING
    return EMPTY if without and (state == LAST_GOOD or waits) else state


def deciding(samples: Sequence[Row], versions: Sequence[tuple[Row, Rollout]]) -> Verdict | None:
    """The verdict whose sentence ended the watch; without one, the newest."""
    spoken = [row.body["verdict"] for row in samples if row.body["verdict"]]
    whys = [rollout.why for _, rollout in versions if rollout.phase not in IN_FLIGHT]
    decided = (verdict for verdict in spoken if any(verdict["why"] in why for why in whys))
    found = next(decided, spoken[-1] if spoken else None)
    return rows.read(rows.VERDICTS, found) if found is not None else None


def judged(rollout: Rollout, verdict: Verdict | None) -> tuple[Judged, ...]:
    """A line for each check: first those with statistics."""
    if verdict is None:
        return ()
    lanes = {lane.app: lane for lane in rollout.lanes}
    found = (Judged(f, kind_of(rollout, f), asks(lanes[f.app], f.check)) for f in verdict.findings if f.app in lanes)
    return tuple(sorted(found, key=lambda line: not line.statistical))


def now_on(
    rollout: Rollout, ticks: Sequence[Tick], marks: Mapping[str, float]
) -> tuple[Mapping[str, str], Mapping[str, float]]:
    """What each node runs, and each zone's share on the candidate; some rows say it without a look.

    A closing row does, and the row that begins the watch: every canary serves, with its whole weight.
    """
    zones = [f"{lane.app}/{zone}" for lane in rollout.lanes for zone in lane.zones]
    if rollout.settled:
        return dict.fromkeys(rollout.nodes, CANDIDATE), dict.fromkeys(zones, 1.0)
    if rollout.phase in CLOSED:
        back = {node: ran(rollout, node, LAST_GOOD, rollout.phase) for node in rollout.nodes}
        return back, dict.fromkeys(zones, 0.0)
    last = ticks[-1] if ticks else None
    nodes = {node: last.nodes.get(node, UNSEEN) if last else UNSEEN for node in rollout.nodes}
    shares = {zone: last.shares.get(zone, 0.0) if last else 0.0 for zone in zones}
    if rollout.phase is Phase.WATCHING and (last is None or last.t < marks.get("watch", 0.0)):
        for lane in rollout.lanes:
            nodes |= dict.fromkeys(lane.canaries, CANDIDATE)
            for zone, names in lane.zones.items():
                shares[f"{lane.app}/{zone}"] = sum(node in lane.canaries for node in names) / len(names)
    return nodes, shares


def path(
    rollout: Rollout, node: str, ticks: Sequence[Tick], now: str, marks: Mapping[str, float], end: float
) -> Iterator[Span]:
    """What a node ran, from look to look. The end of going back is known more finely than the looks are."""
    steps = [(tick.nodes.get(node, UNSEEN), tick.t) for tick in ticks] or [(now, 0.0)]
    if "closed" in marks and steps[-1][0] != now:
        steps.append((now, max(steps[-1][1], marks.get("nodes_back", marks["closed"]))))
    if steps[0][0] == STARTING:  # the first look came after T0: it left what it ran before then
        steps[0] = (STARTING, 0.0)
        steps.insert(0, (ran(rollout, node, LAST_GOOD, Phase.PENDING), -STAGING_SHOWN))
    name, begin = steps[0][0], -STAGING_SHOWN
    for state, t in steps[1:]:
        if state != name:
            yield Span(name, begin, t)
            name, begin = state, t
    yield Span(name, begin, max(end, begin))


def said(row: Row) -> GitSaid:
    body = row.body
    return GitSaid(row.at, body["did"], body["commit"], body["why"] or "", body["message"] or "")
