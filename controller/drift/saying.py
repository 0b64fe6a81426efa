"""What a report says in words and counts, once for every face: its headline, its sentence, each cell of its matrix.

Pure. Faces choose colours and places; every word and number they share comes from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.drift.blocking import stopped, stopped_by
from controller.drift.finding import Finding, Kind, Report, Severity, State, counted
from controller.drift.resources import listed

GROUPS = {
    State.UNEXPLAINED: "Nobody explains these",
    State.EXPIRED: "Waivers that ran out",
    State.UNSEEN: "Not looked at",
    State.WAIVED: "Waived, and for how long",
    State.EXPLAINED: "Explained by a reviewed setting",
}
"""The states in the order in which people read them."""
TONES = {Severity.HIGH: "harm", Severity.MEDIUM: "warn", Severity.LOW: "none"}
SIGNS = {"harm": "✗", "warn": "✗", "none": "✗", "fine": "✓", "wait": "◷", "unseen": "?", "ok": "✓", "nothing": "·"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A few words in a cell, and how they are meant: one of the keys of SIGNS."""

    tone: str
    text: str

    def __str__(self) -> str:
        return f"{SIGNS[self.tone]} {self.text}".strip()


def headline(report: Report) -> Mark:
    if report.open:
        return Mark("harm", f"{counted(len(report.open), 'difference')} nobody explains")
    if report.unseen:
        return Mark("unseen", f"{counted(len(report.unseen), 'part')} not looked at")
    return Mark("fine", "every difference is explained")


def sentence(report: Report) -> str:
    """What a report comes to. Where a promotion is stopped that comes first, with what stops it."""
    return " ".join((*barriers(report), summary(report)))


def barriers(report: Report) -> Iterator[str]:
    for one in stopped(report):
        many = counted(len(one.by), "new high difference")
        named = listed([f"{each.what} ({each.id})" for each in one.by], 2)
        yield f"Promotion from {one.source} to {one.target} is blocked by {many} that nobody explains: {named}."


def summary(report: Report) -> str:
    names = together(report.environments)
    if not report.open:
        number = len(report.having(State.EXPLAINED))
        where = f"{'between' if len(report.environments) > 1 else 'in'} {names}"
        few = f"{counted(number, 'difference')} {where} {'is' if number == 1 else 'are'} set on purpose"
        waived = len(report.having(State.WAIVED))
        rest = f", {waived} more {'is' if waived == 1 else 'are'} waived" if waived else ""
        if not number and not waived:
            few, rest = f"Nothing differs {where}", ""
        else:
            rest += "; nothing else differs"
        seen = " What was not looked at may differ all the same." if report.unseen else ""
        return f"{few}{rest}.{seen}"
    high = sum(one.severity is Severity.HIGH for one in report.open)
    new = sum(one.new for one in report.open)
    worst = max(report.environments, key=lambda name: sum(name in one.odd for one in report.open))
    many = sum(worst in one.odd for one in report.open)
    said = [f"{high or 'None'} of the open differences {'is' if high == 1 else 'are'} high"]
    if len(report.environments) > 1 and many:
        said.append(f"{many} {'concerns' if many == 1 else 'concern'} {worst}")
    said.append(f"{new or 'none'} {'is' if new == 1 else 'are'} new since {report.since[:12] or 'the last report'}")
    return "; ".join(said) + "."


def together(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True)
class Intended:
    """A reviewed setting that explains differences: its value and line everywhere, and how much it explains."""

    setting: str
    values: Mapping[str, str]
    places: Mapping[str, str]
    differences: int
    findings: tuple[Finding, ...]

    def value(self, environment: str) -> str:
        """What it is there. Pairs of environments are compared: one that no pair tells of is as its neighbour."""
        return self.values.get(environment, "same" if self.values else "")


def intended(report: Report) -> tuple[Intended, ...]:
    """What is explained, one line for each setting, however many pairs of environments it explains."""
    groups: dict[str, list[Finding]] = {}
    for one in report.having(State.EXPLAINED):
        groups.setdefault(one.what if one.kind is not Kind.ALIGNMENT or one.values else "other settings", []).append(
            one
        )
    return tuple(
        Intended(
            what,
            {name: value for one in found for name, value in one.values.items()},
            {name: place for one in found for cause in one.causes[:1] for name, place in cause.places.items()},
            sum(len(one.differences) for one in found),
            tuple(found),
        )
        for what, found in groups.items()
    )


def cell(report: Report, kind: Kind, environment: str) -> tuple[Mark, ...]:
    """What the matrix says of one kind in one environment."""
    found = report.at_cell(kind, environment)
    marks = tuple(marks_of(found))
    if marks:
        return marks
    return (Mark("ok", "aligned") if (kind, environment) in report.looked else Mark("nothing", ""),)


def marks_of(found: tuple[Finding, ...]) -> Iterator[Mark]:
    for severity in Severity:
        if open := [one for one in found if one.open and one.severity is severity]:
            yield Mark(TONES[severity], f"{len(open)} {severity}")
    for state, tone, text in ((State.UNSEEN, "unseen", "not looked at"), (State.WAIVED, "wait", "waived")):
        if those := [one for one in found if one.state is state]:
            yield Mark(tone, text if state is State.UNSEEN else f"{len(those)} {text}")
    if explained := [one for one in found if one.state is State.EXPLAINED]:
        yield Mark("fine", f"{len(explained)} explained")


def counts(report: Report, environment: str) -> str:
    """The line under an environment's name."""
    open = sum(environment in one.odd for one in report.open)
    known = report.coverage.get(environment)
    if known is None or known.declared is None:
        return f"{open} open"
    if known.live is None:
        return f"{open} open · {known.declared} declared"
    return f"{open} open · {known.managed} of {known.live} declared"


def covered(report: Report) -> str:
    """What was looked at, in one line."""
    known = report.coverage.values()
    said = [f"{sum(one.declared or 0 for one in known):,} resources declared"]
    live, managed = sum(one.live or 0 for one in known), sum(one.managed or 0 for one in known)
    if live:
        said.append(f"{managed} of {live} in the account are declared ({managed / live:.1%})")
    if report.settings:
        said.append(f"{counted(report.settings, 'setting')} tried")
    if calls := sum(one.calls for one in known):
        said.append(f"{counted(calls, 'call')} to clouds")
    if report.unseen:
        said.append(f"{counted(len(report.unseen), 'part')} not looked at")
    return " · ".join(said)


def state_of(finding: Finding, report: Report) -> tuple[str, str]:
    """The state in a word, and what stands under it: since when, until when, by which setting; what it stops."""
    if finding.state is State.EXPLAINED:
        return "explained", " ".join(cause.setting for cause in finding.causes[:2]) + (
            " …" if len(finding.causes) > 2 else ""
        )
    if finding.state is State.WAIVED and finding.waiver:
        return "waived", f"{finding.waiver.owner}, until {finding.waiver.expires}"
    under = since(finding, report.at)
    targets = stopped_by(finding, report)
    return str(finding.state), f"{under}, blocks {' and '.join(targets)}" if targets else under


def since(finding: Finding, at: float) -> str:
    if finding.new or finding.first_seen is None:
        return "new"
    age = max(0.0, at - finding.first_seen)
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if age >= size:
            return f"since {counted(int(age // size), name)}"
    return "since just now"
