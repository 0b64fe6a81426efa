"""What earlier reports found: since when each finding is there, how many were open, and what was told already.

Pure. The record is a plain value that is kept as JSON between reports. What nobody looked at this time keeps its place:
not to see something is not to see it gone. A finding that comes back is new again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class Record:
    known: Mapping[str, Known] = field(default_factory=dict)
    """By the finding's name: those that are open, and what could not be looked at."""
    trend: tuple[Moment, ...] = ()


def remember(record: Record, report: Report) -> tuple[Record, Report]:
    """The record after a report, and the report with what the record knows."""
    findings = tuple(dated(finding, record, report.at) for finding in report.findings)
    kept = [one for one in findings if one.open or one.state is State.UNSEEN]
    seen = {one.name: Known(one.first_seen or report.at, report.at, one.kind, one.odd) for one in kept}
    still = {name: known for name, known in record.known.items() if name not in seen and not looked_at(known, report)}
    high = sum(one.severity is Severity.HIGH for one in findings if one.open)
    trend = (*record.trend, Moment(report.at, sum(one.open for one in findings), high))[-MOMENTS:]
    return Record({**still, **seen}, trend), replace(report, findings=findings, trend=trend)


def dated(finding: Finding, record: Record, at: float) -> Finding:
    known = record.known.get(finding.name)
    return replace(
        finding, first_seen=known.first_seen if known else at, new=known is None and finding.open
    )  # fmt: skip


def looked_at(known: Known, report: Report) -> bool:
    """Whether this report would have found it, were it still there."""
    return all(any(pair == (known.kind, one) for pair in report.looked) for one in known.environments)


def written(record: Record) -> dict[str, Any]:
    known = {
        name: {"first_seen": k.first_seen, "last_seen": k.last_seen, "kind": k.kind, "environments": [*k.environments]}
        for name, k in record.known.items()
    }
    return {"schema": SCHEMA, "known": known, "trend": [[m.at, m.open, m.high] for m in record.trend]}


def read(value: Any) -> Record:
    """A record from its JSON. Raises ValueError when it is none."""
    try:
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}")
        known = {
            str(name): Known(float(k["first_seen"]), float(k["last_seen"]), str(k["kind"]), tuple(k["environments"]))
            for name, k in value["known"].items()
        }
        return Record(known, tuple(Moment(float(at), int(open), int(high)) for at, open, high in value["trend"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no record of drift reports ({error!r:.100})") from error
