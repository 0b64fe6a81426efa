"""One rollout, and one environment, as people see them: the values that every face is drawn from.

Only values stand here. ``telling`` folds them from a ledger's rows, ``advice`` writes their sentences, and ``faces``
renders them; no renderer computes a verdict or a figure. Times called ``at`` are UTC in seconds since 1970, times
called ``t`` are seconds since T0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.model import CLOSED, AppRelease, Cause, Finding, Order, Outcome, Phase, Rollout, Verdict
from controller.rollout.standing import Blocked, Quarantined

CANDIDATE, LAST_GOOD, STARTING, STOPPING, SILENT = "candidate", "last good", "starting", "stopping", "silent"
UNSEEN = "not seen"
"""A node that no look has reached yet."""
EMPTY = "empty"
"""A node that runs nothing, because there is no last good."""
NODE_STATES = (CANDIDATE, STARTING, LAST_GOOD, STOPPING, SILENT, UNSEEN, EMPTY)

COMING, RUNNING, WITHIN, OVER, UNUSED = "coming", "running", "within", "over", "unused"
NOBODYS = "nobody's"
"""What can be said of a budget; one that ran out while no controller was there was nobody's to keep."""

SUSPICIOUS = 10.0
"""Evidence from which a face says aloud that something looks worse: a tenth of proof at the usual alpha."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the record. ``t`` is negative before T0 and None where there never was one."""

    n: int
    at: float
    t: float | None
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """What was seen in one look, once a second."""

    t: float
    at: float
    phase: Phase
    nodes: Mapping[str, str]
    shares: Mapping[str, float]
    """``app/zone`` to the share of its traffic on the candidate, 0 to 1."""
    evidence: Mapping[str, float]
    """``app/check`` to its e-value."""
    together: float | None
    """The evidence that decides: the mean over the checks. None while nothing is judged."""
    requests: int
    clients: int


@dataclass(frozen=True, slots=True)
class Span:
    """A state from ``begin`` to ``end``."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What one of the three budgets allows, and what was used of it."""

    name: str
    used: float
    limit: float
    state: str

    @property
    def left(self) -> float:
        return max(0.0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Figures:
    """The seconds and the harm that a rollout is measured by; None where it did not come to that.

    Where nodes went back alone because no controller was there, nobody decided and nothing is counted from a decision.
    """

    seen_s: float | None = None
    """From the commit to the controller's having seen it."""
    deploy_s: float | None = None
    """From T0 until every canary served."""
    verdict_s: float | None = None
    """From the beginning of the watch to its verdict."""
    traffic_off_s: float | None = None
    """From the turn toward last good until no balancer sent the candidate anything."""
    nodes_back_s: float | None = None
    """From the turn toward last good until every node served it again."""
    exposure_s: float | None = None
    """From T0 until no process and no session of the candidate was left, as a controller saw it."""
    harmed: int = 0
    clients: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding, with what its check asks."""

    finding: Finding
    kind: str
    asks: str

    @property
    def statistical(self) -> bool:
        return self.finding.evidence is not None

    @property
    def suspicious(self) -> bool:
        if self.finding.outcome is Outcome.WAIT:
            return (self.finding.evidence or 0.0) >= SUSPICIOUS
        return self.finding.outcome is Outcome.FAIL


@dataclass(frozen=True, slots=True)
class GitSaid:
    """What git was told at last: a revert commit, or why none was needed."""

    at: float
    did: str
    commit: str | None
    why: str
    message: str


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier rollout, for lists and for the row of bars."""

    number: int
    at: float
    apps: tuple[str, ...]
    commit: str
    subject: str
    phase: Phase
    cause: Cause | None
    short: str
    seconds: float | None
    """On trial: from T0 to its promotion, or until it was gone."""
    harmed: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person can do now, and the command that does it."""

    says: str
    command: str


@dataclass(frozen=True, slots=True)
class Story:
    """One rollout as people see it."""

    rollout: Rollout
    at: float
    t: float | None
    t0_at: float | None
    sentence: str
    after: str
    """What follows from it: who serves now, what git says, what happens next."""
    ticks: tuple[Tick, ...]
    moments: tuple[Moment, ...]
    spans: tuple[Span, ...]
    """The phases; ``staging`` before T0 and ``settling`` after the promotion are written small."""
    paths: Mapping[str, tuple[Span, ...]]
    """Node to what it ran."""
    nodes: Mapping[str, str]
    shares: Mapping[str, float]
    spent: tuple[Spent, ...]
    figures: Figures
    marks: Mapping[str, float]
    """When these were, if they were: watch, verdict, turn, promoted, traffic_off, nodes_back, gone, closed."""
    verdict: Verdict | None
    """The verdict that decided, else the newest one."""
    checks: tuple[Judged, ...]
    git: GitSaid | None
    quarantine: tuple[Quarantined, ...]
    past: tuple[Past, ...]
    """The last twelve rollouts of the same applications, this one included, oldest first."""
    later: Past | None
    """The newest later rollout of the same commit: it was tried again."""
    unled: tuple[Span, ...]
    """When no controller was there while the candidate was on trial; the last one may go on."""
    advice: tuple[Advice, ...]
    first_row: int
    last_row: int
    hash: str

    @property
    def environment(self) -> str:
        return self.rollout.environment

    @property
    def number(self) -> int:
        return self.rollout.number

    @property
    def phase(self) -> Phase:
        return self.rollout.phase

    @property
    def app(self) -> str:
        return " + ".join(lane.app for lane in self.rollout.lanes)

    @property
    def candidate(self) -> str:
        return self.rollout.commit[:7]

    @property
    def base(self) -> str | None:
        """Last good, by its commit; with several applications, of the first that has one."""
        return next((lane.base.commit[:7] for lane in self.rollout.lanes if lane.base is not None), None)

    @property
    def over(self) -> bool:
        """No work is left on the fleet."""
        return self.phase in CLOSED or (self.phase is Phase.PROMOTED and self.rollout.settled)

    @property
    def name(self) -> str:
        """How commands name it."""
        return f"{self.environment}/{self.number}"

    @property
    def threshold(self) -> float:
        return self.verdict.threshold if self.verdict is not None else 100.0

    @property
    def together(self) -> float | None:
        return self.verdict.evidence if self.verdict is not None else None

    @property
    def budget_now(self) -> Spent:
        """The budget that runs, else the last that was used."""
        now = next((spent for spent in self.spent if spent.state in (RUNNING, OVER)), None)
        return now or next((spent for spent in reversed(self.spent) if spent.used), self.spent[0])

    @property
    def share(self) -> float:
        """The share of traffic on the candidate, over all zones alike."""
        return sum(self.shares.values()) / len(self.shares) if self.shares else 0.0

    @property
    def gone_by(self) -> float | None:
        """UTC by which an unpromoted candidate is gone: the nodes hold this deadline themselves."""
        return None if self.t0_at is None else self.t0_at + self.rollout.budget.limit

    @property
    def kept(self) -> bool | None:
        """Whether the promise was kept; None while nobody can say, or where nobody looked before it was over."""
        if any(spent.state == OVER for spent in self.spent):
            return False
        if self.phase is Phase.STUCK or not self.over:
            return None
        gone = self.figures.exposure_s
        if gone is None or "promoted" in self.marks or gone <= self.rollout.budget.limit:
            return True
        return None if self.went_back_alone else False

    @property
    def went_back_alone(self) -> bool:
        """No controller was there when the nodes went back: what one saw of it, it saw when it looked again."""
        turn = self.marks.get("turn")
        return turn is not None and any(gap.end <= turn for gap in self.unled)


@dataclass(frozen=True, slots=True)
class Running:
    """What an environment runs of one application for good, and since which rollout."""

    app: str
    release: AppRelease | None
    since: float | None
    rollout: int | None


@dataclass(frozen=True, slots=True)
class Standstill:
    """What keeps everything from going on in an environment, whatever its rollouts are."""

    environment: str
    at: float
    blocked: tuple[Blocked, ...]
    """Why what the branch asks for is not looked at."""
    led: bool | None
    """Whether a controller leads it; None where nobody looked."""
    last_at: float | None
    """UTC of the newest row."""

    def __bool__(self) -> bool:
        return bool(self.blocked) or self.led is False


@dataclass(frozen=True, slots=True)
class Overview:
    """What an environment runs now, and what is going on in it."""

    environment: str
    at: float
    running: tuple[Running, ...]
    current: Story | None
    """The newest rollout, open or closed."""
    hold: Order | None
    quarantine: tuple[Quarantined, ...]
    generation: int
    led_at: float | None
    """When the controller that leads now took over."""
    last_row: int
    hash: str
    standstill: Standstill

    @property
    def needs_person(self) -> bool:
        """Whether nothing goes on here until a person acts."""
        story = self.current
        if self.standstill:
            return True
        if story is None or self.hold is not None:
            return self.hold is not None
        waits = story.phase is Phase.PENDING and any("approve" in one.command for one in story.advice)
        return waits or story.phase in (Phase.HELD, Phase.STUCK)
