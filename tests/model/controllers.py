"""One controller of the model: the loop's turn, cut in two so that the world can move between deciding and acting.

What it knows it knows from its ledger link and from what nodes answered; everything it decides is decided by the real
``decide``, ``take_over``, ``plan``, ``fold`` and ``Record``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from controller.errors import Conflict, Unreachable
from controller.loop.record import Record
from controller.model import (
    IN_FLIGHT,
    Action,
    Activate,
    Decision,
    Finding,
    NodeView,
    Observation,
    Outcome,
    Phase,
    Rollout,
    Traffic,
    Verdict,
)
from controller.rollout import decide as deciding
from controller.rollout import plan as planning
from controller.rollout import rows
from tests.model.ledgers import Link

if TYPE_CHECKING:
    from tests.model.world import Machine, World

LINGER = 1.0
"""Seconds that a command's answer is waited for; until then its node is asked for nothing else."""
ANSWER_SECONDS = 2.0
"""An observation that takes longer is given up."""


class Controller:
    def __init__(self, name: str, world: World, machine: Machine, link: Link) -> None:
        self.name, self.world, self.machine, self.link = name, world, machine, link
        self.up = self.frozen = False
        self.forget()

    def forget(self) -> None:
        """What a process knows dies with it; the spool does not."""
        self.record = Record(self.link, self.machine.spool)
        self.views: dict[str, NodeView] = {}
        self.slow: dict[str, tuple[float, NodeView]] = {}
        """Node to an observation that was answered but has not arrived: when it was asked, and what it said."""
        self.intent: tuple[Rollout | None, Decision, dict[Action, float]] | None = None
        """The rollout before and what was decided, with the true time that each action's end stands for."""
        self.plan: planning.Plan | None = None

    @property
    def clock(self) -> str:
        return f"{self.name} clock {self.machine.boots}"

    @property
    def now(self) -> float:
        return self.world.now + self.machine.offset

    @property
    def runs(self) -> bool:
        return self.up and not self.frozen

    # ---- starting and ending --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read the ledger, look at every node, and lead with a generation that none of them has seen."""
        self.forget()
        try:
            self.record.read()
            self.observe()
            seen = [app.generation for view in self.views.values() for app in view.apps.values()]
            self.record.generation = max([self.record.standing.generation, *seen]) + 1
            self.record.row(rows.LEAD, {"generation": self.record.generation, "clock": self.clock, "why": "started"})
            self.up = True
            self.record.unspool()
            rollout = self.record.standing.open_rollout
            if rollout is not None:
                taken = deciding.take_over(rollout, self.record.generation, self.clock, self.now)
                self.record.rollout(taken, "taken over")
        except (Unreachable, Conflict):
            self.stop()

    def stop(self) -> None:
        self.up = self.frozen = False
        self.forget()

    # ---- looking --------------------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Ask every node; one whose answer is slow is not asked again until it came or was given up."""
        for name, node in self.world.nodes.items():
            if name in self.slow:
                if self.world.now - self.slow[name][0] <= ANSWER_SECONDS:
                    continue
                del self.slow[name]
            if self.world.reaches(self.name, name):
                self.answered(node.view(self.world.now, self.now))

    def answered(self, view: NodeView) -> None:
        """As ``Looking.answered``: the newest answer by arrival."""
        known = self.views.get(view.node)
        if known is None or view.received_at >= known.received_at:
            self.views[view.node] = view

    def observation(self, rollout: Rollout, outcome: str) -> Observation:
        standing, release = self.record.standing, self.world.release()
        wants = [(release.apps.get(lane.app), lane.candidate) for lane in rollout.lanes]
        changed = any(wanted is not None and wanted.digest != candidate.digest for wanted, candidate in wants)
        return Observation(
            nodes=dict(self.views),
            silence=self.world.environment.judge.silence,
            verdict=judged(rollout, Outcome(outcome)) if rollout.phase in IN_FLIGHT else None,
            order=next((order for order in standing.orders if order.row > rollout.orders_read), None),
            newer=release.commit if release.commit != rollout.commit and changed else None,
            hold=standing.hold,
        )

    # ---- a turn ---------------------------------------------------------------------------------------------------

    def decide(self, outcome: str) -> None:
        """Read, look and decide; nothing is written or asked yet. A FAIL may come at any look, a PASS at the end."""
        self.intent = None
        try:
            self.record.read()
            self.record.unspool()
            release = self.world.release()
            if release.commit != self.record.standing.last_seen:
                self.record.row(rows.SEEN, {"commit": release.commit})
            reached = True
        except Unreachable:
            reached = False
        except Conflict:
            self.stop()
            return
        self.observe()
        rollout = self.record.standing.open_rollout
        if rollout is not None:
            outcome = self.possible(rollout, outcome)
            seen = self.observation(rollout, outcome)
            decision = deciding.decide(rollout, seen, self.now)
            self.intent = (rollout, decision, {action: self.meant(action) for action in decision.actions})
            self.witness(rollout, decision.rollout, seen)
        elif reached:
            self.plan = planning.plan(self.record.standing, self.world.release(), self.ground(), self.now)
            if self.plan.rollout is not None:
                self.intent = (None, Decision(self.plan.rollout, (), self.now), {})

    def ground(self) -> planning.Ground:
        backends = {app: (app,) for app in self.world.scenario.fleets}
        return planning.Ground(self.world.environment, backends, {}, self.clock, self.record.generation, None)

    def possible(self, rollout: Rollout, outcome: str) -> str:
        ended = rollout.phase is Phase.WATCHING and self.now >= deciding.watch_end(rollout)
        if outcome == "PASS" and not ended:
            return "WAIT"
        return "INCONCLUSIVE" if outcome == "WAIT" and ended else outcome

    def act(self) -> None:
        """Write the decision's row, pay what git is owed, and ask the nodes for what is missing."""
        intent, self.intent = self.intent, None
        try:
            if intent is not None:
                before, decision, means = intent
                if decision.rollout != before:
                    event = "pending" if before is None else str(decision.rollout.phase).lower()
                    self.record.rollout(decision.rollout, event)
                self.ask(means)
            self.pay()
        except Unreachable:
            return
        except Conflict:
            self.stop()

    def ask(self, means: dict[Action, float]) -> None:
        """Send what can be sent; a node that has not answered the last command is asked for nothing yet."""
        world = self.world
        recent = {m.action.node for m in world.messages if m.sender == self.name and world.now - m.sent < LINGER}
        for action, end in means.items():
            if action.node not in recent and world.reaches(self.name, action.node):
                world.send(self.name, action, self.record.generation, end)

    def meant(self, action: Action) -> float:
        """The true time that an action's end stands for, by the answer it was made from."""
        if not isinstance(action, Activate | Traffic):
            return math.inf
        view = self.views[action.node]
        return action.until - view.boottime + view.received_at - self.machine.offset

    def pay(self) -> None:
        """Push the revert commit that git is owed: on the tip if it still carries the harm, and only once."""
        for rollout in self.record.standing.owed_reverts[:1]:
            self.world.revert_in_git(rollout)
            self.record.row(rows.GIT, {"rollout": rollout.number, "did": "revert"})

    def witness(self, before: Rollout, after: Rollout, seen: Observation) -> None:
        """Remember for the promises on what a start or a promotion was decided."""
        if after.phase is Phase.PROMOTED and before.phase in IN_FLIGHT:
            self.world.judged[after.number] = ", ".join(unjudged(after, seen, self.now))
        if after.phase is Phase.DEPLOYING and before.phase is Phase.PENDING:
            self.world.started[after.number] = ", ".join(unready(after, seen, self.now))


def unjudged(rollout: Rollout, seen: Observation, now: float) -> Iterator[str]:
    """What is missing for a promotion to mean a PASS beside control nodes."""
    if seen.verdict is None or seen.verdict.outcome is not Outcome.PASS:
        yield "no PASS"
    for lane in rollout.lanes:
        views = {node: seen.answers(node, now) for node in lane.nodes}
        runs = {node: view.apps[lane.app].running for node, view in views.items() if view is not None}
        if any(runs.get(node) != lane.candidate.digest for node in lane.canaries):
            yield f"a canary of {lane.app} did not run the candidate"
        if lane.base is not None and not any(runs.get(node) == lane.base.digest for node in lane.controls):
            yield f"no control node of {lane.app} ran last good"


def unready(rollout: Rollout, seen: Observation, now: float) -> Iterator[str]:
    """Nodes that a rollout may not start from."""
    for lane in rollout.lanes:
        base = lane.base.digest if lane.base else None
        for node in lane.nodes:
            view = seen.answers(node, now)
            app = view.apps[lane.app] if view else None
            if app is None or app.running != base or app.good != base or app.pending is not None:
                yield f"{node} was not seen on last good"


def judged(rollout: Rollout, outcome: Outcome) -> Verdict:
    """A verdict out of thin air: which application is to blame is the first one's turn."""
    lane = rollout.lanes[0]
    finding = Finding(lane.app, "errors", "existing", outcome, f"{outcome} by chance")
    return Verdict(outcome, f"{outcome} by chance.", f"{outcome} by chance", (finding,), 0.0, 100.0)
