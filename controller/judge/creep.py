"""Whether a candidate's processes leak: memory, open files, threads and connections that grow as they do not on last
good, and so fast that a stated limit would be reached within a stated time.

Pure. What processes hold stands in ``samples``; the verdict asks for a finding of each check of this kind.

Error. This is no e-value and takes no part in ``alpha``: what a process holds moves in steps, saw teeth and drifts of
which no distribution is known, so that an exact probability would be made up. It is a guard with wide margins instead,
and each of them must be passed at ``LOOKS`` looks in a row:

- *Straight.* The last half minute is cut into five parts; the level of a part is its median. Every level lies above the
  one before, by a quarter of the mean rise at least, and the second half grows at least three quarters as much as the
  first: caches and pools that fill up slow down, a leak does not. The first seconds of a process do not count at all.
- *Faster than last good ever.* Its slower half grows faster than any control node did in any half of any half minute of
  the same watch, and only what is beyond that counts: the control's own saw teeth and leaks are not the candidate's.
- *Large enough to see.* It grew by more than a garbage collector's mood: ``RESOLUTION``.
- *Harmful.* What is left below the limit would be used up within the stated time. While a node holds less than last
  good's nodes, which have run for longer, it is still filling up as they once did: only a tenth of that time counts.

In simulated watches of noise, steps, saw teeth and of caches that fill up it never accused a candidate (the tests hold
it to that). It can be fooled by what nobody could tell apart in a minute: something that fills up in a straight line
for the whole watch, beyond what last good holds, and would stop later. And it overlooks a leak that pauses for longer
than a part, one slower than the stated limit and time, and one that begins in the last half minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from controller.judge.samples import Sample
from controller.model import Check, Finding, Lane, Outcome

LIMITS: Mapping[str, float] = {"memory_mb": 1024.0, "open_files": 1024.0, "threads": 512.0, "connections": 1024.0}
"""What a process may hold where its check does not say: the usual limit of open files, and a small machine."""
RESOLUTION: Mapping[str, float] = {"memory_mb": 8.0, "open_files": 8.0, "threads": 8.0, "connections": 8.0}
"""Growth over the window below this is noise, however straight."""
SETTLES = 10.0
"""Seconds of a process that do not count: it imports, connects and fills its pools."""
WINDOW, PARTS, HALF = 30.0, 5, 12.0
"""The seconds that are looked at, the parts they are cut into, and how far apart the middles of a half's ends are."""
BETWEEN = 4.0
"""Looks may be so far apart where machines are busy."""
STRAIGHT, EVEN = 0.75, 0.25
LOOKS = 5
CATCHING_UP = 10.0

Levels = tuple[float, ...]
Point = tuple[float, float]
"""When it was seen, and how much was held."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the nodes of both arms held in the last half minute, and how fast it grew on last good at most."""

    points: Mapping[tuple[str, str], tuple[Point, ...]] = field(default_factory=dict)
    """(node, resource) to its newest points."""
    controls: frozenset[str] = frozenset()
    fastest: Mapping[str, float] = field(default_factory=dict)
    """Resource to the fastest growth a second of any control node in any half of a window; never below 0."""
    compared: bool = False
    """Some canary was seen for a whole window beside a control node that was."""
    looks: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """(check, node, resource) to how many looks in a row it crept."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Check to the sentence of its harm."""


def look(state: Held, checks: tuple[Check, ...], sample: Sample, started: Mapping[str, float]) -> Held:
    """The state after one more sample; ``started`` is when each canary was first seen to run the candidate."""
    state = remembered(state, sample, started)
    looks, broken = dict(state.looks), dict(state.broken)
    for check in checks:
        for node in (node for node, arm in sample.ran.items() if arm == "canary" and node in sample.held):
            for resource in LIMITS:
                key = (check.name, node, resource)
                said = creeps(state, check, node, resource)
                looks[key] = looks.get(key, 0) + 1 if said else 0
                if said and looks[key] >= LOOKS:
                    broken[check.name] = said
    return Held(state.points, state.controls, state.fastest, state.compared, looks, broken)


def remembered(state: Held, sample: Sample, started: Mapping[str, float]) -> Held:
    points, fastest, compared = dict(state.points), dict(state.fastest), state.compared
    canaries = {node for node, arm in sample.ran.items() if arm == "canary"}
    controls = (state.controls | {node for node, arm in sample.ran.items() if arm == "control"}) - canaries
    for node, now_holds in sample.held.items():
        settles = node in canaries and sample.at - started.get(node, sample.at) < SETTLES
        for resource, value in now_holds.items():
            if settles:
                points.pop((node, resource), None)  # what last good held there before
                continue
            kept = [point for point in points.get((node, resource), ()) if point[0] > sample.at - WINDOW - BETWEEN]
            points[node, resource] = (*kept, (sample.at, value))
            shape = levels(points[node, resource])
            if shape is None:
                continue
            if node in controls:
                fastest[resource] = max(fastest.get(resource, 0.0), *halves(shape))
            elif resource in fastest:
                compared = True
    return Held(points, controls, fastest, compared, state.looks, state.broken)


def levels(points: tuple[Point, ...]) -> Levels | None:
    """The level of each part of the window; None while it is not seen whole."""
    end = points[-1][0]
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for at, value in points:
        parts[PARTS - 1 - min(PARTS - 1, int((end - at) * PARTS / WINDOW))].append(value)
    if end - points[0][0] < WINDOW - 0.5 or not all(parts):
        return None
    return tuple(median(part) for part in parts)


def halves(shape: Levels) -> tuple[float, float]:
    """Growth a second in the first half of the window and in the second."""
    middle = PARTS // 2
    return (shape[middle] - shape[0]) / HALF, (shape[-1] - shape[middle]) / HALF


def creeps(state: Held, check: Check, node: str, resource: str) -> str | None:
    """The sentence of a leak, as this look alone sees it; None if there is none to see."""
    points = state.points.get((node, resource))
    shape = levels(points) if points else None
    if shape is None or resource not in state.fastest:
        return None
    first, second = halves(shape)
    even = EVEN * (shape[-1] - shape[0]) / (PARTS - 1)
    straight = all(b - a > max(0.0, even) for a, b in pairwise(shape)) and second >= STRAIGHT * first
    pace = min(first, second) - state.fastest[resource]
    if not straight or pace <= 0 or shape[-1] - shape[0] < RESOLUTION[resource]:
        return None
    limit = {**LIMITS, **check.limits}[resource]
    left = max(limit - shape[-1], limit / 2)  # a limit that was stated too low turns no noise into harm
    on_last_good = max(state.points[control, resource][-1][1] for control in seen(state, resource))
    within = check.within_seconds / (CATCHING_UP if shape[-1] < on_last_good else 1.0)
    if left > pace * within:
        return None
    name, unit = WORDS[resource]
    return (
        f"{name} on {node} grew by {min(first, second):.1f}{unit} a second and did not slow down, on last good by at "
        f"most {state.fastest[resource]:.1f}; at this pace it is at the limit of {limit:,.0f}{unit} in "
        f"{lasting(left / pace)}"
    )


WORDS = {
    "memory_mb": ("memory", " MB"),
    "open_files": ("the number of open files", ""),
    "threads": ("the number of threads", ""),
    "connections": ("the number of connections that no client has open", ""),
}


def seen(state: Held, resource: str) -> Iterator[str]:
    return (node for node in state.controls if (node, resource) in state.points)


def lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def finding(lane: Lane, check: Check, state: Held, ended: bool, watched: float) -> Finding:
    """What a check of this kind says. A watch that is too short to see a leak says so, and holds nothing up."""
    said, needed = state.broken.get(check.name), SETTLES + WINDOW + LOOKS
    if said:
        outcome = Outcome.FAIL
    elif not ended:
        outcome, said = Outcome.WAIT, "watching what its processes hold"
    elif state.compared:
        outcome, said = Outcome.PASS, "nothing that its processes hold grows toward a limit faster than on last good"
    elif watched < needed:
        outcome = Outcome.PASS
        said = f"not judged: a leak shows after {needed:.0f} s, and the watch lasted {watched:.0f} s"
    else:
        outcome = Outcome.INCONCLUSIVE
        said = f"what the processes of {lane.app} hold could not be compared: nodes of both arms did not say it"
    return Finding(lane.app, check.name, check.about, outcome, said)
