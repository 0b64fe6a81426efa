"""Where an environment stands: what its ledger adds up to.

Pure. Folding the rows in order gives everything a controller must know when it starts, and what ``status`` shows. The
loop keeps a Standing and advances it row by row; a test folds the same rows from nothing and gets the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller import rows
from controller.model import CLOSED, AppRelease, Cause, Order, Phase, Rollout
from controller.rows import Row


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A release that did harm: it is not tried again until somebody clears it with a reason."""

    app: str
    digest: str
    artifact_digest: str
    config_digest: str
    rollout: int
    why: str
    commit: str = ""
    """The commit that was rolled out: the same bits may come back under another one."""


@dataclass(frozen=True, slots=True)
class Standing:
    generation: int = 0
    newest: str = rows.GENESIS
    """Hash of the newest row: what the next row must follow."""
    last_row: int = 0
    promoted: Mapping[str, AppRelease] = field(default_factory=dict)
    rollout: Rollout | None = None
    """The newest rollout, open or closed."""
    quarantine: Mapping[str, Quarantined] = field(default_factory=dict)
    """By release digest."""
    blind: Mapping[str, int] = field(default_factory=dict)
    """How often each release digest was given up without harm, since somebody last asked for a retry."""
    aborted: frozenset[str] = frozenset()
    """Release digests that an operator took back: not tried again until ``retry``."""
    forgiven: frozenset[str] = frozenset()
    """Release digests that somebody wants tried once more, whatever nodes remember of them."""
    hold: Order | None = None
    orders: tuple[Order, ...] = ()
    """Orders that no rollout has answered yet."""
    owed_reverts: tuple[Rollout, ...] = ()
    """Closed rollouts whose revert commit git has not got yet."""
    owed_notes: tuple[Rollout, ...] = ()
    last_seen: str | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    """Application to the release digest that the commit seen last wants."""

    @property
    def open_rollout(self) -> Rollout | None:
        """The rollout that still has work on the fleet, or an order to answer after its promotion."""
        rollout = self.rollout
        if rollout is None or rollout.phase in CLOSED:
            return None
        done = rollout.phase is Phase.PROMOTED and rollout.settled
        return None if done and not self.orders else rollout


def fold(history: Iterable[Row], standing: Standing | None = None) -> Standing:
    standing = standing or Standing()
    for row in history:
        standing = advance(standing, row)
    return standing


def advance(standing: Standing, row: Row) -> Standing:
    """The standing after one more row. EVIDENCE and what only people read change nothing else."""
    standing = replace(
        standing, newest=row.hash, last_row=row.n, generation=max(standing.generation, row.generation)
    )  # fmt: skip
    if row.kind == rows.ROLLOUT:
        return moved(standing, rows.read(rows.ROLLOUTS, row.body["rollout"]))
    if row.kind == rows.ORDER:
        return ordered(standing, row)
    if row.kind == rows.SEEN:
        return replace(standing, last_seen=row.body["commit"], seen=row.body.get("apps", {}))
    if row.kind == rows.GIT:
        number, did = row.body["rollout"], row.body["did"]
        if did == "revert":
            return replace(standing, owed_reverts=without(standing.owed_reverts, number))
        if did == "note":
            return replace(standing, owed_notes=without(standing.owed_notes, number))
    return standing


def without(owed: tuple[Rollout, ...], number: int) -> tuple[Rollout, ...]:
    return tuple(rollout for rollout in owed if rollout.number != number)


def moved(standing: Standing, rollout: Rollout) -> Standing:
    before = standing.rollout
    changed = before is None or before.number != rollout.number or before.phase is not rollout.phase
    standing = replace(
        standing, rollout=rollout, orders=tuple(o for o in standing.orders if o.row > rollout.orders_read)
    )  # fmt: skip
    if not changed:
        return standing
    if rollout.phase is Phase.PROMOTED:
        promoted = {**standing.promoted, **{lane.app: lane.candidate for lane in rollout.lanes}}
        return replace(standing, promoted=promoted, owed_notes=(*without(standing.owed_notes, rollout.number), rollout))
    if rollout.phase is Phase.RETURNING:
        mine = {lane.app for lane in rollout.lanes}
        others = {app: release for app, release in standing.promoted.items() if app not in mine}
        bases = {lane.app: lane.base for lane in rollout.lanes if lane.base is not None}
        return quarantined(replace(standing, promoted={**others, **bases}), rollout)
    return closed(standing, rollout) if rollout.phase in CLOSED else quarantined(standing, rollout)


def closed(standing: Standing, rollout: Rollout) -> Standing:
    digests = [lane.candidate.digest for lane in rollout.lanes]
    standing = replace(standing, owed_notes=(*without(standing.owed_notes, rollout.number), rollout))
    if rollout.cause is Cause.BLIND:
        blind = {**standing.blind, **{digest: standing.blind.get(digest, 0) + 1 for digest in digests}}
        return replace(standing, blind=blind)
    if rollout.cause is Cause.ABORTED:
        return replace(standing, aborted=standing.aborted | set(digests))
    if rollout.phase is Phase.REVERTED:
        standing = quarantined(standing, rollout)
        return replace(standing, owed_reverts=(*without(standing.owed_reverts, rollout.number), rollout))
    return standing


def quarantined(standing: Standing, rollout: Rollout) -> Standing:
    """Harm is quarantined from the moment it is known, not only when the fleet is back."""
    if rollout.cause is not Cause.HARM:
        return standing
    entries = {
        lane.candidate.digest: Quarantined(
            lane.app, lane.candidate.digest, lane.candidate.artifact_digest, lane.candidate.config_digest,
            rollout.number, rollout.why, lane.candidate.commit,
        )
        for lane in rollout.lanes
        if lane.app in rollout.guilty
    }  # fmt: skip
    forgiven = standing.forgiven - entries.keys()
    return replace(standing, quarantine={**standing.quarantine, **entries}, forgiven=forgiven)


def ordered(standing: Standing, row: Row) -> Standing:
    body = row.body
    order = Order(body["verb"], body["who"], body["reason"], row.n, body.get("subject", ""))
    if order.verb == "hold":
        return replace(standing, hold=order)
    if order.verb == "resume":
        return replace(standing, hold=None)
    if order.verb == "retry":
        digests = {
            digest
            for digest in (*standing.quarantine, *standing.blind, *standing.aborted)
            if names(standing, digest, order.subject)
        }
        return replace(
            standing,
            quarantine={d: q for d, q in standing.quarantine.items() if d not in digests},
            blind={d: n for d, n in standing.blind.items() if d not in digests},
            aborted=standing.aborted - digests,
            forgiven=standing.forgiven | digests,
        )
    return replace(standing, orders=(*standing.orders, order))


def names(standing: Standing, digest: str, subject: str) -> bool:
    """Whether an order's subject means this release: none means all, else a digest or commit, maybe shortened."""
    if not subject or digest.removeprefix("sha256:").startswith(subject.removeprefix("sha256:")):
        return True
    bad = standing.quarantine.get(digest)
    if bad is not None and bad.commit.startswith(subject):
        return True
    if digest in standing.seen.values() and (standing.last_seen or "").startswith(subject):
        return True
    lanes = standing.rollout.lanes if standing.rollout else ()
    return any(lane.candidate.digest == digest and lane.candidate.commit.startswith(subject) for lane in lanes)
