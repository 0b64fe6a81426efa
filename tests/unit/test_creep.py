"""What processes hold: a leak toward a limit is harm; warm-up, noise and what last good does as well are not.

Each watch is simulated second by second, from fixed seeds: the canary was started at second 0, the control nodes long
before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.judge import creep
from controller.judge.creep import SETTLES, WINDOW, Held
from controller.judge.samples import Sample, held
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import Check, Lane, Outcome, Verdict
from tests.unit.scene import L, X, lane
from tests.unit.test_samples import telemetry

CREEP = Check("creep", "creep")
NODES = ("bos-a", "bos-b", "bos-c")
Curve = Callable[[float, random.Random], float]
"""What is held at a second of the watch."""


def creeping(check: Check = CREEP) -> Lane:
    return lane(nodes=NODES, checks=(check,))


def watch(
    canary: Curve, control: Curve | None, resource: str = "memory_mb", seconds: int = 60, seed: int = 1
) -> Iterator[Sample]:
    draw = random.Random(seed)
    ran = {"bos-a": "canary", "bos-b": "control", "bos-c": "control"}
    for second in range(seconds + 1):
        curves = {"bos-a": canary, "bos-b": control, "bos-c": control}
        holds = {node: {resource: curve(second, draw)} for node, curve in curves.items() if curve is not None}
        yield Sample("mqtt", float(second), (), ran=ran, held=holds)


def judged(samples: Iterator[Sample], on: Lane | None = None, ended: bool = True) -> Verdict:
    on, state, last = on or creeping(), Judgement(), 0.0
    for sample in samples:
        state, last = look(state, on, sample), sample.at
    return verdict((on,), {"mqtt": state}, Terms(0.01, 0.0, last, ended))


def first_fail(samples: Iterator[Sample]) -> float | None:
    """The second at which the canary is accused; None if it never is."""
    state = Held()
    for sample in samples:
        state = creep.look(state, (CREEP,), sample, {"bos-a": 0.0})
        if state.broken:
            return sample.at
    return None


def level(of: float, noise: float = 0.0) -> Curve:
    return lambda second, draw: of + draw.gauss(0, noise)


def leak(a_second: float, start: float = 60.0, noise: float = 0.0, onset: float = 0.0) -> Curve:
    return lambda second, draw: start + a_second * max(0.0, second - onset) + draw.gauss(0, noise)


def filling(tau: float, by: float, start: float = 60.0, noise: float = 0.0) -> Curve:
    """A cache: quick at first, then slower and slower."""
    return lambda second, draw: start + by * (1 - math.exp(-second / tau)) + draw.gauss(0, noise)


def saw(period: float, height: float, start: float = 60.0) -> Curve:
    return lambda second, draw: start + height * (second % period) / period + draw.gauss(0, 0.5)


# ---- a leak ---------------------------------------------------------------------------------------------------------


def test_a_leak_that_fills_the_memory_within_the_hour_is_harm_and_the_sentence_says_how_soon() -> None:
    found = judged(watch(leak(1.0), level(60.0)))

    assert found.outcome is Outcome.FAIL
    assert found.why == (
        "Memory on bos-a grew by 1.0 MB a second and did not slow down, on last good by at most 0.0; at this pace it "
        "is at the limit of 1,024 MB in 15 minutes after 60 s of watching."
    )
    assert found.short == "creep on mqtt"


@pytest.mark.parametrize(
    ("resource", "a_second", "words"),
    [
        ("open_files", 2.0, "The number of open files on bos-a grew by 2.0 a second"),
        ("threads", 1.0, "The number of threads on bos-a grew by 1.0 a second"),
        ("connections", 1.0, "The number of connections that no client has open on bos-a grew by 1.0 a second"),
    ],
)
def test_files_threads_and_connections_leak_too(resource: str, a_second: float, words: str) -> None:
    found = judged(watch(leak(a_second, 20.0), level(20.0), resource))

    assert found.outcome is Outcome.FAIL
    assert found.why.startswith(words)


def test_a_leak_is_found_through_the_noise_and_not_before_it_was_watched_for_long_enough() -> None:
    found = [first_fail(watch(leak(1.0, noise=1.0), level(60.0, 1.0), seed=seed)) for seed in range(40)]

    assert all(at is None or at >= SETTLES + WINDOW for at in found)
    assert sum(at is not None for at in found) >= 39


def test_a_canary_that_was_a_control_node_a_moment_ago_is_no_control_node() -> None:
    """The rollout begins with every node on last good, and looks are up to two seconds apart."""
    taken = list(watch(leak(1.0), level(60.0)))
    before = [replace(one, at=one.at - 3, ran=dict.fromkeys(NODES, "control")) for one in taken[:3]]
    drawn = random.Random(1)
    seldom = [one for one in taken if one.at < 2 or drawn.random() < 0.7]

    assert judged(iter([*before, *seldom])).outcome is Outcome.FAIL


def test_a_leak_that_begins_late_is_found_while_half_a_minute_is_left() -> None:
    assert judged(watch(leak(2.0, onset=20.0), level(60.0))).outcome is Outcome.FAIL


def test_the_limit_and_the_time_are_what_the_check_says() -> None:
    slow = leak(0.5)
    assert judged(watch(slow, level(60.0))).outcome is Outcome.FAIL
    assert judged(watch(slow, level(60.0)), creeping(replace(CREEP, within_seconds=600.0))).outcome is Outcome.PASS
    roomy = replace(CREEP, limits={"memory_mb": 16_000.0})
    assert judged(watch(slow, level(60.0)), creeping(roomy)).outcome is Outcome.PASS


def test_growth_that_is_no_more_than_a_collector_s_mood_is_none_however_little_is_allowed() -> None:
    patient = replace(CREEP, within_seconds=7 * 86400.0)
    assert judged(watch(leak(0.2), level(60.0)), creeping(patient)).outcome is Outcome.PASS
    assert judged(watch(leak(0.4), level(60.0)), creeping(patient)).outcome is Outcome.FAIL


def test_a_limit_that_is_full_already_leaves_half_of_itself() -> None:
    full = replace(CREEP, limits={"memory_mb": 50.0}, within_seconds=60.0)
    assert judged(watch(leak(0.4), level(60.0)), creeping(full)).outcome is Outcome.PASS
    assert judged(watch(leak(0.5), level(60.0)), creeping(full)).outcome is Outcome.FAIL


# ---- no leak --------------------------------------------------------------------------------------------------------

HARMLESS: Mapping[str, tuple[Curve, Curve]] = {
    "noise": (level(80, 5.0), level(60, 5.0)),
    "saw teeth of a collector": (saw(17, 30), saw(17, 30)),
    "long saw teeth, out of step": (saw(50, 40), lambda second, draw: saw(50, 40)(second + 25, draw)),
    "a cache that fills in 10 s": (filling(10, 300, noise=0.5), level(300)),
    "a cache that fills in 30 s, to more than last good holds": (filling(30, 300, noise=0.5), level(60)),
    "a cache that fills slowly toward what last good holds": (filling(200, 300, noise=0.5), level(400)),
    "one step up": (lambda second, draw: 60 + 80 * (second > 35) + draw.gauss(0, 0.5), level(60, 0.5)),
    "steps that stop": (lambda second, draw: 60 + 20 * min(2, second // 15) + draw.gauss(0, 0.5), level(60, 0.5)),
    "a drift too slow to matter": (leak(0.1, noise=0.5), level(60, 0.5)),
    "less than last good grows": (leak(1.0, noise=0.5), leak(1.1, noise=0.5)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_leak_is_not_accused(name: str) -> None:
    canary, control = HARMLESS[name]
    accused = [seed for seed in range(25) if first_fail(watch(canary, control, seed=seed)) is not None]
    assert accused == []


def test_a_process_that_wanders_is_hardly_ever_accused() -> None:
    """A random walk of 2 MB a second on every node: no distribution that anybody promised, and no direction."""

    def walking() -> Curve:
        at = 100.0

        def step(second: float, draw: random.Random) -> float:
            nonlocal at
            at += draw.gauss(0, 2.0)
            return at

        return step

    accused = sum(first_fail(watch(walking(), walking(), seed=seed)) is not None for seed in range(200))
    assert accused / 200 <= 0.01


# ---- what cannot be seen --------------------------------------------------------------------------------------------


def test_no_leak_passes_at_the_end_and_not_before() -> None:
    assert judged(watch(level(60), level(60)), ended=False).outcome is Outcome.WAIT
    found = judged(watch(level(60), level(60)))
    assert found.outcome is Outcome.PASS
    assert found.findings[0].sentence == "nothing that its processes hold grows toward a limit faster than on last good"


def test_a_short_watch_holds_nothing_up_and_says_what_it_did_not_see() -> None:
    found = judged(watch(leak(50.0), level(60), seconds=12))
    assert found.outcome is Outcome.PASS
    assert found.findings[0].sentence == "not judged: a leak shows after 45 s, and the watch lasted 12 s"


@pytest.mark.parametrize(("canary", "control"), [(level(60), None), (None, level(60))])
def test_nodes_that_do_not_say_what_they_hold_are_no_pass(canary: Curve | None, control: Curve | None) -> None:
    samples = list(watch(canary or level(0), control))
    if canary is None:
        samples = [replace(one, held={n: h for n, h in one.held.items() if n != "bos-a"}) for one in samples]
    found = judged(iter(samples))
    assert (found.outcome, found.why) == (
        Outcome.INCONCLUSIVE,
        "What the processes of mqtt hold could not be compared: nodes of both arms did not say it.",
    )


def test_a_first_release_has_nothing_to_be_compared_with() -> None:
    first = lane(base=None, nodes=NODES, checks=(CREEP,))
    assert [finding.check for finding in judged(watch(leak(1.0), None), first).findings] == ["probe"]


# ---- from what nodes answer -----------------------------------------------------------------------------------------


def test_what_balancers_have_open_is_no_leak_of_the_node_s() -> None:
    def of(node: str, runs: str, **changes: Any) -> Any:
        made = telemetry(node, runs, {}, **changes)
        return replace(made, view=replace(made.view, sessions={"mqtt/bos-a": 30, "mqtt/bos-b": 5, "http/bos-a": 9}))

    holds = {"rss_bytes": 50e6, "open_files": 100.0, "threads": 4.0, "sockets": 70.0}
    before = {"bos-a": of("bos-a", X), "bos-b": of("bos-b", L)}
    after = {"bos-a": of("bos-a", X, resources=holds), "bos-b": of("bos-b", L)}

    assert held(creeping(), {"bos-a": "canary", "bos-b": "control"}, before, after) == {
        "bos-a": {"memory_mb": 50.0, "open_files": 40.0, "threads": 4.0, "connections": 10.0}
    }
