"""Silence as harm: events for each second of a connected device, where devices differ, come, go and catch up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.judge.samples import Counts, Sample, Telemetry, pace, sample, slow_above
from controller.judge.weighing import Judgement, look
from controller.model import AppRelease, AppView, Check, Lane, NodeView

SILENCE = Check("silence", "missing_events", events="committed", per="connected_seconds")
PROOF = 100.0
EACH_SECOND = {"bos-a": 1.0, "bos-b": 1.0}


def release(letter: str) -> AppRelease:
    digest = f"sha256:{letter * 64}"
    return AppRelease("mqtt", digest, digest, digest, letter * 40)


NEW, GOOD = release("c"), release("b")
LANE = Lane("mqtt", NEW, GOOD, {"BOS": ("bos-a", "bos-b")}, (("bos-a",),), ("mqtt",), (SILENCE,))

Counted = tuple[float, float]
"""Messages committed and seconds of connected devices, both so far."""


def counted(messages: float, seconds: float) -> dict[str, float]:
    return {"committed": messages, "connected_seconds": seconds}


def evidence(looks: Iterable[tuple[Counted, Counted]], lane: Lane = LANE) -> float:
    """The most that any of the looks proves, each the canary's and the control's counts."""
    state, most = Judgement(), 0.0
    for second, (canary, control) in enumerate(looks):
        one, other = {"bos-a": counted(*canary)}, {"bos-b": counted(*control)}
        state = look(state, lane, Sample("mqtt", float(second), (), one, other, EACH_SECOND))
        most = max(most, state.evidence["silence"].value)
    return most


def test_devices_that_have_just_come_are_not_silent() -> None:
    control = [(10.0 * second, 20.0 * second) for second in range(14)]
    came = [(10.0 * max(0, second - 7), 20.0 * max(0, second - 5)) for second in range(14)]
    assert evidence(zip(came, control, strict=True)) < 2


def test_devices_that_stay_and_are_not_heard_are_found_in_a_few_looks() -> None:
    silent = [((0.0, 20.0 * second), (100 + 10.0 * second, 20.0 * second)) for second in range(9)]
    assert evidence(silent) > PROOF


def test_a_fresh_process_that_is_silent_from_its_first_second_on_is_found_at_the_third_look() -> None:
    """Its counters begin with it, so the first look already says how long its devices have been there."""
    silent = [((0.0, 10.0 * second), (90.0 * second, 90.0 * second)) for second in range(1, 4)]
    assert evidence(silent[:2], paced(1)) < PROOF < evidence(silent, paced(1))


def test_the_first_of_many_devices_does_not_make_the_rest_due() -> None:
    """Ten come at once and are heard each second; ninety follow a second later, and are heard after another one."""
    canary = [(0.0, 10.0), (10.0, 110.0), (110.0, 210.0), (210.0, 310.0)]
    control = [(90.0 * second, 90.0 * second) for second in range(1, 5)]
    assert evidence(zip(canary, control, strict=True), paced(1)) < 2


def together(every: int, devices: int, looks: int, silent: bool = False) -> list[Counted]:
    """Devices whose timers started together: all of them are heard in the same second."""
    return [(0.0 if silent else devices * (second // every), float(devices * second)) for second in range(looks)]


def evenly(every: int, devices: int, looks: int) -> list[Counted]:
    return [(second * devices / every, float(devices * second)) for second in range(looks)]


def paced(every: int) -> Lane:
    return replace(LANE, pace={"silence": dict.fromkeys(("bos-a", "bos-b"), 1 / every)})


def test_devices_whose_timers_start_as_they_come_are_not_silent_between_their_reports() -> None:
    for every in (1, 2, 5, 10):
        looks = zip(together(every, 100, 61), evenly(every, 900, 61), strict=True)
        assert evidence(looks, paced(every)) < 2, every


def test_devices_that_report_seldom_are_found_silent_after_a_few_intervals() -> None:
    looks = list(zip(together(10, 100, 61, silent=True), evenly(10, 900, 61), strict=True))
    assert evidence(looks[:30], paced(10)) < PROOF
    assert evidence(looks[:50], paced(10)) > PROOF


def test_looks_that_are_not_equally_far_apart_are_no_silence() -> None:
    """The canary was seen every second, the control every third: as much was heard of both."""
    state = Judgement()
    for second in range(20):
        control = {"bos-b": counted(10.0 * second, 20.0 * second)} if second % 3 == 0 else {}
        canary = {"bos-a": counted(10.0 * second, 20.0 * second)}
        state = look(state, LANE, Sample("mqtt", float(second), (), canary, control))
    assert state.evidence["silence"].value < 2


def test_what_devices_kept_while_they_had_nobody_is_no_pace_that_the_candidate_must_keep() -> None:
    """Three devices of the canary went to the control node meanwhile and came with a minute's worth of messages."""
    paced = replace(LANE, pace={"silence": {"bos-a": 1.0, "bos-b": 1.0}})
    flood = [0.0, 3.0, 6.0, 9.0, 189.0, 192.0, 195.0, 198.0, 201.0, 204.0]
    looks = [((3.0 * second, 3.0 * second), (came, 3.0 * second)) for second, came in enumerate(flood)]
    assert evidence(looks, paced) < 2
    assert 2 < evidence(looks) < PROOF, "who knows no pace takes it for silence, but one look is no proof"


def test_an_arm_of_slow_devices_is_not_a_silent_one() -> None:
    """Devices stay with their node: those of the canary report twice a minute, those of the control each second."""
    looks = [((second // 2, 15.0 * second), (15.0 * second, 15.0 * second)) for second in range(60)]
    assert evidence(looks, replace(LANE, pace={"silence": {"bos-a": 1 / 30, "bos-b": 1.0}})) < 2
    assert evidence(looks) > PROOF


def test_a_silent_arm_of_slow_devices_is_found_all_the_same() -> None:
    slow = replace(LANE, pace={"silence": {"bos-a": 0.2, "bos-b": 1.0}})
    looks = [((0.0, 15.0 * second), (15.0 * second, 15.0 * second)) for second in range(20)]
    assert evidence(looks, slow) > PROOF


def test_counters_that_began_again_say_nothing_until_they_have_run() -> None:
    control = [(10.0 * second, 20.0 * second) for second in range(20)]
    again = [(10.0 * (second % 7), 20.0 * (second % 7)) for second in range(20)]
    assert evidence(zip(again, control, strict=True)) < 2


def test_the_pace_is_what_last_good_counted_on_each_node() -> None:
    metrics = {"bos-a": counted(300.0, 100.0), "bos-b": counted(5.0, 10.0)}
    seen = {node: telemetry(node, GOOD.digest, one, 1.0) for node, one in metrics.items()}
    assert pace(LANE, seen) == {"silence": {"bos-a": 3.0}}, "ten seconds of one device are too few to know"


def test_how_long_a_device_stayed_is_not_how_slow_its_server_is() -> None:
    requests = Counts(1000, 0, 1000, 0, (990, 10, 0))
    sessions = Counts(200, 0, 200, 0, (0, 0, 0))
    view = NodeView("bos-b", 1.0, "boot", 1.0, {})
    events = {("bos-b", "/v1"): requests, ("bos-b", "other"): sessions}
    assert slow_above(LANE, {"bos-b": Telemetry(view, 0.0, (1.0, 2.0), events)}) == 1.0


def telemetry(node: str, digest: str, metrics: Mapping[str, float], at: float) -> Telemetry:
    view = NodeView(node, at, "boot", at, {"mqtt": AppView(running=digest, ready=True)})
    return Telemetry(view, 0.0, (1.0,), {}, metrics, digest)


def test_a_node_that_has_not_answered_since_the_last_look_says_nothing_anew() -> None:
    counts = counted(7.0, 20.0)
    runs = {"bos-a": NEW.digest, "bos-b": GOOD.digest}
    before = {name: telemetry(name, digest, counts, 1.0) for name, digest in runs.items()}
    after = {**before, "bos-b": telemetry("bos-b", GOOD.digest, counts, 2.0)}
    found = sample(LANE, before, after, 2.0)
    assert (list(found.canary_metrics), list(found.control_metrics)) == ([], ["bos-b"])
