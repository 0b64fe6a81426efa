"""What each environment is asked, as its last watch counted it, and what a rehearsal therefore cannot show.

Pure. That prod is asked more than stage is no fault: it is said, with the setting that stands in for users. That prod
is asked for something that stage is never asked is one: no release was ever rehearsed on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.drift.finding import Cause, Difference, Finding, Kind, Remedy, Severity, State
from controller.drift.resources import listed
from controller.rollout import rows
from controller.rollout.rows import Row

LEAST = 20
"""Fewer requests than these on a path say nothing about what users do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one application was asked while it was watched last."""

    rollout: int
    seconds: float
    paths: Mapping[str, int]
    slow: int = 0

    @property
    def requests(self) -> int:
        return sum(self.paths.values())

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def loads(history: Iterable[Row]) -> dict[str, Load]:
    """Application to what its newest watch counted."""
    counted: dict[str, tuple[int, dict[str, int], list[float]]] = {}
    for row in history:
        if row.kind != rows.SAMPLE or row.body["t"] is None:
            continue
        for look in row.body["looks"]:
            number, paths, times = counted.get(look["app"], (0, {}, []))
            if number != row.body["rollout"]:
                number, paths, times = row.body["rollout"], {}, []
            for cell in look["cells"]:
                both = cell["canary"]["total"] + cell["control"]["total"]
                paths[cell["path"]] = paths.get(cell["path"], 0) + both
            counted[look["app"]] = (number, paths, [*times, float(row.body["t"])])
    return {
        app: Load(number, max(times) - min(times) + 1.0, {path: n for path, n in paths.items() if n})
        for app, (number, paths, times) in counted.items()
    }


def findings(
    left: str, right: str, lefts: Mapping[str, Load], rights: Mapping[str, Load], stands_in: Mapping[str, Cause]
) -> Iterator[Finding]:
    """How the two differ. ``stands_in`` is each application's setting for requests that the controller makes itself."""
    for app in sorted(lefts.keys() & rights.keys()):
        a, b = lefts[app], rights[app]
        if a.rate and b.rate:
            yield rates(left, right, app, a, b, stands_in.get(app))
        unheard = sorted(path for path, n in b.paths.items() if n >= LEAST and not a.paths.get(path))
        if unheard:
            yield never_asked(left, right, app, unheard, b)


def rates(left: str, right: str, app: str, a: Load, b: Load, cause: Cause | None) -> Finding:
    values = {left: f"{a.rate:,.1f} a second", right: f"{b.rate:,.1f} a second"}
    share = a.rate / b.rate
    return Finding(
        kind=Kind.TRAFFIC,
        about=f"{left}:{right} {app} rate",
        what=f"{left} sees {share:.0%} of {right}'s requests to {app}",
        odd=(right,),
        severity=Severity.LOW,
        state=State.EXPLAINED,
        why=f"Counted in the last watch of each: rollout {a.rollout} of {left}, rollout {b.rollout} of {right}.",
        differences=(Difference(f"{app} requests", values),),
        values=values,
        causes=(cause,) if cause else (),
    )


def never_asked(left: str, right: str, app: str, paths: list[str], load: Load) -> Finding:
    counts = {path: f"{load.paths[path]:,} requests" for path in paths}
    return Finding(
        kind=Kind.TRAFFIC,
        about=f"{left}:{right} {app} paths {' '.join(paths)}",
        what=f"{right} is asked what {left} never is",
        odd=(right,),
        severity=Severity.MEDIUM,
        state=State.UNEXPLAINED,
        why=f"Nobody asked {left} for {listed(paths)} while it was watched: a release was never rehearsed on it.",
        differences=tuple(Difference(path, {left: "never", right: count}) for path, count in counts.items()),
        values={left: "never", right: listed(paths)},
        remedies=(Remedy(f"let {left} be asked too", f"apps/{app}/release.toml: synthetic"),),
    )
