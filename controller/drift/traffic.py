"""What each environment is asked, as its last watch counted it, and what a rehearsal therefore cannot show.

Pure. That prod is asked more than stage is no fault: it is said, with the setting that stands in for users. That prod
is asked for something that stage is never asked is one: no release was ever rehearsed on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.drift.finding import Cause, Difference, Finding, Kind, Remedy, Severity, State
from controller.drift.resources import listed
from controller.judge.samples import OTHER
from controller.rollout import rows
from controller.rollout.rows import Row

LEAST = 20
"""Fewer requests than these on a path say nothing about what users do."""
APART = 0.2
"""Shares, numbers of clients and sizes that differ by less than this are alike."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one application was asked while it was watched last."""

    rollout: int
    seconds: float
    paths: Mapping[str, int]
    clients: float = 0.0
    """Distinct clients in a second, one second with the other; 0: nobody told them apart."""
    sizes: tuple[float, float] = (0.0, 0.0)
    """Bytes of a request and of its answer, one with the other; 0: nobody counted them."""

    @property
    def requests(self) -> int:
        return sum(self.paths.values())

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def loads(history: Iterable[Row]) -> dict[str, Load]:
    """Application to what its newest watch counted."""
    counted: dict[str, Counted] = {}
    for row in history:
        if row.kind != rows.SAMPLE or row.body["t"] is None:
            continue
        for look in row.body["looks"]:
            if (known := counted.get(look["app"])) is None or known.rollout != row.body["rollout"]:
                known = counted[look["app"]] = Counted(row.body["rollout"])
            known.add(look["cells"], float(row.body["t"]))
    return {app: one.load() for app, one in counted.items()}


@dataclass(slots=True)
class Counted:
    """What the looks of one watch add up to."""

    rollout: int
    paths: Counter[str] = field(default_factory=Counter)
    clients: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, cells: Iterable[Mapping[str, Any]], t: float) -> None:
        self.times.append(t)
        for cell in cells:
            for arm in (cell["canary"], cell["control"]):
                self.paths[cell["path"]] += arm["total"]
                self.clients += arm["clients"]
                self.bytes_in += arm.get("bytes_in", 0)
                self.bytes_out += arm.get("bytes_out", 0)

    def load(self) -> Load:
        seconds, requests = max(self.times) - min(self.times) + 1.0, max(1, self.paths.total())
        paths = {path: n for path, n in self.paths.items() if n}
        sizes = (self.bytes_in / requests, self.bytes_out / requests)
        return Load(self.rollout, seconds, paths, self.clients / seconds, sizes)


def findings(
    left: str, right: str, lefts: Mapping[str, Load], rights: Mapping[str, Load], stands_in: Mapping[str, Cause]
) -> Iterator[Finding]:
    """How the two differ. ``stands_in`` is each application's setting for requests that the controller makes itself."""
    for app in sorted(lefts.keys() & rights.keys()):
        a, b = lefts[app], rights[app]
        if a.rate and b.rate:
            yield rates(left, right, app, a, b, stands_in.get(app))
            yield from mixes(left, right, app, a, b)
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


def mixes(left: str, right: str, app: str, a: Load, b: Load) -> Iterator[Finding]:
    """Who asks, for what, and how much at a time: what a rehearsal beside few users of one sort cannot show."""
    if a.clients and b.clients and abs(1 - a.clients / b.clients) > APART:
        values = {left: f"{a.clients:,.1f} a second", right: f"{b.clients:,.1f} a second"}
        often = {name: f"{load.rate / load.clients:,.1f} times" for name, load in ((left, a), (right, b))}
        each = f"each asks {often[left]} a second in {left}, {often[right]} in {right}"
        what = f"{left} is asked by {a.clients / b.clients:.0%} as many clients"
        yield shown(left, right, app, "clients", what, values, f"Devices or customers told apart by balancers; {each}.")
    parts = {path for path in (*a.paths, *b.paths) if abs(portion(a, path) - portion(b, path)) > APART}
    if parts:
        values = {
            name: listed([f"{path} {portion(load, path):.0%}" for path in sorted(parts)])
            for name, load in ((left, a), (right, b))
        }
        yield shown(left, right, app, "mix", f"{app} is asked for other things", values, "Shares of all requests.")
    for at, name in enumerate(("request", "answer")):
        one, other = a.sizes[at], b.sizes[at]
        if one and other and abs(1 - one / other) > APART:
            values = {left: f"{one:,.0f} bytes", right: f"{other:,.0f} bytes"}
            why = "Bytes on the wire, one with the other, as balancers logged them."
            what = f"{left}'s {name}s are {one / other:.0%} as large"
            yield shown(left, right, app, f"{name} size", what, values, why)


def portion(load: Load, path: str) -> float:
    return load.paths.get(path, 0) / max(1, load.requests)


def shown(left: str, right: str, app: str, about: str, what: str, values: Mapping[str, str], why: str) -> Finding:
    """Something that differs because users do: said, and no fault."""
    return Finding(
        kind=Kind.TRAFFIC,
        about=f"{left}:{right} {app} {about}",
        what=what,
        odd=(right,),
        severity=Severity.LOW,
        state=State.EXPLAINED,
        why=why,
        differences=(Difference(f"{app} {about}", values),),
        values=values,
        measured=True,
    )


def never_asked(left: str, right: str, app: str, paths: list[str], load: Load) -> Finding:
    counts = {path: f"{load.paths[path]:,} requests" for path in paths}
    named = listed(["what no check names" if path == OTHER else path for path in paths])
    return Finding(
        kind=Kind.TRAFFIC,
        about=f"{left}:{right} {app} paths {' '.join(paths)}",
        what=f"{right} is asked what {left} never is",
        odd=(right,),
        severity=Severity.MEDIUM,
        state=State.UNEXPLAINED,
        why=f"Nobody asked {left} for {named} while it was watched: a release was never rehearsed on it.",
        differences=tuple(Difference(path, {left: "never", right: count}) for path, count in counts.items()),
        values={left: "never", right: named},
        remedies=(Remedy(f"let {left} be asked too", f"apps/{app}/release.toml: synthetic"),),
    )
