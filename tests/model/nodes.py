"""One node of the model: the real promises of the node program, and a process and a balancer that follow from them.

What a process or HAProxy does in earnest is tested with the real ones; here they move one step at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.model import Action, Activate, AppView, Confirm, NodeView, Promise, Return, Revert, Stage, Traffic
from controller.node import promises as program
from controller.node.errors import Refused

WATCHDOG = 2.0
"""Seconds after which the supervisor kills a node program that hangs."""


class Node:
    """A machine in a zone, its node program, its application's process and its balancer."""

    def __init__(self, name: str, app: str, zone: tuple[str, ...], known: Mapping[str, program.Release]) -> None:
        self.name, self.app = name, app
        self.known = known
        """What can be staged here, as promises see it."""
        self.staged: set[str] = set()
        self.base = {f"{app}/{server}": 100 for server in zone}
        self.weights = dict(self.base)
        self.boots, self.booted = 1, -100.0
        self.powered, self.stopped_at = True, float("inf")
        self.running: str | None = None
        self.ready, self.ready_since = False, float("-inf")
        self.state = program.AppState(boot=self.boot)

    @property
    def boot(self) -> str:
        return f"{self.name} boot {self.boots}"

    @property
    def answers(self) -> bool:
        return self.powered and self.stopped_at == float("inf")

    @property
    def facts(self) -> program.Facts:
        return program.Facts({d: self.known[d] for d in self.staged}, frozenset(self.base))

    def boottime(self, now: float) -> float:
        return now - self.booted

    # ---- what it is told ------------------------------------------------------------------------------------------

    def told(self, action: Action, generation: int, now: float) -> str | None:
        """Obey one action as ``Serve.obey`` does: what a refusal taught is kept too. The refusal's kind, or None."""
        if isinstance(action, Stage):
            self.staged.add(action.digest)
            return None
        try:
            state = program.receive(self.state, command(action, generation), self.boottime(now), self.boot, self.facts)
        except Refused as refusal:
            self.follow(refusal.state or self.state)
            return refusal.kind
        self.follow(state)
        return None

    def follow(self, state: program.AppState) -> None:
        self.state = state
        self.weights = program.weights_in_force(self.base, state.leases)

    # ---- what it does alone ---------------------------------------------------------------------------------------

    def second(self, now: float) -> None:
        """A second has passed: ends of promises and leases, the watchdog, and the process moves on."""
        if not self.powered:
            return
        if now - self.stopped_at >= WATCHDOG:
            self.program_dies(now)
        if self.answers:
            self.follow(program.timers(self.state, self.boottime(now)))
            self.work(now)

    def work(self, now: float) -> None:
        """The process comes one step nearer to what is wanted: stopped, then started, then ready."""
        wanted = program.wanted(self.state)
        if self.running != wanted and self.running is not None:
            self.running, self.ready = None, False
        elif self.running != wanted:
            self.running = wanted
        elif self.running is not None and not self.ready:
            self.ready, self.ready_since = True, now

    # ---- what happens to it ---------------------------------------------------------------------------------------

    def program_dies(self, now: float) -> None:
        """Its supervisor kills what it left and starts it again."""
        self.stopped_at, self.running, self.ready = float("inf"), None, False
        self.follow(program.restart(self.state, self.boottime(now), self.boot))

    def loses_power(self) -> None:
        self.powered, self.stopped_at, self.running, self.ready = False, float("inf"), None, False
        self.weights = dict(self.base)

    def boots_again(self, now: float) -> None:
        self.powered, self.booted = True, now
        self.boots += 1
        self.program_dies(now)

    def candidate_dies(self, now: float) -> None:
        self.running, self.ready = None, False
        self.follow(program.candidate_failed(self.state, self.boottime(now), "the candidate exited with code 1"))

    def candidate_falls_unready(self, now: float) -> None:
        """Whether that is the candidate's fault no node can say alone."""
        self.ready = False
        self.follow(program.candidate_failed(self.state, self.boottime(now), "it was not ready for 5 s", "unready"))

    def view(self, now: float, received_at: float) -> NodeView:
        """What it answers at ``now``; ``received_at`` is on the clock of who asked."""
        state, pending = self.state, self.state.pending
        app = AppView(
            running=self.running,
            good=state.good,
            previous=state.previous,
            pending=Promise(pending.token, pending.digest, pending.base, pending.until, pending.generation)
            if pending is not None
            else None,
            frozen=state.frozen,
            ready=self.ready,
            switching=self.running != program.wanted(state),
            generation=state.generation,
            ended=frozenset(state.ended),
            harmful=frozenset(state.harmful),
            staged=frozenset(self.staged),
            went_back=state.went_back.reason if state.went_back else "",
            went_back_kind=state.went_back.kind if state.went_back else "",
            went_back_token=state.went_back.token if state.went_back else "",
            ready_for=now - self.ready_since if self.ready else 0.0,
        )
        return NodeView(self.name, received_at, self.boot, self.boottime(now), {self.app: app}, dict(self.weights))


def command(action: Action, generation: int) -> program.Command:
    """An action as the node program's command line hands it on."""
    match action:
        case Activate():
            return program.Command(
                "activate", generation, action.token, action.digest, action.base, action.boot, action.until,
                action.expires,
            )  # fmt: skip
        case Traffic():
            return program.Command(
                "traffic", generation, action.token, boot=action.boot, until=action.until, expires=action.expires,
                weights=action.weights,
            )  # fmt: skip
        case Confirm():
            return program.Command("confirm", generation, action.token)
        case Revert():
            return program.Command("revert", generation, action.token, reason=action.reason, harm=action.harm)
        case Return():
            return program.Command("return", generation, action.token, action.from_digest, action.to_digest)
        case Stage():
            raise ValueError("stage is no promise")
