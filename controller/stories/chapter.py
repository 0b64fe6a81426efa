"""The record of one rollout, line by line: what each row of the ledger says in words.

Pure. A row of the loop says what happened on the fleet in its own sentence; a row of the rollout says it by its phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.model import CLOSED, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.stories.advice import last_good
from controller.stories.story import Moment

KINDS = {
    Phase.PENDING: "pending",
    Phase.DEPLOYING: "deploy",
    Phase.WATCHING: "watch",
    Phase.REVERTING: "revert",
    Phase.RETURNING: "return",
    Phase.PROMOTED: "promote",
    Phase.REVERTED: "closed",
    Phase.HELD: "closed",
    Phase.SUPERSEDED: "closed",
    Phase.STUCK: "stuck",
}
"""The word that stands before a line, at most eight letters."""
WORDS = {"traffic_off": "traffic", "nodes_back": "back"}
CHAPTERS = (rows.MOMENT, rows.SAMPLE, rows.GIT)
"""Kinds of rows that name their rollout by its number."""
ABOUT_ROLLOUTS = frozenset({"approve", "abort", "revert", "hold", "resume", "retry"})


def chapter(history: Sequence[Row], number: int) -> list[Row]:
    """The rows that belong to one rollout, and those around it that people want to see with it."""
    first = last = None
    commit, ended = "", False
    for row in history:
        if row.kind == rows.ROLLOUT and row.body["rollout"]["number"] == number:
            first = first or row.n
            last, commit, ended = row.n, row.body["rollout"]["commit"], over(row)
        elif row.kind in CHAPTERS and row.body["rollout"] == number:
            last = max(last or 0, row.n)
    if first is None:
        return []
    return [row for row in history if belongs(row, number, commit, first, last if ended else None)]


def over(row: Row) -> bool:
    said = row.body["rollout"]
    return said["phase"] in CLOSED or (said["phase"] == Phase.PROMOTED and said["settled"])


def belongs(row: Row, number: int, commit: str, first: int, last: int | None) -> bool:
    if row.kind == rows.ROLLOUT:
        return bool(row.body["rollout"]["number"] == number)
    if row.kind in CHAPTERS:
        return bool(row.body["rollout"] == number)
    if row.kind == rows.SEEN:
        return bool(row.body["commit"] == commit) and row.n < first
    during = first < row.n and (last is None or row.n < last)
    return during and (row.kind == rows.LEAD or (row.kind == rows.ORDER and row.body["verb"] in ABOUT_ROLLOUTS))


def moments(rows_of: Sequence[Row], versions: Sequence[tuple[Row, Rollout]], t0_at: float | None) -> Iterator[Moment]:
    """Every line, in the ledger's order."""
    rollouts = {row.n: rollout for row, rollout in versions}
    before: Rollout | None = None
    for row in rows_of:
        t = None if t0_at is None else round(row.at - t0_at, 3)
        if row.kind == rows.ROLLOUT:
            now, was, before = rollouts[row.n], before, rollouts[row.n]
            said = moved(row, was, now)
            if said is not None:
                yield Moment(row.n, row.at, exactly(now, t), *said)
        elif row.kind != rows.SAMPLE:
            own = row.body.get("t") if row.kind == rows.MOMENT else None
            yield Moment(row.n, row.at, t if own is None else float(own), *SAYS[row.kind](row))


def exactly(rollout: Rollout, t: float | None) -> float | None:
    """The moment of entering a phase on the rollout's own clock, which is finer than when its row was written."""
    if rollout.t0 is not None and t is not None and abs(rollout.entered_at - rollout.t0 - t) < 1.0:
        return round(rollout.entered_at - rollout.t0, 3)
    return t


def moved(row: Row, was: Rollout | None, now: Rollout) -> tuple[str, str] | None:
    """(kind, sentence) of a row of the rollout; None when it has no news for people."""
    if was is not None and was.phase is now.phase:
        if now.settled and not was.settled:
            return "settled", "Every node runs it for good."
        return (KINDS[now.phase], now.why) if now.why != was.why else None
    if was is not None and now.phase in CLOSED and now.why == was.why:
        return "closed", f"{now.phase}: every node is on {last_good(now)} and holds no promise."
    return KINDS[now.phase], now.why


def lead(row: Row) -> tuple[str, str]:
    return "lead", f"A controller took over, generation {row.body['generation']}: {row.body['why']}"


def seen(row: Row) -> tuple[str, str]:
    after = row.body["seen_s"]
    return (
        "seen",
        f"Commit {row.body['commit'][:7]} seen{'' if after is None else f' {after:.1f} s after it was made'}.",
    )


def moment(row: Row) -> tuple[str, str]:
    kind = str(row.body["moment"])
    return WORDS.get(kind, kind), row.body["text"]


def order(row: Row) -> tuple[str, str]:
    reason = f": {row.body['reason']}" if row.body["reason"] else "."
    return "order", f"{row.body['who']} asks for {row.body['verb']}{reason}"


def git(row: Row) -> tuple[str, str]:
    did, commit, why = row.body["did"], row.body["commit"], row.body["why"]
    if did == "revert":
        return "git", f"Revert commit {commit[:7]} pushed." if commit else f"No revert commit: {why}"
    if did == "aside":
        return "git", why
    return "git", "The verdict is noted on the commit." if commit or not why else f"No note: {why}"


SAYS = {rows.LEAD: lead, rows.SEEN: seen, rows.MOMENT: moment, rows.ORDER: order, rows.GIT: git}
