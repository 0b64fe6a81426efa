"""Which promotion does not go on, and what stops it: high, explained by nobody, and not known at the last promotion.

Pure. Whoever promotes asks here, and so does every face of a report, so that what a report says is what a promotion
does. How one goes on all the same is the command's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.drift.finding import Finding, Kind, Report, Severity
from controller.model import Phase
from controller.rollout import rows
from controller.rollout.rows import Row


@dataclass(frozen=True, slots=True)
class Stopped:
    """A promotion that does not go on, and the findings that stop it, which nobody knew when it was made last."""

    source: str
    target: str
    by: tuple[Finding, ...]


def stopped(report: Report) -> Iterator[Stopped]:
    """Every promotion between environments of the report that is stopped by what was found."""
    for source, target in report.pairs:
        if by := tuple(one for one in report.open if stops(one, report, source, target)):
            yield Stopped(source, target, by)


def stops(one: Finding, report: Report, source: str, target: str) -> bool:
    where = one.about.partition(" ")[0]
    if one.kind is not Kind.ALIGNMENT or one.severity is not Severity.HIGH:
        return False
    return where in (f"{source}:{target}", source, target) and not known(one, report, target)


def known(one: Finding, report: Report, target: str) -> bool:
    """Whether it was there already: in the commit that is compared with, or when the target was promoted last."""
    if report.since:
        return not one.new
    promoted = report.promoted.get(target)
    return promoted is not None and (report.at if one.first_seen is None else one.first_seen) <= promoted


def stopped_by(one: Finding, report: Report) -> tuple[str, ...]:
    """The environments that nothing is promoted to because of this finding."""
    return tuple(each.target for each in stopped(report) if one in each.by)


def last_promotion(past: Iterable[Row]) -> float | None:
    """When the environment was promoted last, by its ledger's own time."""
    promotions = [row.at for row in past if row.kind == rows.ROLLOUT and row.body["rollout"]["phase"] == Phase.PROMOTED]
    return promotions[-1] if promotions else None
