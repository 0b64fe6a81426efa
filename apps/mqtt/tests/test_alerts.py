"""Rules over readings: what raises an alert and what clears it, and who is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from apps.mqtt.config import BadConfig, load
from apps.mqtt.readings.rules import BadRule, Devices, Rule, of_kind, parse
from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.tests.test_zone import Events
from apps.mqtt.wire.packets import PingReq, encode, puback

HOT = {"name": "hot", "devices": "press-*", "above": 90, "clear": 85}


def told(rules: list[dict[str, Any]], readings: list[tuple[float, int]]) -> list[tuple[str, bool, str]]:
    devices = Devices(parse(rules))
    changes = [change for value, at in readings for change in devices.look("press-7", value, at)]
    return [(change.rule.name, change.is_raised, change.why) for change in changes]


def test_an_alert_is_raised_once_and_cleared_when_the_reading_is_well_back() -> None:
    readings = [(80.0, 0), (91.0, 1), (95.0, 2), (88.0, 3), (84.0, 4), (91.0, 5)]
    assert told([HOT], readings) == [
        ("hot", True, "press-7 reads 91, above 90."),
        ("hot", False, "press-7 reads 84 again."),
        ("hot", True, "press-7 reads 91, above 90."),
    ]
    assert told([{"name": "cold", "below": 5}], [(5.0, 0), (4.0, 1), (5.0, 2)]) == [
        ("cold", True, "press-7 reads 4, below 5."),
        ("cold", False, "press-7 reads 5 again."),
    ]


def test_a_rate_is_measured_over_a_second_at_least_and_never_backwards() -> None:
    rule = {"name": "fast", "rate": 2}
    assert told([rule], [(10, 0), (14, 2000), (15, 3000)]) == []
    assert told([rule], [(10, 0), (90, 1), (10, 999), (11, 1000)]) == []  # a spike in between says nothing
    assert told([rule], [(10, 0), (15, 2000), (16, 4000)]) == [
        ("fast", True, "press-7 changes by 2.5 a second; 2 are allowed."),
        ("fast", False, "press-7 reads 16 again."),
    ]
    assert told([rule], [(10, 5000), (90, 0), (91, 1000)]) == []  # the clock was put back


def test_silence_is_raised_once_and_ended_by_a_word() -> None:
    (rule,) = parse([{"name": "mute", "silence": 30}])
    devices = Devices((rule,))
    assert devices.silent(rule, "d1", 29.9) == []
    (change,) = devices.silent(rule, "d1", 31.2)
    assert change.why == "d1 has said nothing for 31 s; 30 s are allowed."
    assert devices.silent(rule, "d1", 32) == []
    (change,) = devices.look("d1", 7, 0)
    assert (change.is_raised, change.why) == (False, "d1 is heard again: it reads 7.")


def test_a_rule_concerns_the_devices_it_names() -> None:
    devices = Devices(parse([HOT]))
    assert devices.look("saw-1", 99, 0) == []
    assert of_kind(devices.rules, "above") == devices.rules == (Rule("hot", "press-*", "above", 90.0, 85.0),)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({}, "rules is not a list of tables"),
        ([1], "rules[0] is not a table"),
        ([HOT, HOT], "two rules are called 'hot'"),
        ([{"name": "a b", "above": 1}], "rules[0]: name is 'a b'"),
        ([{"above": 1}], "rules[0]: name is None"),
        ([{"name": "x"}], "rules[0]: give one of above, below, rate, silence, anomaly; 0 are given"),
        ([{"name": "x", "above": 1, "below": 0}], "2 are given"),
        ([{"name": "x", "above": "1"}], "rules[0]: above is '1'; it must be a number"),
        ([{"name": "x", "above": True}], "above is True"),
        ([{"name": "x", "rate": 0}], "rate is 0; it must be a number over 0"),
        ([{"name": "x", "above": 1, "over": 1}], "rules[0]: 'over' is not known"),
        ([{"name": "x", "above": 90, "clear": 91}], "clear is 91, which does not lie on the good side of above = 90"),
        ([{"name": "x", "silence": 9, "clear": 1}], "good side of silence = 9"),
        ([{"name": "x", "devices": 7, "above": 1}], "devices is 7"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_one_sentence(
    new_edge: Callable[..., Edge], rules: Any, sentence: str
) -> None:
    with pytest.raises(BadRule) as caught:
        parse(rules)
    assert sentence in str(caught.value)
    edge = new_edge(rules=rules)
    edge.config.write_text(json.dumps(edge.document))
    with pytest.raises(BadConfig, match=r'"settings.rules" cannot be used'):
        load(edge.config)


def say(edge: Edge, name: str, seq: int, value: float) -> None:
    device = Device(edge.mqtt, name).connected()
    device.publish(numbered(seq, value), 1)
    assert device.receive(4) == puback(1)
    device.close()


def test_an_alert_reaches_subscribers_streams_and_whoever_comes_later_even_after_kill_9(
    new_edge: Callable[..., Edge],
) -> None:
    edge = new_edge(rules=[HOT]).start()
    eye = Device(edge.mqtt, "watch-1").connected()
    eye.subscribe(("f/BOS/+/alert/#", 1))
    events = Events(edge)
    say(edge, "press-7", 1, 95)
    message = eye.delivered()
    said = json.loads(message.payload)
    assert (message.topic, message.qos) == ("f/BOS/press-7/alert/hot", 1)
    assert (said["rule"], said["raised"], said["why"]) == ("hot", True, "press-7 reads 95, above 90.")
    assert [events.next()[0] for _ in range(2)] == ["reading", "alert"]
    assert edge.metrics()["alerts"] == 1
    edge.kill()
    edge.start()
    say(edge, "press-7", 2, 96)  # it stands already
    late = Device(edge.mqtt, "watch-2").connected()
    late.subscribe(("f/BOS/+/alert/#", 1))
    assert late.delivered().payload == message.payload
    say(edge, "press-7", 3, 20)
    assert json.loads(late.delivered().payload)["raised"] is False
    events = Events(edge, last=events.last)  # what came while it was away: two readings and the end of the alert
    kinds = [events.next() for _ in range(3)]
    assert sorted(kind for kind, _ in kinds) == ["alert", "reading", "reading"]
    assert edge.metrics()["alerts"] == 0


def test_a_device_that_moved_is_not_silent_and_one_that_fell_silent_is_told_of_once(
    two_with_rules: tuple[Edge, Edge],
) -> None:
    first, second = two_with_rules
    eye = Device(first.mqtt, "watch-1").connected()
    eye.subscribe(("f/BOS/+/alert/#", 1))
    say(first, "d1", 1, 20)
    for seq in range(2, 10):  # it goes on elsewhere for longer than the limit
        say(second, "d1", seq, 20)
        until(lambda: second.metrics()["last_commit_age_seconds"] > 0.8)
    eye.send(encode(PingReq()))
    assert eye.packet() == (0xD0, b"")
    message = eye.delivered()
    assert json.loads(message.payload)["raised"] is True
    assert message.topic == "f/BOS/d1/alert/mute"
    assert first.metrics()["alerts"] + second.metrics()["alerts"] == 1
    say(second, "d1", 10, 20)
    assert json.loads(eye.delivered().payload)["raised"] is False


@pytest.fixture
def two_with_rules(new_edge: Callable[..., Edge]) -> tuple[Edge, Edge]:
    rules = [{"name": "mute", "silence": 5}]
    first, second = new_edge(node="bos-a", rules=rules), new_edge(node="bos-b", rules=rules)
    first.meet(second)
    second.meet(first)
    first.start()
    second.start()
    until(lambda: first.metrics()["peers_reached"] == second.metrics()["peers_reached"] == 1)
    return first, second
