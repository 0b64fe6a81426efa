"""A fleet that too few use: how often the controller asks it, so that the configured harm would be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.judge.evidence import Evidence, sees_from
from controller.judge.quiet import Bounds, Helped, helped
from controller.judge.weighing import Judgement
from controller.loop.helping import Helping
from controller.model import Arm, Check, Phase
from environments import Fleet
from tests.unit.scene import NOW, lane, rollout

ERRORS = Check("errors", "share", smallest_harm=0.02)
LANE = lane(checks=(ERRORS,))
BOUNDS = Bounds(steady=0.0, at_most=200.0, threshold=100.0, smallest_harm=0.0)
BEGAN, ENDS = 0.0, 60.0


def evidence(second: float, users: float, canary: float = 0.5) -> Mapping[str, Evidence]:
    """So many requests a second since the watch began, and this share of them on the canary."""
    total = users * second
    arms = Arm(round(total * canary), 0), Arm(round(total * (1 - canary)), 0)
    return {"errors": replace(Evidence(), canary=arms[0], control=arms[1])}


def watched(users: float, bounds: Bounds = BOUNDS, arrives: float = 1.0, canary: float = 0.5) -> list[Helped]:
    """Look by look what the controller does; ``arrives`` is the part of its requests that is counted."""
    found = [helped(None, LANE, evidence(0, users), bounds, BEGAN, ENDS)]
    total = 0.0
    for second in range(1, 60):
        total += users + found[-1].rate * arrives
        found.append(helped(found[-1], LANE, evidence(second, total / second, canary), bounds, float(second), ENDS))
    return found


def seen_in_the_end(users: float, rates: list[Helped]) -> float | None:
    counted = evidence(1, users * 60 + sum(each.rate for each in rates))["errors"]
    return sees_from(counted, BOUNDS.threshold)


def test_a_fleet_that_nobody_uses_is_asked_as_often_as_it_takes_and_no_more() -> None:
    rates = watched(users=0)
    raised = [(second, each) for second, each in enumerate(rates) if each.why]
    assert raised[0][0] == 6, "three seconds to get warm, three to measure"
    assert rates[5].rate == 0
    assert 5 < rates[-1].rate < 40
    seen = seen_in_the_end(0, rates)
    assert seen is not None
    assert 0.012 < seen <= 0.02
    assert raised[0][1].why == (
        f"mqtt is asked {raised[0][1].rate:g} times a second by the controller: what came so far would show nothing in "
        "errors by the end of the watch, and 2.0 % must be visible"
    )


def test_a_fleet_that_some_use_is_helped_by_what_is_missing() -> None:
    alone, rates = watched(users=0), watched(users=8)
    assert 0 < rates[-1].rate < alone[-1].rate
    assert "would show a rise of 4.6 % in errors" in rates[-1].why


def test_a_fleet_that_is_used_enough_is_left_alone() -> None:
    assert {each.rate for each in watched(users=60)} == {0.0}
    assert {each.rate for each in watched(users=60, bounds=replace(BOUNDS, steady=20.0))} == {20.0}


def test_the_environment_says_what_must_be_visible_where_it_has_little_traffic() -> None:
    coarse = watched(users=0, bounds=replace(BOUNDS, smallest_harm=0.2))
    assert 0 < coarse[-1].rate < watched(users=0)[-1].rate / 3


def test_it_stops_at_the_bound_and_says_that_this_will_not_do() -> None:
    rates = watched(users=0, bounds=replace(BOUNDS, steady=1.0, at_most=4.0))
    assert max(each.rate for each in rates) == 4.0
    assert rates[-1].why.startswith("mqtt is asked 4 times a second by the controller, instead of 1: what came so far")
    assert "and 2.0 % must be visible; even so it would show a rise of " in rates[-1].why
    seen = seen_in_the_end(0, rates)
    assert seen is None or seen > 0.02


def test_what_a_raise_did_not_bring_is_raised_again_and_never_lowered() -> None:
    rates = [each.rate for each in watched(users=0, arrives=0.4)]
    assert rates == sorted(rates)
    assert len(set(rates)) > 2
    assert rates[-1] > 2 * watched(users=0)[-1].rate


def test_a_canary_with_a_small_share_of_the_traffic_needs_more() -> None:
    assert watched(users=0, canary=0.2)[-1].rate > 1.5 * watched(users=0, canary=0.5)[-1].rate


# ---- while a rollout is watched, and only then --------------------------------------------------------------------


def fleets(at_most: float, steady: float = 2.0) -> dict[str, Fleet]:
    return {"mqtt": Fleet("mqtt", ("BOS",), 2, ({"BOS": 1},), steady, at_most)}


def looked(at_most: float, phases: list[Phase]) -> tuple[list[float], list[str]]:
    """The rates, look by look, of a rollout that nobody's requests reach, and what was told."""
    helping, rates, told = Helping(), list[float](), list[str]()
    for second, phase in enumerate(phases):
        watching = rollout(phase, lanes=(LANE,), watch_from=NOW)
        told += helping.look(watching, {"mqtt": Judgement()}, fleets(at_most), NOW + second)
        rates.append(helping.rates(fleets(at_most)).get("mqtt", 0.0))
    return rates, told


def test_it_is_steady_before_the_watch_and_after_it_and_told_once() -> None:
    phases = [Phase.DEPLOYING] * 3 + [Phase.WATCHING] * 9 + [Phase.REVERTING] * 2
    rates, told = looked(30.0, phases)
    assert rates[:9] == [2.0] * 9
    assert rates[9:12] == [rates[9]] * 3
    assert 2.0 < rates[9] <= 30.0
    assert rates[12:] == [2.0, 2.0]
    assert len(told) == 1


def test_an_environment_that_sets_no_bound_is_never_asked_more() -> None:
    assert looked(0.0, [Phase.WATCHING] * 20) == ([2.0] * 20, [])


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PROMOTED, Phase.HELD])
def test_nobody_is_helped_outside_of_a_watch(phase: Phase) -> None:
    assert looked(30.0, [phase] * 12) == ([2.0] * 12, [])
