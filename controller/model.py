"""The words of a release as values: what is rolled out, what was seen, what was found, what is asked of the fleet.

Nothing here decides, reads or writes. Times called ``*_at``, ``t0`` and ``until`` are seconds on the controller's own
boot clock unless a docstring says otherwise; a node's boot clock appears only in ``NodeView`` and in commands to it.
Digests are written ``sha256:<64 hex>``; a *release digest* stands for the pair (artefact, configuration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from environments import Budget, Judge

USUAL = Judge(alpha=0.01, silence=5.0)
BASE_WEIGHT = 100
"""The weight every server has when no rollout leases another one."""


class Phase(StrEnum):
    """Where a rollout stands. Only REVERTED and SUPERSEDED are fixed points."""

    PENDING = "PENDING"
    DEPLOYING = "DEPLOYING"
    WATCHING = "WATCHING"
    REVERTING = "REVERTING"
    RETURNING = "RETURNING"
    PROMOTED = "PROMOTED"
    REVERTED = "REVERTED"
    SUPERSEDED = "SUPERSEDED"
    HELD = "HELD"
    STUCK = "STUCK"


IN_FLIGHT = frozenset({Phase.DEPLOYING, Phase.WATCHING})
"""The candidate serves and is not promoted: the clock runs."""
CLOSED = frozenset({Phase.REVERTED, Phase.SUPERSEDED, Phase.HELD})
"""The candidate runs nowhere and no work is left on the fleet."""


class Cause(StrEnum):
    """Why a rollout goes back: the row of the outcome table, which decides git, quarantine and the closing phase."""

    HARM = "harm"
    BLIND = "blind"
    HOLD = "hold"
    INCIDENT = "incident"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"


class Outcome(StrEnum):
    """What a check or a verdict says, from best to worst; ERROR is "could not look", never "bad"."""

    PASS = "PASS"
    WAIT = "WAIT"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    INCIDENT = "INCIDENT"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class AppRelease:
    """One application at one commit with one environment's settings."""

    app: str
    digest: str
    artifact_digest: str
    config_digest: str
    commit: str
    subject: str = ""
    on_deadline: str = "revert"


@dataclass(frozen=True, slots=True)
class Release:
    """A commit on an environment branch and what it wants to run."""

    environment: str
    commit: str
    subject: str
    committed_at: float
    apps: Mapping[str, AppRelease]
    changed_lines: int = 0


@dataclass(frozen=True, slots=True)
class Arm:
    """Counts of one arm: events and bad ones, distinct clients where a check de-duplicates; or exposure and events."""

    total: int | float
    bad: int

    def __add__(self, other: Arm) -> Arm:
        return Arm(self.total + other.total, self.bad + other.bad)

    @property
    def share(self) -> float:
        return self.bad / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One question an application wants asked of its candidates, as its ``release.toml`` states it."""

    name: str
    kind: str
    """``share`` | ``slower_than_control_p95`` | ``missing_events`` | ``conservation`` | ``creep`` | ``prometheus``"""
    about: str = "existing"
    paths: tuple[str, ...] = ()
    once_per: str = ""
    """``client``: a client counts once a second, however often it retries."""
    smallest_harm: float = 0.02
    law: str = ""
    events: str = ""
    per: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What a process may hold, by resource, where the usual limits do not fit."""
    within_seconds: float = 3600.0
    """A leak that would reach a limit within so long is harm."""
    query: str = ""
    """PromQL for one value of each node, which a bound is set for; or, by kind of event, for two counters of it."""
    query_bad: str = ""
    query_total: str = ""
    at_most: float | None = None
    at_least: float | None = None
    lasting_seconds: float = 10.0
    node_label: str = "node"

    @property
    def counts(self) -> bool:
        """Whether it brings evidence that is weighed; otherwise it holds or it does not."""
        return self.kind in ("share", "slower_than_control_p95", "missing_events") or bool(self.query_bad)


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Requests that an application lets anybody make: the port they go to by its name, and their paths."""

    port: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """One application's part in a rollout: candidate and last good on one fleet.

    ``waves`` are cumulative: wave *i* names every node that has left last good once it is complete. ``zones`` maps each
    zone to its nodes, which balance over one another; ``backends`` are the balancer's backends that lead to the app.
    """

    app: str
    candidate: AppRelease
    base: AppRelease | None
    zones: Mapping[str, tuple[str, ...]]
    waves: tuple[tuple[str, ...], ...]
    backends: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    slow_above_ms: float | None = None
    """What last good's slowest twentieth took before the rollout; None while too few requests were seen."""
    former: Mapping[str, Arm] = field(default_factory=dict)
    """Check to what last good's events were before the rollout, where the fleet is too small to do without."""
    pace: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Check and node to how many events its exposure brought on last good, where events may go missing."""

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node for zone in self.zones.values() for node in zone)

    @property
    def canaries(self) -> tuple[str, ...]:
        return self.waves[-1]

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(node for node in self.nodes if node not in self.canaries)

    @property
    def base_digest(self) -> str | None:
        return self.base.digest if self.base is not None else None

    def peers(self, node: str) -> tuple[str, ...]:
        """The nodes whose balancers send traffic to ``node``, itself included."""
        return next(zone for zone in self.zones.values() if node in zone)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One attempt to bring a release to an environment's fleets. The whole value stands in every ledger row."""

    number: int
    environment: str
    commit: str
    subject: str
    lanes: tuple[Lane, ...]
    budget: Budget
    generation: int
    clock: str
    """Boot id of the controller's machine: times below mean nothing to a controller on another clock."""
    phase: Phase = Phase.PENDING
    entered_at: float = 0.0
    why: str = ""
    short: str = ""
    cause: Cause | None = None
    seen_at: float = 0.0
    t0: float | None = None
    watch_from: float | None = None
    verdict_at: float | None = None
    attempt: int = 1
    lets_finish: bool = False
    """Merges came faster than rollouts: this one is no longer superseded."""
    needs_approval: bool = False
    """The environment wants a person to agree before anything leaves last good."""
    approved: str | None = None
    """Who approved it and why, where an approval is needed."""
    window: str | None = None
    """The freeze window that was open when a person let it begin all the same."""
    guilty: tuple[str, ...] = ()
    """The applications whose candidates did the harm; only these are quarantined and reverted in git."""
    forgiven: tuple[str, ...] = ()
    """Digests that somebody wants tried once more: what nodes remember of their earlier harm is no reason."""
    orders_read: int = 0
    """The ledger row of the newest order this rollout has answered."""
    settle: int = 0
    settle_t0: float | None = None
    settled: bool = False
    heading: Phase | None = None
    """What a STUCK rollout is still working on."""
    judge: Judge = USUAL
    """What its verdict is measured by, as the environment stated it when it began."""

    @property
    def token(self) -> str:
        return f"{self.environment}-r{self.number}"

    @property
    def lease_token(self) -> str:
        """Weights are leased apart from the promise: they must outlive it while the candidate is being stopped.

        Each way has a token of its own, because an earlier leader may have ended those of the way before.
        """
        if Phase.RETURNING in (self.phase, self.heading):
            return f"{self.token}.return.weights"
        promoted = Phase.PROMOTED in (self.phase, self.heading)
        return f"{self.settle_token}.weights" if promoted else f"{self.token}.weights"

    @property
    def lease_tokens(self) -> tuple[str, ...]:
        """Every token that weights of this rollout may still be leased under."""
        return tuple(dict.fromkeys((*(f"{token}.weights" for token in self.tokens), self.lease_token)))

    @property
    def settle_token(self) -> str:
        return f"{self.token}.settle{self.settle}"

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token of this rollout that a node may hold a promise under, or may yet receive one.

        Of many attempts to settle only the newest can be under way: what was sent in earlier ones has expired.
        """
        attempts = range(max(1, self.settle - 2), self.settle + 1)
        return (self.token, *(f"{self.token}.settle{n}" for n in attempts))

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node for lane in self.lanes for node in lane.nodes)

    @property
    def stays(self) -> bool:
        """Behind a one-way door no node goes back."""
        return any(lane.candidate.on_deadline == "freeze" for lane in self.lanes)

    def lane_of(self, node: str) -> Lane:
        return next(lane for lane in self.lanes if node in lane.nodes)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a node holds for an unconfirmed release; ``until`` is in the node's boot time."""

    token: str
    digest: str
    base: str | None
    until: float
    generation: int


@dataclass(frozen=True, slots=True)
class AppView:
    """One application on one node, as the node itself says."""

    running: str | None = None
    good: str | None = None
    previous: str | None = None
    pending: Promise | None = None
    frozen: bool = False
    ready: bool = False
    switching: bool = False
    restarts: int = 0
    generation: int = 0
    ended: frozenset[str] = frozenset()
    harmful: frozenset[str] = frozenset()
    staged: frozenset[str] = frozenset()
    went_back: str = ""
    """Why the node last went back by itself, in its own words."""
    went_back_kind: str = ""
    """The same in one word: deadline, restart, exit, unready, start, asked or return."""
    went_back_token: str = ""
    """The promise that it left then."""
    ready_for: float = inf
    """Seconds for which it has been ready without a break."""

    @property
    def serves(self) -> bool:
        return self.ready and not self.switching and self.running is not None


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node answered. ``boottime`` is the node's clock at the controller's ``received_at``."""

    node: str
    received_at: float
    boot: str
    boottime: float
    apps: Mapping[str, AppView]
    weights: Mapping[str, int] = field(default_factory=dict)
    """``backend/server`` to the weight its balancer uses, as it last said; empty if it never answered."""
    weights_at: float = inf
    """When its balancer said so, on the controller's clock."""
    sessions: Mapping[str, int] = field(default_factory=dict)
    servers_up: Mapping[str, bool] = field(default_factory=dict)
    leases: frozenset[str] = frozenset()
    """Tokens under which its balancer holds weights."""

    def local(self, at: float) -> float:
        """The controller's time ``at`` in the node's boot time.

        Uses the moment the answer was received, so that the network's delay makes a deadline early, never late.
        """
        return at - self.received_at + self.boottime


@dataclass(frozen=True, slots=True)
class OnPath:
    """One path class of a check, and what both arms counted on it."""

    path: str
    canary: Arm
    control: Arm


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says of one application, with the counts it says it on: those of all its paths together."""

    app: str
    check: str
    about: str
    outcome: Outcome
    sentence: str
    canary: Arm | None = None
    control: Arm | None = None
    evidence: float | None = None
    sees_from: float | None = None
    """The smallest harm, as a share, that these samples would have shown with 95 % certainty."""
    worst: OnPath | None = None
    """The path that speaks most for harm: the one that the sentence of a failed check names and counts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst finding, and the sentence of it."""

    outcome: Outcome
    why: str
    short: str
    findings: tuple[Finding, ...]
    evidence: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for, as the ledger holds it."""

    verb: str
    who: str
    reason: str
    row: int
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a decision may look at besides the rollout and the time."""

    nodes: Mapping[str, NodeView]
    """The newest answer of each node that ever answered."""
    silence: float
    """Seconds without an answer after which a node counts as silent."""
    verdict: Verdict | None = None
    order: Order | None = None
    newer: str | None = None
    """A newer commit that wants something else for an application of this rollout."""
    closed_window: str | None = None
    """The name of the freeze window that is open now."""
    hold: Order | None = None
    troubles: Mapping[str, str] = field(default_factory=dict)
    """Node to what it last answered instead of doing what it was asked."""

    def answers(self, node: str, now: float) -> NodeView | None:
        view = self.nodes.get(node)
        return view if view is not None and now - view.received_at <= self.silence else None

    def deaf(self, node: str, now: float) -> bool:
        """The node answers, and its balancer has not for as long as a node may be silent."""
        view = self.answers(node, now)
        return view is not None and now - view.weights_at > self.silence


@dataclass(frozen=True, slots=True)
class Stage:
    node: str
    app: str
    digest: str


@dataclass(frozen=True, slots=True)
class Activate:
    node: str
    app: str
    digest: str
    base: str | None
    token: str
    boot: str
    until: float
    expires: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Weights at one node's balancer, leased until ``until`` of that node's boot time."""

    node: str
    weights: tuple[tuple[str, int], ...]
    token: str
    boot: str
    until: float
    expires: float


@dataclass(frozen=True, slots=True)
class Confirm:
    node: str
    app: str
    token: str


@dataclass(frozen=True, slots=True)
class Revert:
    node: str
    app: str
    token: str
    reason: str
    harm: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    node: str
    app: str
    token: str
    from_digest: str
    to_digest: str


Action = Stage | Activate | Traffic | Confirm | Revert | Return

FORWARD = (Stage, Activate, Confirm)
"""Actions that wait for their ledger row; the others lead toward last good and never wait."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the rollout goes, what to ask of the fleet, and when to look again at the latest."""

    rollout: Rollout
    actions: tuple[Action, ...]
    wake_at: float
