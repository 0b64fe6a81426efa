"""The packages of nodes' systems: whose are not as most have them, and what two environments do not share.

Pure. Hundreds of packages make one finding for a node, not hundreds. Where a node program does not tell of packages, or
nobody can say what most have, nothing is held against anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State, counted
from controller.drift.machines import Machine, another, usual
from controller.drift.resources import listed


def findings(environment: str, machines: Sequence[Machine]) -> Iterator[Finding]:
    """A finding for each node that has other packages than most of its application's."""
    for app in sorted({one.app for one in machines}):
        alike = [one for one in machines if one.app == app and one.packages]
        most = common(alike)
        for one in alike:
            wrong = [
                Difference(f"{one.node} {name}", {"most": version, one.node: one.packages.get(name, ABSENT)})
                for name, version in most.items()
                if one.packages.get(name, ABSENT) != version
            ]
            if wrong:
                yield odd(environment, one, wrong)


def common(machines: Sequence[Machine]) -> dict[str, str]:
    """Each package with what most machines have of it; none of which no version has more than half."""
    names = sorted({name for one in machines for name in one.packages})
    sides = {name: usual([one.packages.get(name, ABSENT) for one in machines]) for name in names}
    return {name: version for name, version in sides.items() if version is not None}


def odd(environment: str, one: Machine, wrong: Sequence[Difference]) -> Finding:
    many = counted(len(wrong), "package")
    return Finding(
        kind=Kind.RUNTIME,
        about=f"{environment} {one.node} packages",
        what=f"{many} of {one.node}'s system {'is' if len(wrong) == 1 else 'are'} not as on most nodes",
        odd=(environment,),
        severity=Severity.MEDIUM,
        state=State.UNEXPLAINED,
        why=f"Most nodes of {one.app} there agree on {listed([each.where.partition(' ')[2] for each in wrong])}.",
        differences=tuple(wrong),
        values={environment: f"{many} on {one.node}"},
        remedies=(Remedy("another machine, once this one is drained", another(environment, one.node, "its packages")),),
    )


def between(left: str, right: str, lefts: Sequence[Machine], rights: Sequence[Machine]) -> Iterator[Finding]:
    """What most nodes of one environment have otherwise than most of the other, as one finding for an application."""
    for app in sorted({one.app for one in lefts} & {one.app for one in rights}):
        a, b = (common([one for one in side if one.app == app]) for side in (lefts, rights))
        if not a or not b:
            continue
        names = sorted(name for name in a.keys() | b.keys() if a.get(name, ABSENT) != b.get(name, ABSENT))
        if not names:
            continue
        many = counted(len(names), "package")
        yield Finding(
            kind=Kind.RUNTIME,
            about=f"{left}:{right} {app} packages",
            what=f"{many} of {app}'s systems {'is' if len(names) == 1 else 'are'} not the same in {right}",
            odd=(right,),
            severity=Severity.MEDIUM,
            state=State.UNEXPLAINED,
            why=f"What {left} rehearses on is not what {right} runs on: {listed(names)}.",
            differences=tuple(
                Difference(f"{app} {name}", {left: a.get(name, ABSENT), right: b.get(name, ABSENT)}) for name in names
            ),
            values={left: "as rehearsed", right: f"{many} otherwise"},
            remedies=(Remedy(f"other machines in {right}, one by one", another(right, "…", f"packages as in {left}")),),
        )
