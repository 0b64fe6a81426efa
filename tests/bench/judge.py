"""How often judges revert harmless releases, and how soon they find harm: ours beside a threshold and rank statistics.

All see the same simulated traces, from fixed seeds, so the figures are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.bench.judges import ALPHA, mann_whitney, ours, threshold
from tests.bench.progress import say
from tests.bench.result import Line, Part, high, median
from tests.bench.traces import Case, trace

HARMLESS = (
    Case("harmless, 10/90 a second, 0.2 % bad", 10, 90, 0.002),
    Case("harmless, 50/450 a second, 0.1 % bad", 50, 450, 0.001),
    Case("harmless, 5/5 a second, 1 % bad", 5, 5, 0.01),
    Case("harmless, 10/90, both arms 20 times as bad from 20 s", 10, 90, 0.002, incident=0.04),
)
HARMFUL = (
    Case("10/90 a second, 0.2 → 2 %", 10, 90, 0.002, 0.02),
    Case("10/90 a second, 0.2 → 5 %", 10, 90, 0.002, 0.05),
    Case("10/90 a second, 0.2 → 20 %", 10, 90, 0.002, 0.2),
    Case("10/10 a second, 0.2 → 5 %", 10, 10, 0.002, 0.05),
    Case("50/450 a second, 0.1 → 0.5 %", 50, 450, 0.001, 0.005),
)
P95_GOALS = {"10/90 a second, 0.2 → 5 %": 20.0, "10/90 a second, 0.2 → 20 %": 5.0}
"""Gross harm within 5 s, one bad event in twenty within 20 s, at ten events a second on the canary."""
TRAFFIC = (2.0, 10.0, 50.0, 200.0)
"""Events a second on the canary, with nine times as many on its control, for what can be seen at all."""
CERTAINTY = 0.95


@dataclass(frozen=True, slots=True)
class Found:
    """What one judge made of all traces of a case."""

    share: float
    seconds: tuple[int, ...]


def measure(root: Path, runs: int) -> Part:
    part = Part("judge", f"{runs} simulated watches of 60 s in each case, one look a second, alpha {ALPHA:g}")
    noise = 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
    for number, case in enumerate(HARMLESS):
        say(f"judge: {case.says}")
        us, *peers = judged(case, number, runs)
        beside = tuple((name, found.share) for name, found in zip(("threshold", "Mann-Whitney"), peers, strict=True))
        name = f"false_alarms_{number + 1}"
        part.lines.append(Line(name, case.says, us.share, "%", beside, at_most=round(ALPHA + noise, 4)))
    for number, case in enumerate(HARMFUL, len(HARMLESS)):
        say(f"judge: {case.says}")
        us, *peers = judged(case, number, runs)
        part.lines += found_lines(f"found_{number - len(HARMLESS) + 1}", case, us, peers)
    part.lines += limits(runs)
    part.notes += [
        f"A promise of {ALPHA:.0%} false alarms is held against {runs} watches with three standard errors of room.",
        "Threshold: more than 1 % bad in any 10 s. Mann-Whitney: six points of 10 s each, once at 60 s, 98 %.",
        f"“would have seen” is what a PASS prints; at exactly that harm {CERTAINTY:.0%} of the watches must find it.",
    ]
    return part


def judged(case: Case, number: int, runs: int) -> tuple[Found, Found, Found]:
    """Ours, the threshold's and the ranks' answers to the same traces."""
    answers: tuple[list[int | None], list[int | None], list[int | None]] = ([], [], [])
    for run in range(runs):
        seen = list(trace(case, Random(1_000_003 * number + run)))
        answers[0].append(ours(seen)[0])
        answers[1].append(threshold(seen))
        answers[2].append(mann_whitney(seen))
    one, two, three = (found(each, runs) for each in answers)
    return one, two, three


def found(answers: list[int | None], runs: int) -> Found:
    seconds = tuple(answer for answer in answers if answer is not None)
    return Found(len(seconds) / runs, seconds)


def found_lines(name: str, case: Case, us: Found, peers: list[Found]) -> list[Line]:
    names = ("threshold", "Mann-Whitney")
    shares = tuple((who, peer.share) for who, peer in zip(names, peers, strict=True))
    times = tuple(
        (who, float(median(peer.seconds)) if peer.seconds else "never")
        for who, peer in zip(names, peers, strict=True)
    )  # fmt: skip
    lines = [Line(f"{name}_share", f"{case.says}: found within 60 s", us.share, "%", shares)]
    if us.seconds:
        lines.append(Line(f"{name}_median", "… after, median", float(median(us.seconds)), "s", times))
        p95 = float(high(us.seconds))
        lines.append(Line(f"{name}_p95", "… after, p95 of what was found", p95, at_most=P95_GOALS.get(case.says)))
    return lines


def limits(runs: int) -> list[Line]:
    """What a PASS says it would have seen, by traffic, and how often that is then found."""
    lines, room = [], 3 * (CERTAINTY * (1 - CERTAINTY) / runs) ** 0.5
    for number, rate in enumerate(TRAFFIC, 100):
        quiet = Case("", rate, 9 * rate, 0.001)
        seen = [ours(trace(quiet, Random(1_000_003 * number + run)))[1] for run in range(15)]
        stated = median([limit for limit in seen if limit is not None] or [1.0])
        say(f"judge: what {rate:g} events a second would show")
        harmed = replace(quiet, harmed=min(1.0, quiet.base + stated))
        caught = [ours(trace(harmed, Random(2_000_003 * number + run)))[0] is not None for run in range(runs)]
        name = f"{rate:g}_a_second"
        lines += [
            Line(f"sees_from_{name}", f"{rate:g} events a second on the canary: a PASS would have seen", stated, "%"),
            Line(f"sees_from_{name}_found", "… and finds such a rise", sum(caught) / runs, "%",
                 at_least=round(CERTAINTY - room, 4)),
        ]  # fmt: skip
    return lines
