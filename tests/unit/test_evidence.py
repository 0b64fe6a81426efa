"""How much counts speak for harm: false alarms are as rare as promised, harm is found, and what would have been seen
is said truly. Simulations are seeded, so that they say the same each time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest

from controller.judge.evidence import (
    CHANGES,
    FEWER,
    LATE,
    ONE_LOOK,
    WORSE,
    Evidence,
    after,
    former_rate,
    observe,
    sees_from,
    tail,
)
from controller.model import Arm

ALPHA = 0.01
THRESHOLD = 1 / ALPHA
RUNS, LOOKS = 2000, 30
Look = tuple[Arm, Arm]
Watch = Callable[[random.Random], Iterator[Look]]


def bad(draw: random.Random, events: int, share: float) -> int:
    """A binomial count, drawn by the gaps between bad events: quick where bad events are rare."""
    if share <= 0:
        return 0
    found, at = 0, -1
    scale = math.log1p(-share)
    while True:
        at += 1 + int(math.log(1.0 - draw.random()) / scale)
        if at >= events:
            return found
        found += 1


def arms(draw: random.Random, canary: tuple[int, float], control: tuple[int, float]) -> Look:
    return Arm(canary[0], bad(draw, *canary)), Arm(control[0], bad(draw, *control))


def peak(watch: Watch, draw: random.Random, rate: float | None = None, grid: tuple[float, ...] = WORSE) -> float:
    """The highest evidence of all looks: who looks every second stops at the worst moment."""
    evidence, most = Evidence(former_rate=rate), 0.0
    for canary, control in watch(draw):
        evidence = after(evidence, [(canary, control)], grid)
        most = max(most, evidence.value)
        if most >= THRESHOLD:
            break
    return most


def alarms(watch: Watch, runs: int = RUNS, rate: float | None = None, grid: tuple[float, ...] = WORSE) -> float:
    draw = random.Random(1)
    return sum(peak(watch, draw, rate, grid) >= THRESHOLD for _ in range(runs)) / runs


# ---- a candidate that is no worse ---------------------------------------------------------------------------------


def even(draw: random.Random) -> Iterator[Look]:
    for _ in range(LOOKS):
        yield arms(draw, (40, 0.02), (40, 0.02))


def one_of_six(draw: random.Random) -> Iterator[Look]:
    for _ in range(LOOKS):
        yield arms(draw, (20, 0.05), (100, 0.05))


def a_rate_that_wanders(draw: random.Random) -> Iterator[Look]:
    """The world gets worse and better for both arms alike."""
    share = 0.01
    for _ in range(LOOKS):
        share = min(0.3, max(0.001, share * math.exp(draw.gauss(0, 0.4))))
        yield arms(draw, (30, share), (60, share))


def zones_that_differ(draw: random.Random) -> Iterator[Look]:
    """Two strata with other rates and other shares of the canary: pooled, they would accuse it."""
    for _ in range(LOOKS):
        yield arms(draw, (40, 0.08), (20, 0.08))
        yield arms(draw, (5, 0.001), (80, 0.001))


def traffic_that_moves(draw: random.Random) -> Iterator[Look]:
    for second in range(LOOKS):
        yield arms(draw, (5 + second, 0.03), (90 - second, 0.03))


@pytest.mark.parametrize("watch", [even, one_of_six, a_rate_that_wanders, zones_that_differ, traffic_that_moves])
def test_a_harmless_candidate_is_accused_at_most_as_often_as_alpha_says(watch: Watch) -> None:
    assert alarms(watch) <= ALPHA


def test_a_better_candidate_is_hardly_ever_accused() -> None:
    def better(draw: random.Random) -> Iterator[Look]:
        for _ in range(LOOKS):
            yield arms(draw, (40, 0.01), (40, 0.03))

    assert alarms(better) <= ALPHA / 4


def test_the_past_of_a_small_fleet_does_not_raise_false_alarms() -> None:
    rate = former_rate(Arm(2000, 40))

    assert rate is not None
    assert alarms(even, rate=rate) <= ALPHA


def test_a_world_that_gets_worse_for_both_arms_is_not_blamed_on_the_candidate_by_the_past() -> None:
    def incident(draw: random.Random) -> Iterator[Look]:
        for second in range(LOOKS):
            share = 0.02 if second < 10 else 0.2
            yield arms(draw, (40, share), (40, share))

    assert alarms(incident, rate=former_rate(Arm(2000, 40))) <= ALPHA


def test_events_that_should_come_and_do_come_are_no_evidence_of_silence() -> None:
    def equal(draw: random.Random) -> Iterator[Look]:
        for _ in range(LOOKS):
            yield arms(draw, (50, 0.3), (50, 0.3))

    assert alarms(equal, grid=FEWER) <= ALPHA


# ---- a candidate that does harm -----------------------------------------------------------------------------------


def test_five_percent_are_found_almost_always() -> None:
    def harm(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield arms(draw, (20, 0.05), (40, 0.002))

    assert alarms(harm, runs=500) >= 0.99


def test_five_percent_more_are_found_where_last_good_is_not_perfect_either() -> None:
    def harm(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield arms(draw, (40, 0.06), (80, 0.01))

    assert alarms(harm, runs=500) >= 0.99


def test_total_harm_is_found_within_a_few_looks() -> None:
    draw, evidence = random.Random(1), Evidence()
    for _ in range(3):
        evidence = after(evidence, [arms(draw, (20, 0.9), (40, 0.001))])

    assert evidence.value >= THRESHOLD


def test_silence_is_found() -> None:
    def silent(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield arms(draw, (20, 0.05), (20, 0.5))

    assert alarms(silent, runs=200, grid=FEWER) >= 0.99


def test_the_past_finds_harm_that_one_control_node_cannot_show_alone() -> None:
    def little(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield arms(draw, (20, 0.02), (4, 0.001))

    assert alarms(little, runs=400, rate=former_rate(Arm(20000, 20))) > alarms(little, runs=400)


def test_harm_that_begins_late_is_found_as_if_nothing_had_been_seen_before() -> None:
    def late(draw: random.Random) -> Iterator[Look]:
        for second in range(60):
            yield arms(draw, (50, 0.05 if second >= 40 else 0.01), (450, 0.01))

    assert alarms(late, runs=300) >= 0.97


# ---- one look, however bad ------------------------------------------------------------------------------------------


def test_one_bad_look_is_no_proof_and_neither_are_two() -> None:
    evidence = Evidence()
    for look in range(1, 4):
        evidence = after(evidence, [(Arm(1000, 1000), Arm(9000, 0))] * 5)
        assert (evidence.value >= THRESHOLD) is (look == 3)


def test_a_look_is_capped_as_a_whole_and_not_zone_by_zone() -> None:
    before = Evidence()
    for zones in (1, 7):
        evidence = after(before, [(Arm(100, 50), Arm(900, 0))] * zones)
        assert max(evidence.logs) <= math.log(1 - LATE + LATE / CHANGES) + ONE_LOOK + 1e-12


def test_clients_that_retry_within_a_second_accuse_nobody_even_where_each_try_counts() -> None:
    def clumps(draw: random.Random) -> Iterator[Look]:
        for _ in range(LOOKS):
            hit = [bad(draw, events, 0.002) for events in (10, 90)]
            yield Arm(10 + 4 * hit[0], 5 * hit[0]), Arm(90 + 4 * hit[1], 5 * hit[1])

    assert alarms(clumps) <= ALPHA


# ---- the arithmetic -----------------------------------------------------------------------------------------------


def test_a_look_without_one_arm_or_without_bad_events_says_nothing() -> None:
    for canary, control in ((Arm(0, 0), Arm(9, 3)), (Arm(9, 3), Arm(0, 0)), (Arm(9, 0), Arm(9, 0))):
        assert observe(Evidence(), canary, control).value == pytest.approx(1.0)


def test_counts_add_up_whatever_they_say() -> None:
    evidence = observe(observe(Evidence(), Arm(10, 1), Arm(20, 2)), Arm(5, 0), Arm(5, 0))

    assert (evidence.canary, evidence.control) == (Arm(15, 1), Arm(25, 2))


def test_one_look_is_the_exact_likelihood_ratio() -> None:
    """All three bad events on a canary with half of the traffic: each weighs 2g / (1 + g)."""
    exact = sum((2 * g / (1 + g)) ** 3 for g in WORSE) / len(WORSE)

    assert observe(Evidence(), Arm(50, 3), Arm(50, 0)).value == pytest.approx((1 - LATE) * exact + LATE)


def test_evidence_beyond_any_float_is_infinite_and_not_an_error() -> None:
    assert observe(Evidence(), Arm(10**6, 10**5), Arm(10**6, 0)).value == math.inf


def test_the_expected_evidence_of_a_harmless_look_is_one() -> None:
    """A martingale, by exact summation: given the bad events, where they fall is binomial."""
    n, q = 7, 30 / 80
    mean = sum(
        math.comb(n, k) * q**k * (1 - q) ** (n - k) * observe(Evidence(), Arm(30, k), Arm(50, n - k)).value
        for k in range(n + 1)
    )

    assert mean == pytest.approx(1.0)


def test_the_expected_evidence_does_not_change_as_a_look_sets_out() -> None:
    evidence = Evidence()
    for _ in range(40):
        evidence = after(evidence, [])
        assert evidence.value == pytest.approx(1.0)
    assert evidence.waiting < LATE / 3


def test_evidence_that_fell_far_below_any_float_still_lets_new_harm_be_seen() -> None:
    evidence = after(Evidence(), [(Arm(10**5, 0), Arm(10**5, 10**4))])
    assert max(evidence.logs) < math.log(1e-3)
    for _ in range(5):
        evidence = after(evidence, [(Arm(100, 100), Arm(900, 0))])
    assert evidence.value >= THRESHOLD


def test_evidence_that_has_nothing_left_to_set_out_is_no_error() -> None:
    spent = Evidence(logs=(-1000.0,) * len(WORSE), waiting=0.0)
    assert after(spent, [(Arm(10, 1), Arm(90, 0))]).value < 1e-200


@pytest.mark.parametrize(("n", "k", "p"), [(10, 3, 0.2), (50, 1, 0.01), (200, 30, 0.1), (5, 0, 0.5), (5, 6, 0.5)])
def test_the_tail_of_a_binomial_is_exact(n: int, k: int, p: float) -> None:
    exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    assert tail(n, k, p) == pytest.approx(exact, abs=1e-9)


def test_the_tail_of_many_events_is_the_normal_distribution_s() -> None:
    n, p = 10**6, 0.3
    k = round(n * p + 2 * math.sqrt(n * p * (1 - p)))

    assert tail(n, k, p) == pytest.approx(0.5 * math.erfc(2 / math.sqrt(2)), abs=1e-4)
    assert (tail(n, 0, p), tail(n, n + 1, p), tail(n, 1, 0.0), tail(n, n, 1.0)) == (1.0, 0.0, 0.0, 1.0)


# ---- what would have been seen ------------------------------------------------------------------------------------


def watched(canary: int, control: int, share: float) -> Evidence:
    return observe(Evidence(), Arm(canary, round(canary * share)), Arm(control, round(control * share)))


@pytest.mark.parametrize(("canary", "control", "share"), [(1200, 1200, 0.0), (1200, 2400, 0.01), (300, 3000, 0.02)])
def test_a_rise_that_would_have_been_seen_is_seen_that_often(canary: int, control: int, share: float) -> None:
    limit = sees_from(watched(canary, control, share), THRESHOLD)
    assert limit is not None

    def harm(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield Arm(canary // 60, bad(draw, canary // 60, share + limit)), Arm(control // 60, 0)

    def same_control(draw: random.Random) -> Iterator[Look]:
        left = round(control * share)
        for second, (arm, other) in enumerate(harm(draw)):
            here = left * (second + 1) // 60 - left * second // 60
            yield arm, Arm(other.total, here)

    assert alarms(same_control, runs=500) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 500)
    assert 0 < limit < 0.1


def test_half_of_the_rise_would_not_have_been_seen_that_surely() -> None:
    limit = sees_from(watched(1200, 1200, 0.01), THRESHOLD)
    assert limit is not None

    def half(draw: random.Random) -> Iterator[Look]:
        for _ in range(60):
            yield arms(draw, (20, 0.01 + limit / 2), (20, 0.01))

    assert alarms(half, runs=300) < 0.9


def test_more_events_see_less_harm() -> None:
    limits = [sees_from(watched(n, 2 * n, 0.01), THRESHOLD) for n in (100, 400, 1600, 6400)]

    assert all(limit is not None for limit in limits)
    assert limits == sorted(limits, key=lambda limit: -(limit or 0.0))


@pytest.mark.parametrize(("canary", "control"), [(0, 0), (0, 100), (100, 0), (2, 2)])
def test_too_few_events_would_have_seen_nothing(canary: int, control: int) -> None:
    assert sees_from(watched(canary, control, 0.0), THRESHOLD) is None


# ---- the past -----------------------------------------------------------------------------------------------------


def test_the_past_is_bounded_from_above_and_says_nothing_on_few_events() -> None:
    assert former_rate(Arm(199, 0)) is None
    rate = former_rate(Arm(2000, 20))
    assert rate is not None
    assert 0.01 < rate < 0.02
    assert tail(2000, 21, rate) == pytest.approx(0.999, abs=1e-4)


def test_a_past_that_was_mostly_bad_is_no_measure() -> None:
    assert former_rate(Arm(1000, 600)) is None
