"""What earlier reports found: since when each finding is there, how many were open, and what people were told.

Pure. The record is a plain value that is kept as JSON between reports. What nobody looked at this time keeps its place:
not to see something is not to see it gone. A finding that comes back is new again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from controller.drift.finding import Finding, Moment, Report, Severity, State

SCHEMA = "turnabout/drift-record/1"
MOMENTS = 400


@dataclass(frozen=True, slots=True)
class Known:
    """One finding as the record has it."""

    first_seen: float
    last_seen: float
    kind: str
    environments: tuple[str, ...]
    what: str = ""
    why: str = ""
    severity: str = ""
    state: str = ""
    id: str = ""
    mark: str = ""
    """Stands for what it was found to be: another one is news."""

    @property
    def where(self) -> str:
        """The environment whose people are told."""
        return self.environments[-1] if self.environments else "every environment"


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of a finding."""

    mark: str
    what: str
    id: str
    where: str


@dataclass(frozen=True, slots=True)
class Record:
    known: Mapping[str, Known] = field(default_factory=dict)
    """By the finding's name: those that are open, and what could not be looked at."""
    trend: tuple[Moment, ...] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    """By the finding's name: what a controller has told people of."""
    failed: str = ""
    """Why the last look failed that a controller made by itself; empty when it did not."""


def remember(record: Record, report: Report) -> tuple[Record, Report]:
    """The record after a report, and the report with what the record knows."""
    findings = tuple(dated(finding, record, report.at) for finding in report.findings)
    kept = [one for one in findings if one.open or one.state is State.UNSEEN]
    seen = {one.name: known(one, report.at) for one in kept}
    still = {name: old for name, old in record.known.items() if name not in seen and not looked_at(old, report)}
    high = sum(one.severity is Severity.HIGH for one in findings if one.open)
    trend = (*record.trend, Moment(report.at, sum(one.open for one in findings), high))[-MOMENTS:]
    return replace(record, known={**still, **seen}, trend=trend), replace(report, findings=findings, trend=trend)


def dated(finding: Finding, record: Record, at: float) -> Finding:
    known = record.known.get(finding.name)
    return replace(
        finding, first_seen=known.first_seen if known else at, new=known is None and finding.open
    )  # fmt: skip


def known(one: Finding, at: float) -> Known:
    return Known(
        one.first_seen or at, at, one.kind, one.odd, one.what, one.why, one.severity, one.state, one.id, mark(one)
    )


def mark(one: Finding) -> str:
    """The same for as long as there is nothing new to say: of what was not seen, or is measured, no value counts."""
    values = (
        []
        if one.measured or one.state is State.UNSEEN
        else [[d.where, *sorted(d.values.items())] for d in one.differences]
    )
    return hashlib.sha256(repr([one.severity, one.state, values]).encode()).hexdigest()[:12]


def looked_at(known: Known, report: Report) -> bool:
    """Whether this report would have found it, were it still there."""
    return all(any(pair == (known.kind, one) for pair in report.looked) for one in known.environments)


def written(record: Record) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "known": {name: asdict(one) for name, one in record.known.items()},
        "trend": [[m.at, m.open, m.high] for m in record.trend],
        "told": {name: asdict(one) for name, one in record.told.items()},
        "failed": record.failed,
    }


def read(value: Any) -> Record:
    """A record from its JSON. Raises ValueError when it is none."""
    try:
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}")
        return Record(
            {str(name): Known(**{**one, "environments": tuple(one["environments"])})
             for name, one in value["known"].items()},
            tuple(Moment(float(at), int(open), int(high)) for at, open, high in value["trend"]),
            {str(name): Told(**one) for name, one in value.get("told", {}).items()},
            str(value.get("failed", "")),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no record of drift reports ({error!r:.100})") from error
