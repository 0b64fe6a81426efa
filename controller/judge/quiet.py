"""Whether what comes to a fleet will show the configured harm by the end of a watch, and how many synthetic requests a
second make up for what is missing.

Pure. Who makes the requests stands in ``fleets/crowd``; what too few events come to in the end, in ``verdict``.

Theory. What a PASS would have seen is worked out ahead: from the counts so far, and from as many events a second until
the end as came since the rate was set. Only a measurement says what a raise brought, so each is followed by another.
The rate only rises while a candidate is watched: a fleet that is loaded in turns is hard to compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf

from controller.judge.evidence import Evidence, sees_from
from controller.judge.weighing import WARM_UP
from controller.model import Arm, Check, Lane

MEASURED = 3.0
"""Seconds of traffic that say how many events come."""
ROOM = 0.85
"""What a raise aims at: what would just be visible by what came so far may just not be in the end."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an environment allows and asks for: requests a second, and what must be visible with how much evidence."""

    steady: float
    at_most: float
    threshold: float
    smallest_harm: float


@dataclass(frozen=True, slots=True)
class Helped:
    """How often an application is asked by the controller, since when, and what its checks had counted by then."""

    rate: float
    since: float
    before: Mapping[str, Evidence]
    why: str = ""
    """The clause that says so, once it was raised."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """One check as it will stand when the watch ends, at the rates of now."""

    check: Check
    evidence: Evidence
    share: float
    """The part of all events that falls on the canary."""
    remaining: float
    wanted: float
    threshold: float

    def limit(self, more: float = 0.0) -> float:
        """The smallest rise that a PASS would have seen, with so many more events a second on both arms together."""
        came = self.remaining * more
        canary, control = (
            grown(self.evidence.canary, came * self.share),
            grown(self.evidence.control, came * (1 - self.share)),
        )
        found = sees_from(replace(self.evidence, canary=canary, control=control), self.threshold)
        return inf if found is None else found


def helped(
    was: Helped | None, lane: Lane, evidence: Mapping[str, Evidence], bounds: Bounds, now: float, ends: float
) -> Helped:
    """How often ``lane``'s application is asked from ``now`` on; ``ends`` is the watch's end, on the same clock."""
    if was is None:
        return Helped(bounds.steady, now + WARM_UP, evidence)
    if now < was.since:  # latency does not count while a canary is cold
        return replace(was, before=evidence)
    if now - was.since < MEASURED or was.rate >= bounds.at_most or now >= ends:
        return was
    short = [ahead for ahead in foreseen(lane, was, evidence, bounds, now, ends) if ahead.limit() > ahead.wanted]
    if not short:
        return was
    room = bounds.at_most - was.rate
    more = max(enough(ahead, room) for ahead in short)
    rate = min(bounds.at_most, float(ceil(was.rate + more)))
    return Helped(rate, now, evidence, said(lane, short, was.rate, rate))


def foreseen(
    lane: Lane, was: Helped, evidence: Mapping[str, Evidence], bounds: Bounds, now: float, ends: float
) -> Iterator[Ahead]:
    """Every check that asks for a number of requests, as it will stand at the end."""
    for check in lane.checks:
        if check.kind not in ("share", "slower_than_control_p95"):
            continue
        counted, before = evidence.get(check.name, Evidence()), was.before.get(check.name, Evidence())
        times = (ends - now) / (now - was.since)
        gained = [
            new.total - old.total for new, old in ((counted.canary, before.canary), (counted.control, before.control))
        ]
        both = sum(gained)
        share = gained[0] / both if both and gained[0] else len(lane.canaries) / len(lane.nodes)
        canary, control = (
            grown(arm, times * more) for arm, more in zip((counted.canary, counted.control), gained, strict=True)
        )
        wanted = max(check.smallest_harm, bounds.smallest_harm)
        yield Ahead(
            check, replace(counted, canary=canary, control=control), share, ends - now, wanted, bounds.threshold
        )


def enough(ahead: Ahead, room: float) -> float:
    """The fewest requests a second with which the harm would be visible; ``room`` where not even all of them do."""
    low, high = 0.0, room
    if ahead.limit(room) > ROOM * ahead.wanted:
        return room
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if ahead.limit(middle) <= ROOM * ahead.wanted else (middle, high)
    return high


def grown(arm: Arm, more: float) -> Arm:
    """The arm with so many more events, as often bad as they were."""
    total = round(arm.total + more)
    return Arm(total, round(arm.share * total))


def said(lane: Lane, short: list[Ahead], was: float, rate: float) -> str:
    worst = max(short, key=lambda ahead: ahead.limit() / ahead.wanted)
    alone, then = worst.limit(), worst.limit(rate - was)
    instead = f", instead of {was:g}" if was else ""
    text = (
        f"{lane.app} is asked {rate:g} times a second by the controller{instead}: what came so far would show "
        f"{risen(alone)} in {worst.check.name} by the end of the watch, and {worst.wanted * 100:.1f} % must be visible"
    )
    return text if then <= worst.wanted else f"{text}; even so it would show {risen(then)}"


def risen(limit: float) -> str:
    return "nothing" if limit == inf else f"a rise of {limit * 100:.1f} %"
