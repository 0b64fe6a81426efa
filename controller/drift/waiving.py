"""Waivers laid on findings: what was accepted is waived until its day is over, and is a finding again after it.

Pure. Three things no waiver hides: that something is gone, that something was not looked at, and its own end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from controller.drift.finding import Finding, Kind, Remedy, Severity, State, Waiver, counted

BRACKETS = str.maketrans({"[": "\x01"})
"""fnmatch takes a bracket for a choice of letters; here it is part of names such as ``ingress[0]``."""


def laid_on(findings: Iterable[Finding], waivers: Sequence[Waiver], today: date) -> Iterator[Finding]:
    """The findings with their waivers; a waiver that ran out and has nothing left to hide is a finding of its own."""
    used: set[Waiver] = set()
    for finding in findings:
        fits = [waiver for waiver in waivers if matches(waiver, finding)]
        used.update(fits)
        yield waived(finding, max(fits, key=lambda one: one.expires), today) if fits else finding
    yield from (over(waiver) for waiver in waivers if waiver not in used and waiver.expires < today)


def matches(waiver: Waiver, finding: Finding) -> bool:
    return fnmatchcase(finding.name.translate(BRACKETS), waiver.match.translate(BRACKETS))


def waived(finding: Finding, waiver: Waiver, today: date) -> Finding:
    if finding.state is not State.UNEXPLAINED:
        return finding
    if finding.removed:
        return replace(finding, why=f"{finding.why} The waiver at {waiver.place} does not hide that it is gone.")
    if waiver.expires < today:
        past = counted((today - waiver.expires).days, "day")
        why = (
            f"{finding.why} Accepted by {waiver.owner} until {waiver.expires} ({waiver.reason}); it ran out {past} ago."
        )
        renew = Remedy("renew it, 90 days at most, reviewed", f"{waiver.place}: expires")
        return replace(
            finding, state=State.EXPIRED, waiver=waiver, why=why, remedies=(*finding.remedies, renew)
        )  # fmt: skip
    left = counted((waiver.expires - today).days, "day")
    why = f"{finding.why} {waiver.owner} accepted it: {waiver.reason}. It holds for {left} more."
    return replace(finding, state=State.WAIVED, waiver=waiver, why=why)


def over(waiver: Waiver) -> Finding:
    return Finding(
        kind=Kind.WAIVER,
        about=waiver.match,
        what="a waiver that ran out and hides nothing",
        odd=(),
        severity=Severity.LOW,
        state=State.EXPIRED,
        why=f"{waiver.owner} accepted it until {waiver.expires}: {waiver.reason}. Nothing like it is found any more.",
        remedies=(Remedy("remove it", f"{waiver.place}: delete this waiver"),),
        waiver=waiver,
    )


def suggestion(finding: Finding, until: date, owner: str) -> str:
    """A waiver for a finding, to be filled in and reviewed."""
    lines = [f'match = "{finding.name}"', 'reason = ""', f'owner = "{owner}"', f"expires = {until}"]
    return "\n".join(["[[waiver]]", *lines])
