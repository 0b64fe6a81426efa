"""The release loop of one environment: gather, decide, record, act, and again.

One thread owns all state; a bounded pool does everything that may block and reports through a queue. The order within a
turn is the point of this file: nothing is decided on anything but what was seen, a decision that leads forward is in
the ledger before anything is asked of a node, and a decision that leads back waits for nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.errors import Refused, Trouble, Unreachable
from controller.judge.samples import Answer, Sample
from controller.ledgers.sqlite import Spool
from controller.loop.acting import Acting
from controller.loop.branch import Branch, absent, seen_body
from controller.loop.debts import Debt, Debts
from controller.loop.helping import Helping
from controller.loop.looking import Looking
from controller.loop.publishing import Publishing
from controller.loop.querying import Querying
from controller.loop.record import Record
from controller.loop.rounds import Rounds
from controller.model import IN_FLIGHT, Action, NodeView, Observation, Phase, Release, Rollout, Stage, Synthetic
from controller.ports import Artifacts, Clock, Crowd, Fleet, Ledger, Metrics, Notifier, Shelf, Source
from controller.rollout import moments, rows
from controller.rollout.decide import LOOK, decide, take_over, watch_end
from controller.rollout.plan import Ground, Plan, plan
from controller.rollout.rows import Body
from environments import BadEnvironment, Environment

FIRST_LOOK = 3.0
"""Seconds a starting controller gives its nodes to answer before it takes over with what it has seen."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a loop is put together from."""

    source: Source
    artifacts: Artifacts
    fleet: Fleet
    ledger: Ledger
    spool: Spool
    notifier: Notifier
    clock: Clock
    crowd: Crowd
    metrics: Metrics
    pool: Executor
    nodes: tuple[str, ...]
    backends: Mapping[str, tuple[str, ...]]
    """Application to the balancer's backends that lead to it."""
    shelf: Shelf | None = None
    """None where new nodes look nowhere: there they wait for this controller."""


class EnvironmentLoop:
    """One environment's controller. ``run`` returns when ``stop`` is set."""

    def __init__(self, environment: Environment, parts: Parts) -> None:
        self._environment, self._parts, self._clock = environment, parts, parts.clock
        self._heard: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._record = Record(parts.ledger, parts.spool)
        self._looking, self._helping = Looking(), Helping()
        self._rounds = Rounds(parts.fleet, self._looking, parts.pool, self._clock, self._heard.put)
        self._branch = Branch(parts.source, parts.artifacts, parts.pool, self._clock, self._heard.put)
        self._acting = Acting(parts.fleet, parts.pool, self._clock, self._answered)
        self._querying = Querying(parts.metrics, parts.pool, self._clock, self._told_outside)
        self._debts = Debts(parts.source, parts.pool, self._clock, self._paid, self._git_failed)
        self._publishing = Publishing(parts.shelf, parts.pool, self._clock, self._on_shelf)
        self._troubles: dict[str, str] = {}
        self._written: set[tuple[int, str]] = set()
        self._told: dict[str, str] = {}
        self._head: str | None = None
        self._adopted: str | None = None

    @property
    def branch(self) -> str:
        return self._environment.branch

    @property
    def drift_every(self) -> float:
        """From any thread. 0: no look; so before the first promotion, when there is nothing in force to look at."""
        return self._environment.drift_every if self._record.standing.promoted else 0.0

    @property
    def rolling(self) -> bool:
        """From any thread: whether a rollout goes on, or is about to. One that waits for a person does not."""
        rollout = self._record.standing.open_rollout
        if rollout is None or rollout.phase is Phase.STUCK:
            return False
        asks = rollout.needs_approval or any(lane.base is None for lane in rollout.lanes)
        return rollout.phase is not Phase.PENDING or rollout.approved is not None or not asks

    def hint(self) -> None:
        """From any thread: something may have been pushed, so ask now instead of at the next poll."""
        self._heard.put(self._branch.hurry)

    def run(self, stop: threading.Event) -> None:
        """Lead the environment. Raises Conflict when another controller has taken over."""
        self._start()
        while not stop.is_set():
            self._wait(self._turn())

    # ---- a turn ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Read the ledger, look at every node once, and take over with a generation that none of them has seen."""
        history = self._record.read()
        self._written = {(r.body["rollout"], r.body["moment"]) for r in history if r.kind == rows.MOMENT}
        self._rounds.observe(self._parts.nodes, 0.0)
        deadline = self._clock.now() + FIRST_LOOK
        while self._rounds.under_way and self._clock.now() < deadline:
            self._wait(deadline)
        seen = [app.generation for view in self._looking.views.values() for app in view.apps.values()]
        self._record.generation = max([self._record.standing.generation, *seen]) + 1
        body = {"generation": self._record.generation, "clock": self._clock.name, "why": "started"}
        self._record.row(rows.LEAD, body)
        self._record.unspool()
        rollout = self._record.standing.open_rollout
        if rollout is not None:
            self._looking.begin(rollout, history)
            taken = take_over(rollout, self._record.generation, self._clock.name, self._clock.now())
            self._decided(rollout, taken, "taken over")
            if taken.phase is Phase.REVERTING and rollout.phase is not Phase.REVERTING:
                self._save_evidence(taken)

    def _turn(self) -> float:
        """Gather, decide, record, act; returns when to look again.

        The ledger may be away: forward waits for it, and what leads back is spooled. Looking never stops for it.
        """
        now = self._clock.now()
        wake, away = now + LOOK, self._reread()
        self._gather()
        with suppress(Unreachable):
            self._note_seen()
            self._note_blocked()
        try:
            rollout = self._record.standing.open_rollout
            wake = self._begin_next(now) if rollout is None else self._move(rollout, now)
        except Unreachable as trouble:
            away = trouble
        if away is not None:
            self._tell("ledger", f"Nothing goes forward until it is back: {away}")
        self._parts.crowd.drive(self._synthetic(now))
        self._debts.pay(self._record.standing, self._environment.branch)
        self._publishing.look(self._record.standing, self._record.generation)
        return min(wake, self._branch.due(self._environment))

    def _reread(self) -> Unreachable | None:
        """What others appended since the last turn, and what was spooled; why not, while the ledger is away."""
        try:
            self._record.read()
            self._record.unspool()
        except Unreachable as trouble:
            return trouble
        return None

    def _move(self, rollout: Rollout, now: float) -> float:
        looks = self._look(rollout, now)
        seen = self._observation(rollout, now)
        decision = decide(rollout, seen, now)
        after = decision.rollout
        if rollout.phase is Phase.PENDING:
            self._note_moments(rollout, seen, now)  # staged comes before what begins with it
        if rollout.phase is Phase.PENDING and after.phase is Phase.DEPLOYING:
            after = self._looking.with_baseline(after)
        if after != rollout:
            self._decided(rollout, after, event_of(rollout, after))
        self._acting.ask(decision.actions, self._record.generation)
        if after.phase is Phase.REVERTING and rollout.phase is not Phase.REVERTING:
            self._save_evidence(after)  # not before: traffic leaves the candidate first
        self._note_moments(after, seen, now)
        if looks:
            self._note_sample(after, looks, seen, now)
        return decision.wake_at

    def _begin_next(self, now: float) -> float:
        if self._branch.release is not None:
            found = self.plan(self._branch.release, now)
            for app, why in found.waits.items():
                self._tell(app, f"{app} {self._branch.release.commit[:7]} waits: {why}")
            if found.rollout is not None:
                self._looking.begin(found.rollout)
                self._troubles.clear()
                self._decided(None, found.rollout, "pending")
                return now
            if not found.waits:
                self._adopt(self._branch.release.commit)
        return now + LOOK

    def plan(self, release: Release, now: float) -> Plan:
        """What would start now, and why not the rest."""
        standing = self._record.standing
        digests = {app.digest for app in (*release.apps.values(), *standing.promoted.values())}
        checks = {digest: self._parts.artifacts.checks(digest) for digest in digests}
        ground = Ground(
            self._environment, self._parts.backends, checks, self._clock.name, self._record.generation,
            self._closed_window(),
        )  # fmt: skip
        return plan(standing, release, ground, now)

    # ---- gathering ------------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        self._branch.ask(self._environment)
        branch, head = self._environment.branch, self._branch.head
        if self._branch.trouble is not None:
            self._tell("source", self._branch.trouble)
        else:
            self._over("source", "The repository can be read again.")
        if self._branch.missing:
            self._tell("branch", absent(branch))
        elif head is not None:
            self._over("branch", f"{branch} is there again, at {head[:7]}.")
        if head != self._head:
            self._head = head
            self._debts.hurry()
        if self._branch.refused is not None:
            self._tell("refused", self._branch.refused)
        rollout = self._record.standing.open_rollout
        self._rounds.observe(self._parts.nodes, LOOK if rollout is not None else 2 * LOOK)
        if rollout is not None and rollout.phase in IN_FLIGHT:
            self._rounds.probe(rollout)
            self._querying.ask(rollout)

    def _note_seen(self) -> None:
        release = self._branch.release
        if release is not None and release.commit != self._record.standing.last_seen:
            self._record.row(rows.SEEN, seen_body(release, self._clock.utc()))

    def _note_blocked(self) -> None:
        for body in self._branch.blocked(self._environment.branch, self._record.standing.blocked):
            self._record.row(rows.BLOCKED, body)

    def _observation(self, rollout: Rollout, now: float) -> Observation:
        ended = rollout.phase is Phase.WATCHING and now >= watch_end(rollout)
        standing = self._record.standing
        return Observation(
            nodes=self._looking.views,
            silence=rollout.judge.silence,
            verdict=self._looking.verdict(rollout, now, ended) if rollout.phase in IN_FLIGHT else None,
            order=next((order for order in standing.orders if order.row > rollout.orders_read), None),
            newer=self._newer(rollout),
            closed_window=self._closed_window(),
            hold=standing.hold,
            troubles=self._troubles,
        )

    def _newer(self, rollout: Rollout) -> str | None:
        """A newer commit on the branch that wants something else for an application of this rollout."""
        release = self._branch.release
        if release is None or release.commit == rollout.commit:
            return None
        wants = [(release.apps.get(lane.app), lane.candidate) for lane in rollout.lanes]
        changed = any(wanted is not None and wanted.digest != candidate.digest for wanted, candidate in wants)
        return release.commit if changed else None

    def _closed_window(self) -> str | None:
        at = datetime.fromtimestamp(self._clock.utc(), UTC)
        return next((window.name for window in self._environment.freezes if window.active(at)), None)

    def _look(self, rollout: Rollout, now: float) -> tuple[Sample, ...]:
        """A sample each second, and one more when the watch ends, so that the verdict is made on everything."""
        if rollout.phase is Phase.PENDING or rollout.t0 is None:
            return ()
        ends = rollout.phase is Phase.WATCHING and now >= watch_end(rollout)
        if now - self._looking.looked_at < LOOK and not ends:
            return ()
        return self._looking.look(rollout, now)

    def _synthetic(self, now: float) -> dict[str, tuple[Synthetic, float]]:
        """The synthetic requests to what was promoted: steady, so that a past exists, and more for a quiet watch."""
        rollout, fleets = self._record.standing.open_rollout, self._environment.fleets
        for clause in self._helping.look(rollout, self._looking.judgements, fleets, now):
            assert rollout is not None  # only what is watched is helped
            number = sum(one == rollout.number and name.startswith("synthetic") for one, name in self._written) + 1
            self._note(rollout, f"synthetic{number}", clause, now)
        promoted = self._record.standing.promoted
        return {
            app: (self._parts.artifacts.synthetic(promoted[app].digest), rate)
            for app, rate in self._helping.rates(fleets).items()
            if app in promoted
        }

    def _told_outside(self, number: int, app: str, check: str, answer: Answer) -> None:
        """From a pool thread: what a metrics server answered."""
        self._heard.put(lambda: self._looking.told(number, app, check, answer))

    # ---- what the pool reports ------------------------------------------------------------------------------------

    def _wait(self, until: float) -> None:
        """Sleep until something is heard or it is time to look; hear everything that came."""
        try:
            self._heard.get(timeout=max(0.005, until - self._clock.now()))()
            while True:
                self._heard.get_nowait()()
        except queue.Empty:
            return

    def _answered(self, action: Action, answer: NodeView | Trouble | None) -> None:
        """From a pool thread: what a node said to an action."""

        def hear() -> None:
            self._rounds.soon(action.node)
            if isinstance(answer, Trouble):
                self._troubles[action.node] = str(answer)
                if isinstance(action, Stage) and isinstance(answer, Refused):
                    self._branch.again()
                return
            self._troubles.pop(action.node, None)
            if answer is not None:
                self._looking.answered(answer)

        self._heard.put(hear)

    def _paid(self, body: Body) -> None:
        def hear() -> None:
            self._record.remark(rows.GIT, body)
            self._told.pop(owes(body["did"], body["rollout"]), None)
            if body["did"] in ("revert", "aside"):
                said = body["why"] or f"revert commit {body['commit'][:7]} pushed"
                self._parts.notifier.tell(self._environment.name, "git", said, {"rollout": body["rollout"]})

        self._heard.put(hear)

    def _git_failed(self, debt: Debt, trouble: Trouble) -> None:
        said = f"Not recorded in git yet, it is tried again: {trouble}"
        self._heard.put(lambda: self._tell("git", said, owes(*debt)))

    def _on_shelf(self, app: str, said: str, trouble: Trouble | None) -> None:
        """From a pool thread: what new nodes find from now on, or why they do not."""

        def hear() -> None:
            if trouble is not None:
                self._tell("shelf", f"{said}: {trouble}", f"shelf {app}")
            else:
                self._told.pop(f"shelf {app}", None)
                self._parts.notifier.tell(self._environment.name, "shelf", said, {"app": app})

        self._heard.put(hear)

    # ---- recording and telling ------------------------------------------------------------------------------------

    def _decided(self, before: Rollout | None, after: Rollout, event: str) -> None:
        """Write the decision's row, and tell people when the phase moved."""
        spooled = self._record.rollout(after, event)
        if spooled:
            self._tell("ledger", spooled)
        if before is not None and before.phase is after.phase and before.settled is after.settled:
            return
        fields = {"rollout": after.number, "commit": after.commit[:7], "generation": self._record.generation}
        self._parts.notifier.tell(self._environment.name, str(after.phase), after.why, fields)
        if after.settled:
            self._parts.pool.submit(self._read_rules, after.commit, self._in_force)

    def _read_rules(self, commit: str, hear: Callable[[str, Environment], None]) -> None:
        """In a pool thread: what a commit states as rules; where it cannot be read, those in force stay in force."""
        try:
            stated = self._parts.source.policy(self._environment.name, commit)
        except (Trouble, BadEnvironment):
            return
        self._heard.put(lambda: hear(commit, stated))

    def _in_force(self, commit: str, stated: Environment) -> None:
        """Budgets, judge and signers come from the last promoted commit: no candidate sets its own rules."""
        self._environment = stated

    def _adopt(self, commit: str) -> None:
        """A commit that wants no other release is no candidate: what it states as rules may hold at once."""
        standing = self._record.standing
        if standing.promoted and commit not in (self._adopted, standing.policy):
            self._adopted = commit
            self._parts.pool.submit(self._read_rules, commit, self._adopted_now)

    def _adopted_now(self, commit: str, stated: Environment) -> None:
        if stated == self._environment or self._record.standing.open_rollout is not None:
            return
        try:
            self._record.row(rows.POLICY, {"commit": commit})
        except Unreachable:
            self._adopted = None
            return
        self._in_force(commit, stated)
        said = f"The rules of commit {commit[:7]} are in force: it changes nothing else."
        self._parts.notifier.tell(stated.name, "policy", said, {"commit": commit[:7]})

    def _note_moments(self, rollout: Rollout, seen: Observation, now: float) -> None:
        for name, text in moments.moments(rollout, seen, now):
            if (rollout.number, name) not in self._written:
                self._note(rollout, name, text, now)

    def _note(self, rollout: Rollout, name: str, text: str, now: float) -> None:
        t = now - rollout.t0 if rollout.t0 is not None else None
        self._written.add((rollout.number, name))
        self._record.remark(rows.MOMENT, {"rollout": rollout.number, "moment": name, "t": t, "text": text})
        self._parts.notifier.tell(self._environment.name, name, text, {"rollout": rollout.number})

    def _note_sample(self, rollout: Rollout, looks: tuple[Sample, ...], seen: Observation, now: float) -> None:
        harmed = self._looking.harmed
        body = {
            "rollout": rollout.number,
            "t": now - rollout.t0 if rollout.t0 is not None else None,
            "looks": [rows.written(rows.SAMPLES, look) for look in looks],
            "verdict": rows.written(rows.VERDICTS, seen.verdict) if seen.verdict is not None else None,
            "evidence": self._looking.evidence(),
            "nodes": moments.node_states(rollout, seen, now),
            "shares": moments.shares(rollout, seen, now),
            "harmed": {"requests": harmed.requests, "clients": harmed.clients},
        }
        self._record.remark(rows.SAMPLE, body)

    def _save_evidence(self, rollout: Rollout) -> None:
        """The failing calls, before the candidate that made them is gone; its last log lines follow."""
        utc = self._clock.utc() - self._clock.now()
        body = {"rollout": rollout.number, "calls": self._looking.bad_calls(rollout, utc)}
        self._record.remark(rows.SAVED, body)
        for lane in rollout.lanes:
            for node in lane.canaries:
                self._parts.pool.submit(self._save_log, rollout.number, node, lane.candidate.digest)

    def _save_log(self, number: int, node: str, digest: str) -> None:
        try:
            lines = self._parts.fleet.last_words(node, digest)
        except Trouble:
            return
        body = {"rollout": number, "node": node, "log": list(lines)}
        self._heard.put(lambda: self._record.remark(rows.SAVED, body))

    def _tell(self, event: str, sentence: str, about: str = "") -> None:
        """Say something once, not every second; what it is ``about`` where an event may have several."""
        if self._told.get(about or event) != sentence:
            self._told[about or event] = sentence
            self._parts.notifier.tell(self._environment.name, event, sentence, {})

    def _over(self, event: str, sentence: str) -> None:
        """Say that what was told is over, so that it is told when it happens again."""
        if self._told.pop(event, None) is not None:
            self._parts.notifier.tell(self._environment.name, event, sentence, {})


def event_of(before: Rollout, after: Rollout) -> str:
    """The word of a decision's row."""
    if after.phase is not before.phase:
        return str(after.phase).lower()
    if after.settled and not before.settled:
        return "settled"
    return "answered" if after.orders_read > before.orders_read else "waiting"


def owes(did: str, number: int) -> str:
    """What is told of a debt to git is told by this name."""
    return f"git {did} {number}"
