"""Judging a recorded rollout again: with other settings, or by another judge.

Pure and deterministic: everything a judge may look at stands in the ledger's samples. The other judges are here to be
compared with, as peers of this field use them; no rollout is ever decided by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.errors import Refused
from controller.judge import verdict, weighing
from controller.judge.evidence import NONE
from controller.judge.samples import Sample, arms
from controller.judge.verdict import Terms
from controller.judge.weighing import Judgement
from controller.model import Arm, Outcome, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row

THRESHOLD_SHARE, THRESHOLD_LOOKS = 0.01, 10
"""The fixed threshold that peers' documents show: more than 1 % bad, looked at every ten seconds."""
CONFIDENCE_Z = 2.326
"""Two-sided 98 %, the confidence that is usual for Mann-Whitney judges."""


@dataclass(frozen=True, slots=True)
class Looks:
    """A rollout's samples while its candidate was on trial: seconds since T0 and one sample for each application."""

    rollout: Rollout
    taken: tuple[tuple[float, tuple[Sample, ...]], ...]
    watched_from: float
    ended: bool
    """The watch went to its end; otherwise the trial was cut short."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge says, and after how many seconds since T0 it could say so."""

    judge: str
    outcome: Outcome
    at: float
    why: str


def looks(history: Sequence[Row], number: int) -> Looks:
    """What rollout ``number`` was judged on. Raises Refused when nothing was."""
    versions = [rows.read(rows.ROLLOUTS, row.body["rollout"]) for row in history if is_of(row, number)]
    taken = tuple(
        (float(row.body["t"]), tuple(rows.read(rows.SAMPLES, look) for look in row.body["looks"]))
        for row in history
        if row.kind == rows.SAMPLE and row.body["rollout"] == number and row.body["verdict"] is not None
    )
    if not versions or not taken:
        raise Refused(f"judging rollout {number} again", "no sample of it was recorded", "It never had a canary.")
    tried = next((v for v in versions if v.watch_from is not None), versions[-1])
    began = tried.watch_from - tried.t0 if tried.watch_from is not None and tried.t0 is not None else 0.0
    ended = any(v.phase is Phase.PROMOTED or "The watch ended" in v.why for v in versions)
    return Looks(tried, taken, began, ended)


def is_of(row: Row, number: int) -> bool:
    return row.kind == rows.ROLLOUT and row.body["rollout"]["number"] == number


def eprocess(of: Looks, alpha: float) -> Judged:
    """The product's own judge, look by look, as the loop asked it."""
    states = {lane.app: Judgement() for lane in of.rollout.lanes}
    said = None
    for i, (t, samples) in enumerate(of.taken):
        for lane, sample in zip(of.rollout.lanes, samples, strict=True):
            states[lane.app] = weighing.look(states[lane.app], lane, sample)
        last = of.ended and i == len(of.taken) - 1
        terms = Terms(alpha, of.rollout.judge.smallest_harm, max(0.0, t - of.watched_from), last)
        said = verdict.verdict(of.rollout.lanes, states, terms)
        if said.outcome in (Outcome.FAIL, Outcome.INCIDENT) or last:
            return Judged("eprocess", said.outcome, t, said.why)
    assert said is not None
    return Judged("eprocess", said.outcome, of.taken[-1][0], said.why)


def threshold(of: Looks, alpha: float) -> Judged:
    """More than a fixed share of bad events on the canary in any ten seconds; the control is not looked at."""
    window: list[Arm] = []
    for t, samples in of.taken:
        canary, _ = errors(of.rollout, samples)
        window = [*window, canary][-THRESHOLD_LOOKS:]
        total = sum(window, NONE)
        if len(window) == THRESHOLD_LOOKS and total.share > THRESHOLD_SHARE:
            why = f"{verdict.percent(total.share)} of the canary's events are bad ({verdict.count(total)})"
            return Judged("threshold", Outcome.FAIL, t, f"{why}, over {verdict.percent(THRESHOLD_SHARE)}.")
    return Judged("threshold", Outcome.PASS, of.taken[-1][0], "The canary stayed under the threshold.")


def mann_whitney(of: Looks, alpha: float) -> Judged:
    """Once, at the end: whether the canary's share of bad events, second by second, ranks above the control's."""
    points = [errors(of.rollout, samples) for _, samples in of.taken]
    canary = [arm.share for arm, _ in points if arm.total]
    control = [arm.share for _, arm in points if arm.total]
    end = of.taken[-1][0]
    if len(canary) < 2 or len(control) < 2:
        return Judged("mann-whitney", Outcome.INCONCLUSIVE, end, "Fewer than two points on an arm.")
    z = rank_z(canary, control)
    shift = hodges_lehmann(canary, control)
    if z > CONFIDENCE_Z and shift > 0:
        return Judged("mann-whitney", Outcome.FAIL, end, f"The canary ranks higher (z {z:.1f}, shift {shift:.4f}).")
    return Judged("mann-whitney", Outcome.PASS, end, f"No shift shows (z {z:.1f}, shift {shift:.4f}).")


JUDGES: Mapping[str, Callable[[Looks, float], Judged]] = {
    "eprocess": eprocess,
    "threshold": threshold,
    "mann-whitney": mann_whitney,
}


def errors(rollout: Rollout, samples: tuple[Sample, ...]) -> tuple[Arm, Arm]:
    """Both arms' events in one look, over every check that counts a share of bad ones."""
    canary, control = NONE, NONE
    for one, other in counted(rollout, samples):
        canary, control = canary + one, control + other
    return canary, control


def counted(rollout: Rollout, samples: tuple[Sample, ...]) -> Iterator[tuple[Arm, Arm]]:
    for lane, sample in zip(rollout.lanes, samples, strict=True):
        for check in lane.checks:
            if check.kind == "share":
                for _, _, canary, control in arms(sample, check.paths, check.once_per == "client"):
                    yield canary, control


def rank_z(one: Sequence[float], two: Sequence[float]) -> float:
    """Mann-Whitney's U as a normal deviate, with the correction for ties; 0 where everything is tied."""
    m, n = len(one), len(two)
    u = sum((a > b) + 0.5 * (a == b) for a in one for b in two)
    everything = [*one, *two]
    ties = sum(c**3 - c for c in (everything.count(value) for value in set(everything)))
    size = m + n
    spread = m * n / 12 * (size + 1 - ties / (size * (size - 1)))
    return (u - m * n / 2) / math.sqrt(spread) if spread > 0 else 0.0


def hodges_lehmann(one: Sequence[float], two: Sequence[float]) -> float:
    """The median of all differences: how far the canary is shifted."""
    differences = sorted(a - b for a in one for b in two)
    return differences[len(differences) // 2]
