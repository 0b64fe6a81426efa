"""Three judges of the same traces: the product's, and two peers as other tools have them.

Each says at which second it would revert, or None. The peers are small and from their descriptions: a threshold on the
error rate of a window, and the judgement of two samples by ranks, as canary analysis does at the end of its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from controller.evidence import Evidence
from controller.model import AppRelease, Arm, Check, Lane, Outcome
from controller.samples import Cell, Counts, Sample
from controller.verdict import Judgement, Terms, look, verdict

Trace = Iterable[tuple[Arm, Arm]]
ALPHA = 0.01
CHECK = Check("errors", "share", smallest_harm=1.0)


def release(name: str) -> AppRelease:
    digest = f"sha256:{name * 64}"[:71]
    return AppRelease("app", digest, digest, digest, name * 40)


LANE = Lane("app", release("c"), release("b"), {"ZONE": ("a", "b")}, (("a",),), ("http",), (CHECK,))


def ours(trace: Trace) -> tuple[int | None, float | None]:
    """When the product would revert; where it would promote, the smallest harm that its PASS says it would have seen.

    The whole verdict is only made where it can be more than "go on": when the evidence has passed, and at the end.
    """
    state, seconds = Judgement(), 0
    for seconds, (canary, control) in enumerate(trace, 1):
        cell = Cell("ZONE", "/", Counts(int(canary.total), canary.bad), Counts(int(control.total), control.bad), 0, 0)
        state = look(state, LANE, Sample("app", float(seconds), (cell,)))
        if state.evidence.get("errors", Evidence()).value >= 1 / ALPHA:
            said = verdict((LANE,), {"app": state}, Terms(ALPHA, 0.0, float(seconds), False))
            if said.outcome is Outcome.FAIL:
                return seconds, None
    said = verdict((LANE,), {"app": state}, Terms(ALPHA, 0.0, float(seconds), True))
    return None, said.findings[0].sees_from


def threshold(trace: Trace, limit: float = 0.01, window: int = 10) -> int | None:
    """Reverts when more than ``limit`` of the canary's events in a window are bad; knows no control."""
    total, bad = 0.0, 0
    for second, (canary, _) in enumerate(trace, 1):
        total, bad = total + canary.total, bad + canary.bad
        if second % window == 0:
            if total and bad / total > limit:
                return second
            total, bad = 0.0, 0
    return None


def mann_whitney(trace: Trace, point: int = 10, confidence: float = 0.98) -> int | None:
    """Compares both arms' error rates in points of ``point`` seconds, once, when the watch is over.

    Reverts when the canary's ranks are higher with this confidence: 2 % on two sides.
    """
    seconds = list(trace)
    chunks = [seconds[i : i + point] for i in range(0, len(seconds), point)]
    canary = [sum((arms[0] for arms in chunk), Arm(0, 0)).share for chunk in chunks]
    control = [sum((arms[1] for arms in chunk), Arm(0, 0)).share for chunk in chunks]
    return len(seconds) if higher(canary, control) < (1 - confidence) / 2 else None


def higher(one: Sequence[float], two: Sequence[float]) -> float:
    """One-sided p value that ``one`` lies higher than ``two``: Mann-Whitney's U, normal with ties corrected."""
    n, m = len(one), len(two)
    both = sorted([*one, *two])
    ranks, ties, i = {}, 0.0, 0
    while i < len(both):
        count = both.count(both[i])
        ranks[both[i]] = i + (count + 1) / 2
        ties += count**3 - count
        i += count
    u = sum(ranks[value] for value in one) - n * (n + 1) / 2
    spread = math.sqrt(n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1))))
    if spread == 0:
        return 1.0
    return 0.5 * math.erfc((u - n * m / 2 - 0.5) / spread / math.sqrt(2))
