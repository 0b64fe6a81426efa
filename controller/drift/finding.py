"""The words of a drift report: what differs, how much it matters, whose setting explains it, what ends it.

Pure values. Nothing is compared here, and no face computes a figure that is not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """What is held against what; the sentence is for people."""

    LIVE = "live"
    ALIGNMENT = "alignment"
    RELEASE = "release"
    DATA = "data"
    RUNTIME = "runtime"
    TRAFFIC = "traffic"
    HISTORY = "history"
    UNMANAGED = "unmanaged"
    WAIVER = "waiver"


SAYS: Mapping[Kind, str] = {
    Kind.LIVE: "declared against what the cloud says",
    Kind.ALIGNMENT: "environment against environment",
    Kind.RELEASE: "promoted against running",
    Kind.DATA: "collections, indexes, validators, roles",
    Kind.RUNTIME: "machines, libraries, balancers, clocks",
    Kind.TRAFFIC: "what each environment is asked",
    Kind.HISTORY: "what went through which environment",
    Kind.UNMANAGED: "in the account, in no program",
    Kind.WAIVER: "accepted differences that ran out",
}


class Severity(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class State(StrEnum):
    """What is known of a finding. The first two are open: they are what exit code 2 counts."""

    UNEXPLAINED = "unexplained"
    EXPIRED = "waiver expired"
    WAIVED = "waived"
    EXPLAINED = "explained"
    UNSEEN = "not looked at"


OPEN = (State.UNEXPLAINED, State.EXPIRED)
ABSENT = "absent"
"""How a value that is not there is written."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not the same everywhere. ``values`` has a text for each column that was compared."""

    where: str
    """What it is a value of: a resource and the path in it, an index, a library."""
    values: Mapping[str, str]
    place: str = ""
    """File and line that declare it, where something does."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A reviewed setting that makes a difference, and the line that says it in each environment."""

    setting: str
    places: Mapping[str, str]
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What ends a finding: in which direction, and the command to run or the line to change."""

    says: str
    does: str


@dataclass(frozen=True, slots=True)
class Waiver:
    """A difference that somebody accepted, why, and until when."""

    match: str
    reason: str
    owner: str
    expires: date
    place: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person can judge. ``name`` is the same in every report, and is what a waiver matches."""

    kind: Kind
    about: str
    """What it is found on, without its values: ``stage:prod infra/alarms.py …``; the second half of its name."""
    what: str
    """What is the matter, in a few words."""
    odd: tuple[str, ...]
    """The environments that it counts for."""
    severity: Severity
    state: State
    why: str
    differences: tuple[Difference, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    """What each environment shows, in a few words."""
    causes: tuple[Cause, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    removed: bool = False
    """Something that should be there is gone: no waiver hides that."""
    waiver: Waiver | None = None
    first_seen: float | None = None
    """UTC, as the record of earlier reports has it."""
    new: bool = False
    """No earlier report had it."""
    measured: bool = False
    """Its values are measurements, which are never twice the same: another figure is no news."""

    @property
    def name(self) -> str:
        return f"{self.kind} {self.about}"

    @property
    def id(self) -> str:
        return "D-" + hashlib.sha256(self.name.encode()).hexdigest()[:6]

    @property
    def open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class Stop:
    """One artefact that an environment ran for good: promoted there, or come back to."""

    artifact: str
    commit: str
    subject: str
    rollout: int
    back: bool = False


Roads = Mapping[str, Mapping[str, tuple[Stop, ...]]]
"""Application to environment to what it ran for good, oldest first."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one look brought to the report: its findings, and which kinds it looked at where."""

    findings: tuple[Finding, ...] = ()
    looked: frozenset[tuple[Kind, str]] = frozenset()
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    tried: int = 0
    """How many settings were tried, one by one."""
    roads: Roads = field(default_factory=dict)
    promoted: Mapping[str, float] = field(default_factory=dict)
    """When an environment was promoted last, by its ledger's own time."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many resources an environment declares, and, where the cloud was asked, how many it has that are declared."""

    declared: int | None = None
    live: int | None = None
    managed: int | None = None
    calls: int = 0
    """How often clouds were asked for it."""

    def __add__(self, other: Coverage) -> Coverage:
        """What two looks know together."""
        return Coverage(
            self.declared if self.declared is not None else other.declared,
            self.live if self.live is not None else other.live,
            self.managed if self.managed is not None else other.managed,
            self.calls + other.calls,
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """One earlier report in two figures."""

    at: float
    open: int
    high: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one look found. ``looked`` has each kind that was looked at in an environment."""

    at: float
    took: float
    environments: tuple[str, ...]
    kinds: tuple[Kind, ...]
    findings: tuple[Finding, ...]
    looked: frozenset[tuple[Kind, str]]
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    trend: tuple[Moment, ...] = ()
    settings: int = 0
    """How many settings were tried, one by one."""
    roads: Roads = field(default_factory=dict)
    since: str = ""
    """The commit that ``new`` is held against; empty: the last report."""
    pairs: tuple[tuple[str, str], ...] = ()
    """The environments that were held against each other, the one that is promoted from first."""
    promoted: Mapping[str, float] = field(default_factory=dict)
    """When an environment was promoted last; one that never was, or of which no ledger is here, is not in it."""

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.open)

    @property
    def unseen(self) -> tuple[Finding, ...]:
        return self.having(State.UNSEEN)

    def having(self, state: State) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.state is state)

    def at_cell(self, kind: Kind, environment: str) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.kind is kind and environment in one.odd)


def unseen(kind: Kind, environments: Iterable[str], why: str, remedy: str = "") -> Finding:
    """A kind that could not be looked at somewhere: not the same as aligned."""
    odd = tuple(environments)
    return Finding(
        kind=kind,
        about=f"{':'.join(odd)} not looked at",
        what=f"{kind} was not looked at in {' and '.join(odd) or 'any environment'}",
        odd=odd,
        severity=Severity.MEDIUM,
        state=State.UNSEEN,
        why=why,
        remedies=(Remedy("so that it can be looked at", remedy),) if remedy else (),
    )


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The way people read them: what is open first, the weightiest first, then by kind and name."""
    states, weights, kinds = list(State), list(Severity), list(Kind)
    return tuple(
        sorted(
            findings,
            key=lambda f: (states.index(f.state), weights.index(f.severity), kinds.index(f.kind), f.about),
        )
    )


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
