"""What nodes stand on: Python, kernel, system, node program, libraries, the balancer's configuration, the clock.

Pure. The nodes of one application in one environment should be alike, so that most of them say what is right and the
odd ones out are found; then what most of one environment have is held against the environment that it promotes from.
A line of a balancer's configuration that every node has otherwise is the node's own, such as its address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State
from controller.drift.resources import listed, sections
from controller.drift.running import mending

CLOCK_SECONDS, CLOCK_HIGH = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Machine:
    """One node's machine. ``clock`` is how far its clock is from the controller's, in seconds."""

    node: str
    app: str
    python: str
    kernel: str
    machine: str
    system: str
    program: str
    clock: float
    libraries: Mapping[str, str] = field(default_factory=dict)
    balancer: Sequence[str] = ()
    release: str = ""
    root: str = ""
    """Its folder, on a volume that outlives the machine."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """What its system's package manager says is installed; ``packages`` holds them against others'."""


Elsewhere = Mapping[str, Sequence[Machine]]
"""The machines of the other environments, by environment."""
FACTS: tuple[tuple[str, str, Severity, Callable[[Machine], str]], ...] = (
    ("Python", "python", Severity.MEDIUM, lambda m: m.python),
    ("kernel", "kernel", Severity.LOW, lambda m: m.kernel),
    ("processor", "machine", Severity.MEDIUM, lambda m: m.machine),
    ("system", "system", Severity.LOW, lambda m: m.system),
    ("node program", "program", Severity.HIGH, lambda m: m.program[:12]),
)
ON_VOLUME: Mapping[str, str] = {"program": "{root}/../node.pyz", "balancer": "{root}/haproxy.cfg"}
"""What lies on a node's volume, so that another machine finds it there: what is odd, and the file."""


def findings(
    environment: str, machines: Sequence[Machine], elsewhere: Elsewhere = MappingProxyType({})
) -> Iterator[Finding]:
    """The odd ones out of an environment, and the clocks that are wrong; ``elsewhere`` is shown beside them."""
    for app in sorted({one.app for one in machines}):
        alike = [one for one in machines if one.app == app]
        for name, key, weight, fact in FACTS:
            found = odd(environment, name, key, weight, alike, [fact(one) for one in alike])
            yield from beside(found, app, elsewhere, fact)
        yield from libraries(environment, app, alike, elsewhere)
        yield from balancers(environment, app, alike)
    for one in machines:
        if abs(one.clock) > CLOCK_SECONDS:
            yield clock(environment, one)


def beside(
    found: Iterable[Finding], app: str, elsewhere: Elsewhere, fact: Callable[[Machine], str]
) -> Iterator[Finding]:
    """The findings, with what most nodes of the other environments have there."""
    sides = {name: usual([fact(one) for one in machines if one.app == app]) for name, machines in elsewhere.items()}
    said = {name: value or ABSENT for name, value in sides.items() if value is not None}
    yield from (replace(one, values={**said, **one.values}) for one in found)


def usual(values: Collection[str]) -> str | None:
    """What most have; None where no value has more than half."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if count * 2 > len(values) else None


def odd(
    environment: str, name: str, key: str, weight: Severity, alike: Sequence[Machine], values: Sequence[str]
) -> Iterator[Finding]:
    """Those of ``alike`` that have not what most have; ``values`` has what each has."""
    most = usual(values)
    if len(set(values)) < 2:
        return
    for one, value in zip(alike, values, strict=True):
        if value == most:
            continue
        app, node = one.app, one.node
        yield Finding(
            kind=Kind.RUNTIME,
            about=f"{environment} {node} {key}",
            what=f"{name} is not the same on {node}",
            odd=(environment,),
            severity=weight,
            state=State.UNEXPLAINED,
            why=f"{node} has {value or ABSENT}; most nodes of {app} there have {most or 'nothing in common'}.",
            differences=(Difference(f"{node} {name}", {"most": most or "none", node: value or ABSENT}),),
            values={environment: f"{value or ABSENT} on {node}"},
            remedies=(ends(environment, one, key),),
        )


def another(environment: str, node: str, why: str) -> str:
    return f'turnabout node replace {environment}/{node} --reason "{why}"'


def ends(environment: str, one: Machine, key: str) -> Remedy:
    """What makes a node like the others: what lies on its volume comes along to another machine, the rest does not."""
    if key.startswith("library"):
        says = "lay its libraries down again as its release was staged; restart what loaded them"
        return Remedy(says, mending(environment, one.node))
    if file := ON_VOLUME.get(key):
        file = file.format(root=one.root)
        away = f"sudo mv {file} {file}.was && sudo systemctl restart turnabout-node"
        return Remedy("fetch it as declared: it starts anew, and its clients connect again", f"ssh {one.node} '{away}'")
    return Remedy("another machine, once this one is drained", another(environment, one.node, f"its {key}"))


def libraries(environment: str, app: str, machines: Sequence[Machine], elsewhere: Elsewhere) -> Iterator[Finding]:
    """Held against each other only where nodes run the same release: between two, libraries may differ."""
    release = usual([one.release for one in machines])
    same = [one for one in machines if one.release == release and release]
    for name in sorted({name for one in same for name in one.libraries}):
        key, values = f"library {name}", [version(name, one) for one in same]
        found = odd(environment, key, key, Severity.HIGH, same, values)
        yield from beside(found, app, elsewhere, partial(version, name))


def version(library: str, one: Machine) -> str:
    return one.libraries.get(library, ABSENT)


def balancers(environment: str, app: str, machines: Sequence[Machine]) -> Iterator[Finding]:
    texts = {one.node: dict(sections("\n".join(one.balancer), 1)) for one in machines if one.balancer}
    if len(texts) < 3:
        return  # of two that differ, nobody can say which is odd
    by_name = {one.node: one for one in machines}
    wrong: dict[str, list[Difference]] = {}
    for key in sorted({key for lines in texts.values() for key in lines}):
        values = {node: lines.get(key, ABSENT) for node, lines in texts.items()}
        most = usual(values.values())
        for node, value in values.items():
            if most is not None and value != most:
                wrong.setdefault(node, []).append(Difference(f"{node} {key}", {"most": most, node: value}))
    for node, differences in wrong.items():
        yield Finding(
            kind=Kind.RUNTIME,
            about=f"{environment} {node} balancer",
            what=f"the balancer's configuration is not the same on {node}",
            odd=(environment,),
            severity=Severity.HIGH,
            state=State.UNEXPLAINED,
            why=f"Other nodes of {app} agree on {listed([one.where.partition(' ')[2] for one in differences])}.",
            differences=tuple(differences),
            values={environment: f"{len(differences)} lines on {node}"},
            remedies=(ends(environment, by_name[node], "balancer"),),
        )


def clock(environment: str, one: Machine) -> Finding:
    said = f"{one.clock:+.1f} s"
    return Finding(
        kind=Kind.RUNTIME,
        about=f"{environment} {one.node} clock",
        what=f"the clock of {one.node} is wrong by {said}",
        odd=(environment,),
        severity=Severity.HIGH if abs(one.clock) > CLOCK_HIGH else Severity.MEDIUM,
        state=State.UNEXPLAINED,
        why="No promise depends on it, but the application's times and certificates do.",
        differences=(Difference(f"{one.node} clock", {one.node: said}),),
        values={environment: f"{said} on {one.node}"},
        remedies=(Remedy("let it ask for the time again", f"ssh {one.node} 'sudo chronyc makestep'"),),
        measured=True,
    )


def between(left: str, right: str, lefts: Sequence[Machine], rights: Sequence[Machine]) -> Iterator[Finding]:
    """What most nodes of two environments do not have in common."""
    for app in sorted({one.app for one in lefts} & {one.app for one in rights}):
        a, b = ([one for one in side if one.app == app] for side in (lefts, rights))
        for name, key, weight, fact in FACTS:
            one, other = (usual([fact(m) for m in side]) for side in (a, b))
            if one is None or other is None or one == other:
                continue
            yield Finding(
                kind=Kind.RUNTIME,
                about=f"{left}:{right} {app} {key}",
                what=f"{name} of {app} is not the same in {right}",
                odd=(right,),
                severity=weight,
                state=State.UNEXPLAINED,
                why=f"{left} rehearses on {one}, {right} runs on {other}.",
                differences=(Difference(f"{app} {name}", {left: one, right: other}),),
                values={left: one, right: other},
                remedies=(
                    Remedy(f"other machines in {right}, one by one", another(right, "…", f"{key} as in {left}")),
                ),
            )
