"""The anomaly score: what is unusual for a device, and what is not, without a bound that anybody has to know."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from random import Random

import pytest

from apps.mqtt.readings import anomaly
from apps.mqtt.readings.anomaly import ENOUGH, WINDOW, Scores, Usual
from apps.mqtt.readings.rules import Devices, parse
from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge

ODD = {"name": "odd", "anomaly": 8}


def usual(random: Random, at: int) -> float:
    """An oven: a slow swing, and noise."""
    return 212 + 9 * math.sin(2 * math.pi * at / 240) + random.gauss(0, 1.3)


def test_spikes_are_found_and_nothing_else_is() -> None:
    found = wrong = 0
    for seed in range(40):
        random, device = Random(seed), Usual()
        spikes = {random.randrange(100, 1_000) for _ in range(5)}
        for at in range(1_000):
            sign = random.choice((-1, 1)) * random.uniform(15, 30)
            score = device.score(212 + 9 * sign if at in spikes else usual(random, at))
            found += at in spikes and score is not None and score > 8
            wrong += at not in spikes and score is not None and score > 8
    assert found >= 190 and wrong == 0


def test_the_score_is_the_distance_from_the_median_in_spreads() -> None:
    random, device = Random(3), Usual()
    past: list[float] = []
    for _ in range(500):
        value = random.gauss(50, 4)
        score, window = device.score(value), sorted(past[-WINDOW:])
        if len(window) < ENOUGH:
            assert score is None
        else:
            low, median, high = (window[int(share * (len(window) - 1))] for share in (0.25, 0.5, 0.75))
            assert score == pytest.approx(abs(value - median) / ((high - low) / 1.349))
        past.append(value)
    assert statistics.median(past) == pytest.approx(50, abs=1)


@pytest.mark.parametrize("about", [0.0, 5.0, -40.0, 1e300, 2**62])
def test_a_value_that_stands_still_may_change_its_last_digit(about: float) -> None:
    device = Usual()
    for _ in range(ENOUGH):
        device.score(about)
    quiet = device.score(about + abs(about) * 0.002)
    assert quiet is not None and quiet <= 2.5
    loud = device.score(about + abs(about) * 0.5 + 1)
    assert loud is not None and loud > 8


def test_what_stays_unusual_becomes_usual() -> None:
    random, device = Random(1), Usual()
    for _ in range(WINDOW):
        device.score(random.gauss(20, 1))
    scores = [device.score(random.gauss(60, 1)) for _ in range(WINDOW)]
    assert all(score is not None and score > 8 for score in scores[:8])
    assert all(score is not None and score < 8 for score in scores[-8:])


def test_memory_is_bounded_for_a_device_and_for_all() -> None:
    scores = Scores(most=100)
    for at in range(10_000):
        scores.of(f"d{at}", 1)
    assert len(scores._devices) == 100
    for at in range(10_000):
        scores.of("d9999", at)
    device = scores._devices["d9999"]
    assert len(device._sorted) == len(device._latest) == WINDOW
    held = sys.getsizeof(device._sorted) + sys.getsizeof(device._latest) + WINDOW * sys.getsizeof(1.0)
    assert held * anomaly.MOST_DEVICES < 40_000_000
    assert next(reversed(scores._devices)) == "d9999"


def test_the_rule_says_what_it_saw_once_and_says_when_it_is_over() -> None:
    devices, random = Devices(parse([ODD, {"name": "hot", "devices": "saw-*", "above": 1}])), Random(1)
    values = [random.gauss(62, 1) for _ in range(60)]
    changes = [
        change for value in (*values[:50], 300.0, 301.0, *values[50:]) for change in devices.look("p1", value, 0)
    ]
    assert [(change.rule.name, change.is_raised) for change in changes] == [("odd", True), ("odd", False)]
    assert changes[0].why.startswith("p1 reads 300, ") and changes[0].why.endswith("from its usual; 8 are allowed.")
    assert changes[1].why == f"p1 reads {values[50]:g}, as usual by now."
    assert devices.look("p2", 1e9, 0) == []


def test_an_anomaly_is_told_to_subscribers(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(rules=[ODD]).start()
    eye = Device(edge.mqtt, "watch-1").connected()
    eye.subscribe(("f/BOS/+/alert/#", 1))
    device, random = Device(edge.mqtt, "press-7").connected(), Random(2)
    for seq in range(1, 42):
        device.publish(numbered(seq, 500 if seq == 41 else random.gauss(60, 2)), seq)
    assert len(device.receive(41 * 4)) == 41 * 4
    said = json.loads(eye.delivered().payload)
    assert (said["rule"], said["raised"]) == ("odd", True)
    assert said["why"].startswith("press-7 reads 500, ")
