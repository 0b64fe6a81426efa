"""How often judges revert harmless releases, and how soon they find harm: ours beside a threshold and rank statistics.

All see the same simulated traces, from fixed seeds, so the figures are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

from tests.bench import pictures
from tests.bench.judges import ALPHA, lane, ours
from tests.bench.progress import say
from tests.bench.result import Line, Part, high, median
from tests.bench.tick import ticks
from tests.bench.traces import trace
from tests.bench.traffic import Harm, Traffic, shapes
from tests.bench.trials import JUDGES, WORKERS, Trials, tried

ENOUGH = 5000
"""Harmless watches of each shape; harm shows on fewer. With these the pictures of the documentation are drawn anew."""
DOCUMENTED = Path("docs/pictures")
CERTAINTY = 0.95
TRAFFIC = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Events a second on the canary, with nine times as many on its control, for what can be seen at all."""
HARM = (0.002, 0.003, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2)
MOST_HARMED = 2.0
"""Requests that a regression of five in a hundred harms, over what the evidence itself needs."""
MOST_SECONDS = 0.02
Pool = ProcessPoolExecutor


def measure(root: Path, runs: int) -> Part:
    part = Part("judge", f"{runs} harmless watches of 60 s of each shape, one look a second, alpha {ALPHA:g}")
    folder = DOCUMENTED if runs >= ENOUGH else root
    harmless, harmful = shapes()
    fewer = max(1, runs // 5)
    with ProcessPoolExecutor(WORKERS) as pool:
        alarms = [(traffic, trials(traffic, runs if traffic.promised else fewer, pool)) for traffic in harmless]
        part.lines += [alarm_line(*found) for found in alarms]
        for traffic in harmful:
            found = trials(traffic, fewer, pool)
            part.lines += found_lines(traffic, found)
            if traffic.name == "five in a hundred":
                part.lines.append(harmed_line(traffic, found))
        stated = limits(part, runs, pool)
        power = [powers(harmful, harm, max(1, runs // 10), pool) for harm in HARM]
    taken = ticks()
    part.lines += [
        Line("tick", "one tick of 200 nodes and 10 checks, median of processor time", median(taken)),
        Line("tick_slowest", "… slowest", max(taken), at_most=MOST_SECONDS),
    ]
    drawn = [(traffic, tuple(map(found.share, range(3)))) for traffic, found in alarms]
    pictures.draw(folder, drawn, list(zip(HARM, power, strict=True)), stated, runs)
    part.notes += [
        "Shapes and seeds stand in tests/bench/traffic.toml; those that are held out were not looked at while tuning.",
        f"Harm, and what is outside of the model: {fewer} watches each. Seconds count from when the harm begins.",
        "Threshold: over 1 % bad, over 10 % slow, or under half of the events in any 10 s. "
        "Mann-Whitney: six points of 10 s each, once at 60 s, 98 %.",
        f"“would have seen” is what a PASS prints; at exactly that harm {CERTAINTY:.0%} of the watches must find it.",
        f"The pictures are in {folder}.",
    ]
    return part


def trials(traffic: Traffic, runs: int, pool: Pool) -> Trials:
    say(f"judge: {traffic.says}")
    return tried(traffic, runs, pool)


def alarm_line(traffic: Traffic, found: Trials) -> Line:
    marks = " (held out)" if traffic.held_out else "" if traffic.promised else " (outside of the model)"
    beside = tuple((name, found.share(judge)) for judge, name in enumerate(JUDGES) if judge)
    most = ALPHA if traffic.promised else None
    return Line(f"false {traffic.name}".replace(" ", "_"), traffic.says + marks, found.share(0), "%", beside, most)


def found_lines(traffic: Traffic, found: Trials) -> list[Line]:
    name = traffic.name.replace(" ", "_").replace(",", "")
    shares = tuple((who, found.share(judge)) for judge, who in enumerate(JUDGES) if judge)
    times = tuple((who, typical(found.seconds(judge))) for judge, who in enumerate(JUDGES) if judge)
    held = " (held out)" if traffic.held_out else ""
    lines = [Line(f"{name}_share", f"{traffic.says}{held}: found by 60 s", found.share(0), "%", shares)]
    if seconds := found.seconds(0):
        lines.append(Line(f"{name}_median", "… after, median", median(seconds), "s", times))
        worst = (*seconds, *[61.0] * (found.runs - len(seconds)))
        if len(seconds) >= CERTAINTY * found.runs:
            lines.append(Line(f"{name}_p95", "… after, p95 of all watches", float(high(worst)), at_most=traffic.p95))
    return lines


def typical(seconds: Sequence[int]) -> float | str:
    return float(median(seconds)) if seconds else "never"


def harmed_line(traffic: Traffic, found: Trials) -> Line:
    """Bad canary events until a second after the verdict, when traffic is off, over what proof takes at that moment."""
    reverted = [said for said in found.said if said.second is not None]
    share = traffic.harm.bad if traffic.harm is not None and traffic.harm.bad is not None else 0.0
    harmed = sum(said.harmed for said in reverted) / len(reverted) + traffic.canary * share
    needed = sum(said.needed for said in reverted) / len(reverted)
    beside = (("requests harmed", round(harmed, 2)), ("the evidence needs", round(needed, 2)))
    return Line("harmed", "… requests harmed, over what the evidence needs", harmed / needed, "", beside, MOST_HARMED)


def limits(part: Part, runs: int, pool: Pool) -> list[tuple[float, float, float]]:
    """What a PASS says it would have seen, by traffic, and how often that is then found."""
    points, watches = [], max(1, runs // 10)
    room = 3 * (CERTAINTY * (1 - CERTAINTY) / watches) ** 0.5
    for seed, rate in enumerate(TRAFFIC, 500):
        quiet = Traffic("", f"what {rate:g} events a second would show", seed, rate, 9 * rate, 0.001)
        say(f"judge: {quiet.says}")
        passed = [ours(trace(quiet, Random(1_000_003 * seed + run)), lane(), passes=True) for run in range(20)]
        stated = median([said.sees_from for said in passed if said.sees_from is not None] or [1.0])
        harmed = replace(quiet, seed=seed + 100, harm=Harm(bad=min(1.0, quiet.bad + stated)))
        share = tried(harmed, watches, pool).share(0)
        points.append((rate, stated, share))
        name = f"{rate:g}_a_second"
        part.lines += [
            Line(f"sees_from_{name}", f"{rate:g} events a second on the canary: a PASS would have seen", stated, "%"),
            Line(f"sees_from_{name}_found", "… and finds such a rise", share, "%", at_least=round(CERTAINTY - room, 4)),
        ]  # fmt: skip
    return points


def powers(harmful: Sequence[Traffic], harm: float, runs: int, pool: Pool) -> tuple[float, ...]:
    """How often each judge finds this share of bad events at ten a second on the canary."""
    like = next(traffic for traffic in harmful if traffic.name == "five in a hundred")
    found = trials(replace(like, says=f"10/90 a second, 0.2 → {harm:.1%}", harm=Harm(bad=harm)), runs, pool)
    return tuple(map(found.share, range(3)))
