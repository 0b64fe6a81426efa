"""The model's world: nodes, controllers, one ledger, one branch, and the messages that are under way.

Nothing here chooses what happens next (``events``) or judges it (``promises``). ``World.now`` is true time; controllers
and nodes have clocks of their own that tell nobody what the true time is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model import Action, AppRelease, Lane, Phase, Release, Rollout
from controller.node import promises as program
from controller.rollout import rows
from environments import Budget, Environment, Fleet, Judge
from tests.model.ledgers import Link, MemoryLedger, MemorySpool
from tests.model.nodes import Node

BUDGET = Budget(deploy=8.0, watch=4.0, revert=7.0, margin=2.0)
SILENCE = 2.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where walks begin, and which troubles they may meet."""

    name: str
    fleets: Mapping[str, Fleet]
    commits: tuple[Mapping[str, str], ...] = ({},)
    """What newer commits want, application by application; the branch begins at ``sha256:L`` for each."""
    freeze: frozenset[str] = frozenset()
    """Digests behind a one-way door."""
    first: bool = False
    """Nothing was ever released here."""
    faults: int = 4
    orders: tuple[str, ...] = ("abort", "revert")
    likes: Mapping[str, float] = field(default_factory=dict)
    """Kinds of events to what their odds are multiplied by here."""
    opening: str = ""
    """The phase that a walk goes to quietly before anything may go wrong."""


@dataclass(slots=True)
class Message:
    """A command under way. ``means`` is the true time that its ``until`` stands for, infinite if it has none."""

    sender: str
    action: Action
    generation: int
    sent: float
    means: float

    def __str__(self) -> str:
        token = getattr(self.action, "token", "")
        verb = type(self.action).__name__.lower()
        return f"{verb} {token} to {self.action.node} from {self.sender} of generation {self.generation}"


@dataclass(frozen=True, slots=True)
class Commit:
    number: int
    wants: Mapping[str, str]
    reverts: str = ""
    """The rollout's token, for a revert commit."""


@dataclass(slots=True)
class Machine:
    """Where a controller runs: its clock, and the disk that its spool lies on."""

    offset: float
    boots: int = 1
    spool: MemorySpool = field(default_factory=MemorySpool)


class World:
    def __init__(self, scenario: Scenario) -> None:
        from tests.model.controllers import Controller

        self.scenario = scenario
        self.now = 0.0
        self.ledger = MemoryLedger()
        self.messages: list[Message] = []
        self.faults, self.orders = scenario.faults, list(scenario.orders)
        self.commits = list(scenario.commits)
        first = dict.fromkeys(scenario.fleets, "" if scenario.first else "sha256:L")
        self.branch = [Commit(0, first)]
        self.environment = Environment(
            "prod", "prod", None, None, BUDGET, Judge(0.01, SILENCE), (), scenario.fleets, {}, 1.0, False
        )
        self.nodes = {
            name: Node(name, app, zone, self.known())
            for app, fleet in scenario.fleets.items()
            for zone in zones(fleet).values()
            for name in zone
        }
        self.machines = {"A": Machine(0.0), "B": Machine(5000.0)}
        self.controllers = {
            name: Controller(name, self, machine, Link(self.ledger)) for name, machine in self.machines.items()
        }
        self.cut: set[tuple[str, str]] = set()
        """(controller, node) that do not reach each other."""
        self.ends: dict[tuple[str, str], float] = {}
        """(node, token) to the latest true end that any message of that token to that node meant."""
        self.judged: dict[int, str] = {}
        """Rollout to what was wrong with the look that its promotion was decided on, '' if nothing."""
        self.started: dict[int, str] = {}
        """The same for the look that it was started on."""
        self.obeyed: list[tuple[str, str]] = []
        """(node, verb) of every command that arrived in this step."""
        self.stale_acts: list[str] = []
        self.ordered_generation = 0
        """The generation that a person's command line read: a slow one read an older one."""
        if not scenario.first:
            self.begin()

    def begin(self) -> None:
        """The last good release L was rolled out long ago."""
        lanes = tuple(
            Lane(app, self.app_release(app, "sha256:L", 0), None, zones(fleet), (), (app,))
            for app, fleet in self.scenario.fleets.items()
        )
        rollout = Rollout(
            1, "prod", "commit-0", "L", lanes, BUDGET, 0, "an earlier clock", Phase.PROMOTED, settled=True, settle=1
        )
        self.ledger.append(rows.ROLLOUT, {"rollout": rows.written(rows.ROLLOUTS, rollout), "event": "settled"}, 0)
        for node in self.nodes.values():
            node.staged.add("sha256:L")
            node.state = program.AppState(good="sha256:L", boot=node.boot)
            node.running, node.ready = "sha256:L", True

    def known(self) -> dict[str, program.Release]:
        """L writes and reads version 1; a release behind a one-way door writes what L cannot read."""
        digests = {d for wants in (*self.scenario.commits, {"": "sha256:L"}) for d in wants.values()}
        freeze = self.scenario.freeze
        return {d: program.Release(frozenset({1, 2}), 2 if d in freeze else 1, d in freeze) for d in sorted(digests)}

    def app_release(self, app: str, digest: str, commit: int) -> AppRelease:
        door = "freeze" if digest in self.scenario.freeze else "revert"
        return AppRelease(app, digest, f"{digest} bits", f"{digest} settings", f"commit-{commit}", digest, door)

    def release(self) -> Release:
        """What the branch's head wants to run."""
        head = self.branch[-1]
        apps = {app: self.app_release(app, digest, head.number) for app, digest in head.wants.items() if digest}
        return Release("prod", f"commit-{head.number}", f"commit {head.number}", 0.0, apps)

    def push(self, wants: Mapping[str, str], reverts: str = "") -> None:
        head = self.branch[-1]
        self.branch.append(Commit(head.number + 1, {**head.wants, **wants}, reverts))

    def revert_in_git(self, rollout: Rollout) -> None:
        """As the git source does it: once, for the guilty applications, and only what the tip still carries."""
        if any(commit.reverts == rollout.token for commit in self.branch):
            return
        guilty = [lane for lane in rollout.lanes if lane.app in rollout.guilty]
        bases = {lane.app: lane.base.digest if lane.base else "" for lane in guilty}
        bad = {lane.app: lane.candidate.digest for lane in rollout.lanes}
        there = {app: base for app, base in bases.items() if self.branch[-1].wants[app] == bad[app]}
        if there:
            self.push(there, rollout.token)

    def send(self, sender: str, action: Action, generation: int, means: float) -> None:
        self.messages.append(Message(sender, action, generation, self.now, means))
        if means < math.inf:
            key = (action.node, getattr(action, "token", ""))
            self.ends[key] = max(means, self.ends.get(key, means))

    def arrives(self, message: Message, node: Node) -> None:
        """A command reaches its node; a stale one must change nothing there (kept for the promises)."""
        before = program.timers(node.state, node.boottime(self.now)) if node.answers else node.state
        stale = message.generation < before.generation
        node.told(message.action, message.generation, self.now)
        self.obeyed.append((node.name, type(message.action).__name__.lower()))
        if stale and node.state != before:
            self.stale_acts.append(f"{message} changed {node.name}, which had seen generation {before.generation}")

    def order(self, verb: str) -> None:
        """What a person asks for is a row; the command line reads the ledger first, for its generation."""
        body = {"verb": verb, "who": "kim", "reason": "asked for it", "subject": ""}
        self.ledger.append(rows.ORDER, body, self.ordered_generation)
        self.ordered_generation = max((row.generation for row in self.ledger.history), default=0)

    def reaches(self, controller: str, node: str) -> bool:
        return (controller, node) not in self.cut and self.nodes[node].answers

    def rollouts(self) -> list[Rollout]:
        """Every rollout row of the ledger, oldest first."""
        found = [row.body["rollout"] for row in self.ledger.history if row.kind == rows.ROLLOUT]
        return [rows.read(rows.ROLLOUTS, value) for value in found]


def zones(fleet: Fleet) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for zone, name in fleet.node_names():
        found[zone] = (*found.get(zone, ()), name)
    return found
