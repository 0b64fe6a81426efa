"""Silence as harm: events per connected device, where devices come and go and answers may be late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.model import AppRelease, AppView, Check, Lane, NodeView
from controller.samples import Counts, Sample, Telemetry, sample, slow_above
from controller.verdict import Judgement, look

SILENCE = Check("silence", "missing_events", events="committed", per="connected")
PROOF = 100.0


def release(letter: str) -> AppRelease:
    digest = f"sha256:{letter * 64}"
    return AppRelease("mqtt", digest, digest, digest, letter * 40)


NEW, GOOD = release("c"), release("b")
LANE = Lane("mqtt", NEW, GOOD, {"BOS": ("bos-a", "bos-b")}, (("bos-a",),), ("mqtt",), (SILENCE,))

Counted = tuple[float, float]
"""Messages committed so far, and devices connected."""


def evidence(looks: Iterable[tuple[Counted, Counted]]) -> float:
    """The most that any of the looks proves, each the canary's and the control's counts."""
    state, most = Judgement(), 0.0
    for second, (canary, control) in enumerate(looks):
        metrics = [{"committed": committed, "connected": connected} for committed, connected in (canary, control)]
        state = look(state, LANE, Sample("mqtt", float(second), (), {"bos-a": metrics[0]}, {"bos-b": metrics[1]}))
        most = max(most, state.evidence["silence"].value)
    return most


def test_devices_that_have_just_come_are_not_silent() -> None:
    control = [(10.0 * second, 20.0) for second in range(12)]
    came_at_once = [(0.0, 0.0)] * 5 + [(0.0, 20.0)] * 2 + [(10.0 * second, 20.0) for second in range(5)]
    assert evidence(zip(came_at_once, control, strict=True)) < 2


def test_devices_that_stay_and_are_not_heard_are_found_in_a_few_looks() -> None:
    silent = [((0.0, 20.0), (100 + 10.0 * second, 20.0)) for second in range(7)]
    assert evidence(silent) > PROOF


def reports(every: int, devices: int, since: int, looks: int, silent_from: int = 10**6) -> list[Counted]:
    """Devices whose timers start together at ``since``: they are all heard in the same second."""
    heard = [
        devices * ((min(second, silent_from) - since) // every if second >= since else 0) for second in range(looks)
    ]
    return [(float(events), float(devices)) for events in heard]


def evenly(every: int, devices: int, looks: int) -> list[Counted]:
    return [(second * devices / every, float(devices)) for second in range(looks)]


def test_devices_whose_timers_start_as_they_come_are_not_silent_between_their_reports() -> None:
    for every in (1, 2, 5, 10):
        assert evidence(zip(reports(every, 100, 0, 61), evenly(every, 900, 61), strict=True)) < 2, every


def test_devices_that_report_seldom_are_found_silent_after_two_intervals() -> None:
    silent = reports(10, 100, 0, 61, silent_from=0)
    assert evidence(zip(silent[:30], evenly(10, 900, 30), strict=True)) < PROOF
    assert evidence(zip(silent[:40], evenly(10, 900, 40), strict=True)) > PROOF


def test_looks_that_are_not_equally_far_apart_are_no_silence() -> None:
    """The canary was seen every second, the control every third: as much was heard of both."""
    state = Judgement()
    for second in range(20):
        seen = second % 3 == 0
        control = {"bos-b": {"committed": 10.0 * second, "connected": 20.0}} if seen else {}
        canary = {"bos-a": {"committed": 10.0 * second, "connected": 20.0}}
        seconds = {"bos-a": 1.0, "bos-b": 3.0 if seen else 0.0}
        state = look(state, LANE, Sample("mqtt", float(second), (), canary, control, seconds))
    assert state.evidence["silence"].value < 2


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
    counts = {"committed": 7.0, "connected": 20.0}
    runs = {"bos-a": NEW.digest, "bos-b": GOOD.digest}
    before = {name: telemetry(name, digest, counts, 1.0) for name, digest in runs.items()}
    after = {**before, "bos-b": telemetry("bos-b", GOOD.digest, counts, 2.0)}
    found = sample(LANE, before, after, 2.0)
    assert (list(found.canary_metrics), list(found.control_metrics)) == ([], ["bos-b"])
