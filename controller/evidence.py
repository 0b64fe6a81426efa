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

What breaks the model, and what is done about it: events in clumps (a retrying client: distinct clients per second are
counted; one stall: slow events of one look are capped), and a cause outside both arms (then both arms are bad: the
share does not move, and no revert follows).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from controller.model import Arm

WORSE = tuple(1.5 * (100 / 1.5) ** (i / 23) for i in range(24))
"""The rate ratios a harmful candidate may have: 1.5 to 100, evenly spaced on a logarithmic scale."""
NONE = Arm(0, 0)
FEWER = tuple(1 / g for g in WORSE)
"""The same for events that should happen and do not."""


NOTHING = (0.0,) * len(WORSE)
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

    logs: tuple[float, ...] = NOTHING
    canary: Arm = NONE
    control: Arm = NONE
    former_rate: float | None = None
    canary_former: tuple[float, ...] = NOTHING
    control_former: tuple[float, ...] = NOTHING

    @property
    def value(self) -> float:
        """The e-value: 1 says nothing, ``1/alpha`` is proof at ``alpha``."""
        share = mean(self.logs)
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


def observe(evidence: Evidence, canary: Arm, control: Arm, grid: tuple[float, ...] = WORSE) -> Evidence:
    """Evidence after one more look at one stratum. ``Arm.total`` is the exposure, ``Arm.bad`` the counted events."""
    logs, rate = evidence.logs, evidence.former_rate
    if canary.total > 0 and control.total > 0 and canary.bad + control.bad > 0:
        q0 = canary.total / (canary.total + control.total)
        logs = tuple(
            log + canary.bad * math.log(q1 / q0) + control.bad * math.log((1 - q1) / (1 - q0))
            for log, q1 in zip(logs, shares(canary.total, control.total, grid), strict=True)
        )
    canary_former, control_former = evidence.canary_former, evidence.control_former
    if rate is not None:
        canary_former = against_former(canary_former, canary, rate)
        control_former = against_former(control_former, control, rate)
    return Evidence(
        logs, evidence.canary + canary, evidence.control + control, rate, canary_former, control_former
    )  # fmt: skip


def shares(canary: float, control: float, grid: tuple[float, ...]) -> tuple[float, ...]:
    """The canary's share of the counted events for each ratio of the grid."""
    return tuple(g * canary / (g * canary + control) for g in grid)


def sees_from(evidence: Evidence, threshold: float, certainty: float = 0.95) -> float | None:
    """The smallest rise in the share of bad events that these samples would have shown.

    Asks which number of bad canary events would have brought this e-value to ``threshold``, given the control's, and
    which true share brings at least that number with ``certainty``. Stopping earlier than the last look only helps, so
    this errs to the large side. None: no rise at all could have been seen.
    """
    canary = int(evidence.canary.total)
    if canary == 0 or evidence.control.total == 0:
        return None
    needed = events_needed(evidence, threshold)
    if needed is None:
        return None
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
    """P(X >= k) for X binomial(n, p), summed in logarithms so that no size overflows."""
    if p >= 1.0:
        return 1.0 if n >= k else 0.0
    below = 0.0
    for i in range(k):
        below += math.exp(log_choose(n, i) + i * math.log(p) + (n - i) * math.log1p(-p))
    return max(0.0, 1.0 - below)


@cache
def log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
