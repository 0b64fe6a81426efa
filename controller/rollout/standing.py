"""Where an environment stands: what its ledger adds up to.

Pure. Folding the rows in order gives everything a controller must know when it starts, and what ``status`` shows. The
loop keeps a Standing and advances it row by row; a test folds the same rows from nothing and gets the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.model import CLOSED, AppRelease, Cause, Order, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row


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
class Incident:
    """A release was taken back because candidate and last good were bad together: it rests before it is tried again."""

    times: int
    """How often in a row."""
    at: float
    """When it was closed, on the clock of the controller that ``clock`` names."""
    clock: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why what the branch asks for is not rolled out, where no rollout can say it."""

    about: str
    """``head``: the newest commit cannot be released; ``source``: it does not answer; ``branch``: there is none."""
    why: str
    since: float
    """UTC, for people: no rule compares it."""
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    generation: int = 0
    newest: str = rows.GENESIS
    """Hash of the newest row: what the next row must follow."""
    last_row: int = 0
    promoted: Mapping[str, AppRelease] = field(default_factory=dict)
    before: Mapping[str, AppRelease] = field(default_factory=dict)
    """What was promoted before that, where an abort of the newest promotion would return to it."""
    rollout: Rollout | None = None
    """The newest rollout, open or closed."""
    quarantine: Mapping[str, Quarantined] = field(default_factory=dict)
    """By release digest."""
    blind: Mapping[str, int] = field(default_factory=dict)
    """How often each release digest was given up without harm, since somebody last asked for a retry."""
    incidents: Mapping[str, Incident] = field(default_factory=dict)
    """By release digest."""
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
    policy: str | None = None
    """The commit whose rules are in force: the one promoted last, or a later one that changed nothing but rules."""
    policy_before: str | None = None
    last_seen: str | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    """Application to the release digest that the commit seen last wants."""
    blocked: Mapping[str, Blocked] = field(default_factory=dict)
    """By what it is about."""

    @property
    def open_rollout(self) -> Rollout | None:
        """The rollout that still has work on the fleet, or an order to answer after its promotion."""
        rollout = self.rollout
        if rollout is None or rollout.phase in CLOSED:
            return None
        done = rollout.phase is Phase.PROMOTED and rollout.settled
        asked = any(order.verb in ("abort", "revert") for order in self.orders)
        return None if done and not asked else rollout


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
    if row.kind == rows.BLOCKED:
        return replace(standing, blocked=blocked(standing.blocked, row.body))
    if row.kind == rows.POLICY:
        return replace(standing, policy=row.body["commit"])
    if row.kind == rows.GIT:
        number, did = row.body["rollout"], row.body["did"]
        if did == "revert":
            return replace(standing, owed_reverts=without(standing.owed_reverts, number))
        if did == "note":
            return replace(standing, owed_notes=without(standing.owed_notes, number))
    return standing


def blocked(before: Mapping[str, Blocked], body: rows.Body) -> Mapping[str, Blocked]:
    about, why = body["about"], body["why"]
    others = {name: one for name, one in before.items() if name != about}
    return others if why is None else others | {about: Blocked(about, why, body["since"], body["commit"])}


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
        incidents = {digest: one for digest, one in standing.incidents.items() if digest not in digests(rollout)}
        owed = (*without(standing.owed_notes, rollout.number), rollout)
        standing = replace(standing, policy=rollout.commit, policy_before=standing.policy)
        earlier = {**without_lanes(standing.before, rollout), **bases(rollout)}
        return replace(standing, promoted=promoted, before=earlier, incidents=incidents, owed_notes=owed)
    if rollout.phase is Phase.RETURNING:
        promoted = {**without_lanes(standing.promoted, rollout), **bases(rollout)}
        earlier, policy = without_lanes(standing.before, rollout), standing.policy_before or standing.policy
        return quarantined(replace(standing, promoted=promoted, before=earlier, policy=policy), rollout)
    return closed(standing, rollout) if rollout.phase in CLOSED else quarantined(standing, rollout)


def bases(rollout: Rollout) -> dict[str, AppRelease]:
    return {lane.app: lane.base for lane in rollout.lanes if lane.base is not None}


def without_lanes(releases: Mapping[str, AppRelease], rollout: Rollout) -> dict[str, AppRelease]:
    mine = {lane.app for lane in rollout.lanes}
    return {app: release for app, release in releases.items() if app not in mine}


def closed(standing: Standing, rollout: Rollout) -> Standing:
    standing = replace(standing, owed_notes=(*without(standing.owed_notes, rollout.number), rollout))
    tried = digests(rollout)
    if rollout.cause is Cause.BLIND:
        return replace(standing, blind={**standing.blind, **{d: standing.blind.get(d, 0) + 1 for d in tried}})
    if rollout.cause is Cause.INCIDENT:
        at, clock, known = rollout.entered_at, rollout.clock, standing.incidents
        again = {d: Incident(known[d].times + 1 if d in known else 1, at, clock) for d in tried}
        return replace(standing, incidents={**known, **again})
    if rollout.cause is Cause.ABORTED:
        return replace(standing, aborted=standing.aborted | tried)
    if rollout.phase is Phase.REVERTED:
        standing = quarantined(standing, rollout)
        return replace(standing, owed_reverts=(*without(standing.owed_reverts, rollout.number), rollout))
    return standing


def digests(rollout: Rollout) -> frozenset[str]:
    return frozenset(lane.candidate.digest for lane in rollout.lanes)


def quarantined(standing: Standing, rollout: Rollout) -> Standing:
    """Harm is quarantined from the moment it is known, not only when the fleet is back."""
    if rollout.cause is not Cause.HARM:
        return standing
    guilty = [lane.candidate for lane in rollout.lanes if lane.app in rollout.guilty]
    return shut_out(standing, guilty, rollout.number, rollout.why)


def shut_out(standing: Standing, releases: Iterable[AppRelease], rollout: int, why: str) -> Standing:
    entries = {
        r.digest: Quarantined(r.app, r.digest, r.artifact_digest, r.config_digest, rollout, why, r.commit)
        for r in releases
    }
    forgiven = standing.forgiven - entries.keys()
    return replace(standing, quarantine={**standing.quarantine, **entries}, forgiven=forgiven)


def ordered(standing: Standing, row: Row) -> Standing:
    body = row.body
    order = Order(body["verb"], body["who"], body["reason"], row.n, body.get("subject", ""))
    if order.verb == "hold":
        return replace(standing, hold=order)
    if order.verb == "resume":
        return replace(standing, hold=None)
    if order.verb == "quarantine":
        left = [release for release in standing.promoted.values() if release.digest == order.subject]
        number = standing.rollout.number if standing.rollout else 0
        return shut_out(standing, left, number, f"{order.who} reverted it: {order.reason}.")
    if order.verb == "clear":
        return freed(standing, named(standing, order.subject) & standing.quarantine.keys())
    if order.verb == "retry":
        return freed(standing, named(standing, order.subject))
    return replace(standing, orders=(*standing.orders, order))


def freed(standing: Standing, digests: frozenset[str]) -> Standing:
    """Nothing that is known against these releases keeps them from being tried any more."""
    return replace(
        standing,
        quarantine={d: q for d, q in standing.quarantine.items() if d not in digests},
        blind={d: n for d, n in standing.blind.items() if d not in digests},
        incidents={d: i for d, i in standing.incidents.items() if d not in digests},
        aborted=standing.aborted - digests,
        forgiven=standing.forgiven | digests,
    )


def named(standing: Standing, subject: str) -> frozenset[str]:
    """The releases that are not tried, or not yet, and that an order means by ``subject``.

    No subject means all; else it begins one of the release's digests or its commit.
    """
    known = {
        digest: {digest.removeprefix("sha256:")}
        for digest in (*standing.quarantine, *standing.blind, *standing.incidents, *standing.aborted)
    }
    for bad in standing.quarantine.values():
        known[bad.digest] |= {bad.artifact_digest.removeprefix("sha256:"), bad.commit}
    for digest in known.keys() & set(standing.seen.values()):
        known[digest].add(standing.last_seen or "")
    for lane in standing.rollout.lanes if standing.rollout else ():
        if lane.candidate.digest in known:
            known[lane.candidate.digest].add(lane.candidate.commit)
    wanted = subject.removeprefix("sha256:")
    return frozenset(digest for digest, names in known.items() if any(name.startswith(wanted) for name in names))
