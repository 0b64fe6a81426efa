"""Silence as harm: events per connected device, where devices come and go and answers may be late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.model import AppRelease, AppView, Check, Lane, NodeView
from controller.samples import Sample, Telemetry, sample
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
    came_at_once = [((0, 0), (100, 20)), ((0, 0), (110, 20)), ((0, 20), (120, 20)), ((10, 20), (130, 20))]
    assert evidence(came_at_once) < 1.5


def test_devices_that_stay_and_are_not_heard_are_found_in_a_few_looks() -> None:
    silent = [((0, 20), (100 + 10 * second, 20)) for second in range(4)]
    assert evidence(silent) > PROOF


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
