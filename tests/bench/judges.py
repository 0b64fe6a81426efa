"""Three judges of the same traces: the product's, and two peers as other tools have them.

Each says at which second it would revert, or None. The peers are small and from their descriptions: a threshold on what
a window counted, and the judgement of two samples by ranks, as canary analysis does at the end of its interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.judge.evidence import Evidence, events_needed
from controller.judge.samples import Sample, arms
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import AppRelease, Arm, Check, Lane, Outcome

ALPHA = 0.01
CHECKS = {
    "errors": Check("errors", "share", smallest_harm=1.0),
    "slow": Check("slow", "slower_than_control_p95", smallest_harm=1.0),
    "silence": Check("silence", "missing_events", events="committed", per="connected_seconds"),
}
LIMITS = {"errors": 0.01, "slow": 0.1, "silence": -0.5}
"""The fixed threshold: more than 1 % bad, more than 10 % slow, or less than half an event a second from a device."""
POINT, CONFIDENCE = 10, 0.98


def release(name: str) -> AppRelease:
    digest = f"sha256:{name * 64}"[:71]
    return AppRelease("app", digest, digest, digest, name * 40)


def lane(checks: Sequence[str] = ("errors",), once_per: str = "", reports_every: float = 0.0) -> Lane:
    """One canary and one control; the checks as the shape's release would state them, and last good's pace."""
    asked = tuple(replace(CHECKS[name], once_per=once_per) for name in checks)
    pace = {"silence": dict.fromkeys(("a", "b"), 1 / (reports_every or 1.0))}
    both = release("c"), release("b"), {"ZONE": ("a", "b")}
    return Lane("app", *both, (("a",),), ("http",), asked, slow_above_ms=100.0, pace=pace)


@dataclass(frozen=True, slots=True)
class Said:
    """When the product would revert, and on how many bad canary events; otherwise what its PASS would have seen."""

    second: int | None
    harmed: int = 0
    needed: int = 0
    """Bad events that bring the same exposure, beside the same control, to proof."""
    sees_from: float | None = None


def ours(trace: Iterable[Sample], on: Lane, passes: bool = False) -> Said:
    """The product's verdict, look by look; ``passes`` asks what a PASS would have seen as well.

    The whole verdict is only made where it can be more than "go on": when the evidence has passed, and at the end.
    """
    state, seconds, harmed = Judgement(), 0, 0
    for seconds, sample in enumerate(trace, 1):
        state = look(state, on, sample)
        harmed += sum(cell.canary.bad for cell in sample.cells)
        if together(state, on) >= 1 / ALPHA:
            said = verdict((on,), {"app": state}, Terms(ALPHA, 0.0, float(seconds), False))
            if said.outcome is Outcome.FAIL:
                needed = events_needed(next(iter(state.evidence.values())), 1 / ALPHA)
                return Said(seconds, harmed, needed or 0)
    if not passes:
        return Said(None)
    said = verdict((on,), {"app": state}, Terms(ALPHA, 0.0, float(seconds), True))
    return Said(None, sees_from=said.findings[0].sees_from)


def together(state: Judgement, on: Lane) -> float:
    return sum(state.evidence.get(check.name, Evidence()).value for check in on.checks) / len(on.checks)


Series = Sequence[tuple[Arm, Arm]]
"""What a check counts on both arms, second by second."""


def series(trace: Sequence[Sample], check: str, once_per: str = "") -> Series:
    """What a peer would be given: bad or slow events of all; messages of devices, each since the second before."""
    if check == "errors":
        return [(one, two) for sample in trace for _, _, one, two in arms(sample, (), once_per == "client")]
    if check == "slow":
        cells = [cell for sample in trace for cell in sample.cells]
        return [(Arm(c.canary.total, c.canary_slow), Arm(c.control.total, c.control_slow)) for c in cells]
    metrics = [(sample.canary_metrics["a"], sample.control_metrics["b"]) for sample in trace]
    each = zip(metrics[1:], metrics, strict=False)
    return [(heard(new[0], old[0]), heard(new[1], old[1])) for new, old in each]


def heard(new: Mapping[str, float], old: Mapping[str, float]) -> Arm:
    return Arm(new["connected_seconds"] - old["connected_seconds"], round(new["committed"] - old["committed"]))


def threshold(seconds: Series, check: str = "errors", window: int = POINT) -> int | None:
    """Reverts when what the canary counted in a window is over the limit; knows no control."""
    limit, sign = LIMITS[check], math.copysign(1, LIMITS[check])
    for end in range(window, len(seconds) + 1, window):
        counted = sum((canary for canary, _ in seconds[end - window : end]), Arm(0, 0))
        if counted.total and sign * counted.share > limit:
            return end
    return None


def mann_whitney(seconds: Series, check: str = "errors", point: int = POINT) -> int | None:
    """Compares both arms in points of ``point`` seconds, once, when the watch is over.

    Reverts when the canary's ranks are worse with CONFIDENCE: 2 % on two sides.
    """
    sign = math.copysign(1, LIMITS[check])
    chunks = [seconds[i : i + point] for i in range(0, len(seconds), point)]
    canary = [sign * sum((arms[0] for arms in chunk), Arm(0, 0)).share for chunk in chunks]
    control = [sign * sum((arms[1] for arms in chunk), Arm(0, 0)).share for chunk in chunks]
    return len(seconds) if higher(canary, control) < (1 - CONFIDENCE) / 2 else None


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
