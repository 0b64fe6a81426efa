"""What truly happened in the model's world, kept row by row and step by step for the promises to be measured by."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.model import CLOSED, Cause, Phase, Rollout
from controller.node import promises as program
from controller.rollout import rows
from controller.rollout.rows import Row
from tests.model.world import World


@dataclass(slots=True)
class Chronicle:
    """The ledger as history. A spooled row that came too late (EVIDENCE) is no part of it."""

    read: int = 0
    newest: Rollout | None = None
    again: list[str] = field(default_factory=list)
    """Rollouts that moved after a newer one had begun."""
    steps: list[tuple[Rollout | None, Rollout]] = field(default_factory=list)
    """The rollout rows of the newest step, each with the row of the same rollout before it."""
    leads: list[int] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    tried: dict[tuple[str, str], float] = field(default_factory=dict)
    """(application, digest) to the true time of its newest DEPLOYING row."""
    promoted: set[tuple[str, str]] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    """Tokens whose row was written."""
    closed: set[str] = field(default_factory=set)
    """Tokens of rollouts that are closed."""
    quarantine: dict[tuple[str, str], int] = field(default_factory=dict)
    """(application, digest) to the rollout in which it did harm, until somebody asks for a retry."""
    forgiven: set[str] = field(default_factory=set)
    harmful_since: dict[tuple[str, str], float] = field(default_factory=dict)
    """(application, digest) to the true time since when a node remembers its harm."""

    def follow(self, world: World) -> None:
        self.steps = []
        for row in world.ledger.history[self.read :]:
            self.take(row, world.now)
        self.read = len(world.ledger.history)
        for node in world.nodes.values():
            for digest in node.state.harmful:
                self.harmful_since.setdefault((node.app, digest), world.now)

    def take(self, row: Row, now: float) -> None:
        highest = max(self.leads, default=0)
        if row.kind not in (rows.ORDER, rows.EVIDENCE, rows.LEAD) and row.generation < highest:
            self.stale.append(f"row {row.n} ({row.kind}) of generation {row.generation} after generation {highest}")
        if row.kind == rows.LEAD:
            if row.generation <= highest:
                self.stale.append(f"generation {row.generation} leads after generation {highest}")
            self.leads.append(row.generation)
        if row.kind == rows.ORDER and row.body["verb"] == "retry":
            self.forgiven |= {digest for _, digest in self.harmful_since}
            self.quarantine.clear()
        if row.kind == rows.ROLLOUT:
            self.moved(rows.read(rows.ROLLOUTS, row.body["rollout"]), now)

    def moved(self, rollout: Rollout, now: float) -> None:
        before = self.newest if self.newest and self.newest.number == rollout.number else None
        self.steps.append((before, rollout))
        if self.newest and rollout.number < self.newest.number:
            self.again.append(f"rollout {rollout.number} moves again, after rollout {self.newest.number}")
        changed = before is None or before.phase is not rollout.phase
        for lane in rollout.lanes:
            key = (lane.app, lane.candidate.digest)
            if rollout.phase is Phase.DEPLOYING and changed:
                self.tried[key] = now
            if rollout.phase is Phase.PROMOTED:
                self.promoted.add(key)
            if rollout.cause is Cause.HARM and lane.app in rollout.guilty and rollout.phase is not Phase.PENDING:
                self.quarantine[key] = rollout.number
                self.forgiven.discard(key[1])
        if rollout.phase is Phase.DEPLOYING:
            self.tokens.add(rollout.token)
        if rollout.phase is Phase.PROMOTED or rollout.heading is Phase.PROMOTED:
            self.tokens.add(rollout.settle_token)
        if rollout.phase in CLOSED:
            self.closed |= {rollout.token, *(f"{rollout.token}.settle{n}" for n in range(1, 99))}
        self.newest = rollout


@dataclass(frozen=True, slots=True)
class Before:
    """What the promises compare with: the nodes' memory before a step."""

    states: dict[str, program.AppState]
    newest: Rollout | None


def before(world: World, chronicle: Chronicle) -> Before:
    return Before({name: node.state for name, node in world.nodes.items()}, chronicle.newest)
