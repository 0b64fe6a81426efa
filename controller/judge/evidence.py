"""How much the counts of a rollout speak for harm: e-processes that may be looked at every second.

Pure arithmetic on counts; which events count stands in ``samples``, what follows from the evidence in ``verdict``.

Theory. In each look a stratum (one zone) brings ``n_c`` events on the canary and ``n_b`` on the control nodes at the
same time, of which ``e_c`` and ``e_b`` are bad. If the candidate is no worse, each bad event falls on the canary with
probability ``q0 = n_c / (n_c + n_b)``, whatever the rate of bad events is just now. If it is ``g`` times worse, with
``q1 = g n_c / (g n_c + n_b)``. The likelihood ratio of the two, averaged over a grid of ``g`` and multiplied over looks
and strata, is a martingale under "no worse": by Ville's inequality it ever reaches ``1/alpha`` with probability at most
``alpha``, however often one looks. (Robbins 1970; Johari et al., always-valid inference; Lindon and Malek 2022.)
The arithmetic mean of several such processes is one again, with no assumption on how they depend on each other.

A fleet of one old and one new node has little to compare with at the same time. There the share is averaged with a
second process: the canary against the upper bound (99.9 %) of what last good did *before* the rollout. A change of the
world would fool that one: it has no say while the control looks worse than before, nor before the share agrees.

Harm may begin late. Part of the evidence waits and sets out look by look: a mixture over the look at which harm begins,
with weights fixed beforehand, is a martingale too. So what was fine before is not held against what is not now.

What breaks the model is events that share a cause: a client that tries again, a stall, a reset of all connections. So a
look multiplies the evidence by no more than ``ONE_LOOK``. A cap only lowers evidence: the bound stands, clumps or not.
Distinct clients are counted where a check says so. A cause outside of both arms does not move the share. What lasts
several looks and is one node's or one client's own looks like the candidate's doing; ``docs/judge.md`` has figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.model import Arm

WORSE = tuple(1.5 * (100 / 1.5) ** (i / 23) for i in range(24))
"""The rate ratios a harmful candidate may have: 1.5 to 100, evenly spaced on a logarithmic scale."""
NONE = Arm(0, 0)
FEWER = tuple(1 / (4 / 3 * 75 ** (i / 23) ** 2.5) for i in range(24))
"""The same for events that should come: from three of four that do down to one of a hundred, most of them near half."""
LATE, CHANGES = 0.2, 30
"""This much of the evidence waits for harm that begins late; a thirtieth of what still waits sets out at each look."""
ONE_LOOK = math.log(10)
"""A look makes harm no more than ten times as likely, so that proof takes three: harm goes on, a clump does not."""
ONE_SILENCE = math.log(100)
"""Nothing comes in no clumps; but devices that are due together pause together."""
NOTHING = (0.0,) * len(WORSE)
SET_OUT = (math.log(1 - LATE),) * len(WORSE)
VETO = 1.0
"""Control nodes that look worse than before mean that the world has changed: the past is no measure then."""
AGREES = 10.0
"""The past speaks only where the concurrent share says much the same: alone it would blame the candidate for an
incident that the control has not met yet."""
FORMER_EVENTS = 200
"""Fewer events than this before the rollout say too little about what is usual."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log likelihood ratios, one for each ratio of the grid, and the counts they were made from.

    ``former_rate`` is the most that last good's share of bad events was before the rollout; None where the concurrent
    control is enough.
    """

    logs: tuple[float, ...] = SET_OUT
    canary: Arm = NONE
    control: Arm = NONE
    former_rate: float | None = None
    waiting: float = LATE
    canary_former: tuple[float, ...] = NOTHING
    control_former: tuple[float, ...] = NOTHING
    looks: int = 0
    """Looks that brought events of both arms."""

    @property
    def value(self) -> float:
        """The e-value: 1 says nothing, ``1/alpha`` is proof at ``alpha``."""
        share = mean(self.logs) + self.waiting
        if self.former_rate is None:
            return share
        heard = share >= AGREES and mean(self.control_former) <= VETO
        return (share + (mean(self.canary_former) if heard else 0.0)) / 2


def mean(logs: tuple[float, ...]) -> float:
    """The mean of the likelihood ratios over the grid."""
    if max(logs) > 600:  # beyond any threshold, and near what a float can hold
        return math.inf
    return sum(math.exp(log) for log in logs) / len(logs)


def former_rate(before: Arm) -> float | None:
    """The share of bad events that last good stayed below with 99.9 % certainty; None when too little was seen."""
    total = int(before.total)
    if total < FORMER_EVENTS:
        return None
    low, high = before.share, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if tail(total, before.bad + 1, middle) >= 0.999 else (middle, high)
    return high if high < 0.5 else None


def against_former(logs: tuple[float, ...], arm: Arm, rate: float) -> tuple[float, ...]:
    """One arm against the past: how much likelier its counts are at ``g`` times the former rate than at that rate."""
    changed = []
    for log, g in zip(logs, WORSE, strict=True):
        worse = min(0.999, g * rate)
        good = arm.total - arm.bad
        changed.append(log + arm.bad * math.log(worse / rate) + good * math.log((1 - worse) / (1 - rate)))
    return tuple(changed)


def after(
    evidence: Evidence, strata: Iterable[tuple[Arm, Arm]], grid: tuple[float, ...] = WORSE, most: float = ONE_LOOK
) -> Evidence:
    """Evidence after one more look at every stratum, canary and control."""
    began = ended = setting_out(evidence)
    for canary, control in strata:
        ended = observe(ended, canary, control, grid)
        if canary.total and control.total and ended.looks == began.looks:
            ended = replace(ended, looks=began.looks + 1)
    if ended.logs is began.logs and evidence.former_rate is None:
        return ended
    former = capped(began.canary_former, ended.canary_former, most)
    return replace(ended, logs=capped(began.logs, ended.logs, most), canary_former=former)


def setting_out(evidence: Evidence) -> Evidence:
    """A part of what waits sets out as this look begins, as if nothing had been seen before."""
    fresh = evidence.waiting / CHANGES
    logs = tuple(log if log > 100 else math.log(math.exp(max(log, -600.0)) + fresh) for log in evidence.logs)
    return replace(evidence, logs=logs, waiting=evidence.waiting - fresh)


def capped(before: tuple[float, ...], logs: tuple[float, ...], most: float) -> tuple[float, ...]:
    return tuple(min(log, was + most) for was, log in zip(before, logs, strict=True))


def observe(evidence: Evidence, canary: Arm, control: Arm, grid: tuple[float, ...] = WORSE) -> Evidence:
    """Evidence after one more look at one stratum. ``Arm.total`` is the exposure, ``Arm.bad`` the counted events."""
    logs, rate, bad = evidence.logs, evidence.former_rate, canary.bad + control.bad
    if canary.total > 0 and control.total > 0 and bad > 0:
        both = canary.total + control.total  # q1 / q0 is g times thinner, (1 - q1) / (1 - q0) is thinner
        thinner = [both / (g * canary.total + control.total) for g in grid]
        logs = tuple(
            log + canary.bad * math.log(g) + bad * math.log(rest)
            for log, g, rest in zip(logs, grid, thinner, strict=True)
        )
    canary_former, control_former = evidence.canary_former, evidence.control_former
    if rate is not None:
        canary_former = against_former(canary_former, canary, rate)
        control_former = against_former(control_former, control, rate)
    counted = evidence.canary + canary, evidence.control + control
    return Evidence(logs, *counted, rate, evidence.waiting, canary_former, control_former, evidence.looks)


def looks_needed(threshold: float) -> int:
    """How many looks proof takes at least, however bad they are."""
    return math.ceil(math.log(threshold / (1 - LATE)) / ONE_LOOK)


def sees_from(evidence: Evidence, threshold: float, certainty: float = 0.95) -> float | None:
    """The smallest rise in the share of bad events that these samples would have shown.

    Asks which number of bad canary events would have brought this e-value to ``threshold``, given the control's, and
    which true share brings one more than that with ``certainty``. Stopping earlier than the last look only helps, so
    this errs to the large side. None: no rise at all could have been seen.
    """
    canary = int(evidence.canary.total)
    if canary == 0 or evidence.control.total == 0:
        return None
    needed = events_needed(evidence, threshold)
    if needed is None:
        return None
    needed += 1  # two of them in one look may count as one
    low, high = needed / canary / 4, 1.0
    if tail(canary, needed, high) < certainty:
        return None
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if tail(canary, needed, middle) >= certainty else (middle, high)
    return max(0.0, high - evidence.control.share)


def events_needed(evidence: Evidence, threshold: float) -> int | None:
    """How many bad canary events bring the evidence to ``threshold``, or None when even all of them do not."""
    canary = int(evidence.canary.total)

    def reaches(bad: int) -> bool:
        fresh = Evidence(former_rate=evidence.former_rate)
        return observe(fresh, Arm(canary, bad), evidence.control).value >= threshold

    if not reaches(canary):
        return None
    low, high = 0, canary
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def tail(n: int, k: int, p: float) -> float:
    """P(X >= k) for X binomial(n, p): the regularised incomplete beta function of k and n - k + 1 at p."""
    if k <= 0 or k > n or p >= 1.0:
        return 1.0 if k <= n else 0.0
    if p <= 0.0:
        return 0.0
    a, b = float(k), float(n - k + 1)
    front = math.exp(math.lgamma(n + 1) - math.lgamma(a) - math.lgamma(b) + a * math.log(p) + b * math.log1p(-p))
    if p < (a + 1) / (a + b + 2):
        return min(1.0, front * fraction(a, b, p) / a)
    return max(0.0, 1.0 - front * fraction(b, a, 1 - p) / b)


def fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method.

    It has its precision after about the square root of the larger argument, so that no number of events is slow.
    """
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, 2000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1.0 + term / c, 1.0 / (1.0 + term * d)
            found *= c * d
        if abs(c * d - 1.0) < 1e-13:
            break
    return found
