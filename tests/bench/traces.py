"""Simulated traffic for judges: events and bad events of both arms, second by second, from a seed.

Independent arrivals at a steady rate, as the judge's theory has them; what breaks that (clumps, stalls) is tested where
the judge is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from controller.model import Arm

SECONDS = 60


@dataclass(frozen=True, slots=True)
class Case:
    """Rates a second of both arms, the share of bad events, and what the candidate makes of it."""

    says: str
    canary: float
    control: float
    base: float
    harmed: float | None = None
    """The candidate's share of bad events; None: it is harmless."""
    incident: float | None = None
    """The share of bad events on both arms from second 20 on: something outside is broken."""


def trace(case: Case, random: Random) -> Iterator[tuple[Arm, Arm]]:
    for second in range(SECONDS):
        base = case.incident if case.incident is not None and second >= 20 else case.base
        harmed = case.harmed if case.harmed is not None else base
        yield arm(case.canary, harmed, random), arm(case.control, base, random)


def arm(rate: float, share: float, random: Random) -> Arm:
    """Good and bad events are two Poisson streams."""
    bad = poisson(rate * share, random)
    return Arm(bad + poisson(rate * (1 - share), random), bad)


def poisson(mean: float, random: Random) -> int:
    """Exact up to a mean of 60; beyond that the normal distribution is as good, and quicker."""
    if mean > 60:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
