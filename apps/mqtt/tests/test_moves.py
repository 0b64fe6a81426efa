"""Clients that change their node: a canary that comes and goes, nodes that die. Nobody misses what was acknowledged."""

from __future__ import annotations

import json
import os
import signal

from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.tests.wandering import Listener
from apps.mqtt.wire.packets import PingReq, Publish, Will, encode, puback

Two = tuple[Edge, Edge]
ALL = "f/BOS/#"


def watcher(edge: Edge, name: str = "watch-1", *, present: bool = False) -> Device:
    made = Device(edge.mqtt, name, clean=False)
    assert made.opened() == (present, 0, {})
    return made


def publish(edge: Edge, name: str, *seqs: int) -> None:
    device = Device(edge.mqtt, name).connected()
    for seq in seqs:
        device.publish(numbered(seq), 1)
        assert device.receive(4) == puback(1)
    device.close()


def seqs(device: Device, count: int) -> list[int]:
    return [json.loads(device.delivered().payload)["seq"] for _ in range(count)]


def nothing_comes(device: Device) -> bool:
    device.send(encode(PingReq()))
    return device.packet() == (0xD0, b"")


def test_a_subscriber_hears_every_node_of_its_zone(two: Two) -> None:
    first, second = two
    eye = watcher(first)
    assert eye.subscribe((ALL, 1)) == b"\1"
    publish(first, "d1", 1, 2)
    publish(second, "d2", 3, 4)
    assert sorted(seqs(eye, 4)) == [1, 2, 3, 4]
    assert nothing_comes(eye)


def test_a_retained_state_is_found_on_whichever_node_it_is_and_the_newest_counts(two: Two) -> None:
    first, second = two
    for edge, words in ((first, b"cold"), (second, b"warm")):
        device = Device(edge.mqtt).connected()
        device.send(encode(Publish("f/BOS/d1/s", words, 1, 1, retain=True)))
        assert device.receive(4) == puback(1)
        device.close()
    for edge in two:
        eye = watcher(edge, f"watch-{edge.mqtt}")
        eye.subscribe((ALL, 1))
        while not (message := eye.delivered()).retain:
            assert message.payload in (b"cold", b"warm")  # what another node published a moment before
        assert message.payload == b"warm"
    device = Device(first.mqtt).connected()
    device.send(encode(Publish("f/BOS/d1/s", b"", 1, 1, retain=True)))
    assert device.receive(4) == puback(1)
    late = watcher(second, "watch-late")
    late.subscribe((ALL, 1))
    publish(second, "d2", 1)
    while (message := late.delivered()).topic != "f/BOS/d2/t":
        assert not message.retain


def test_a_session_moves_with_its_client_and_brings_what_came_on_both_nodes(two: Two) -> None:
    first, second = two
    eye = watcher(first)
    eye.subscribe((ALL, 1))
    eye.close()
    publish(first, "d1", 1, 2)
    publish(second, "d2", 3, 4)
    eye = watcher(second, present=True)
    assert sorted(seqs(eye, 4)) == [1, 2, 3, 4]
    publish(first, "d1", 5)
    publish(second, "d2", 6)
    assert sorted(seqs(eye, 2)) == [5, 6]
    assert nothing_comes(eye)
    eye.close()
    publish(second, "d2", 7)
    eye = watcher(first, present=True)  # and back home
    assert seqs(eye, 1) == [7]
    assert nothing_comes(eye)


def test_a_client_that_appears_on_another_node_leaves_the_first(two: Two) -> None:
    first, second = two
    before = watcher(first)
    before.subscribe((ALL, 1))
    after = watcher(second, present=True)
    assert before.is_closed_by_peer()
    publish(first, "d1", 1)
    assert seqs(after, 1) == [1]


def test_a_session_outlives_its_dead_node_and_gets_what_that_node_held_when_it_is_back(two: Two) -> None:
    first, second = two
    eye = watcher(first)
    eye.subscribe((ALL, 1))  # acknowledged when the other node has a copy of the session
    first.kill()
    eye = watcher(second, present=True)
    publish(second, "d2", 1)
    assert seqs(eye, 1) == [1]
    first.start()
    publish(first, "d1", 2)
    assert seqs(eye, 1) == [2]


def test_what_a_node_acknowledged_before_it_died_is_delivered_after(two: Two) -> None:
    first, second = two
    eye = watcher(first)
    eye.subscribe((ALL, 1))
    eye.close()
    publish(first, "d1", *range(1, 51))
    first.kill()
    eye = watcher(second, present=True)
    publish(second, "d2", 51)
    assert seqs(eye, 1) == [51]
    first.start()
    got: set[int] = set()
    while got != set(range(1, 51)):
        got.update(seqs(eye, 1))


def test_a_clean_start_elsewhere_ends_the_session_everywhere(two: Two) -> None:
    first, second = two
    eye = watcher(first)
    eye.subscribe((ALL, 1))
    eye.close()
    assert Device(second.mqtt, "watch-1").opened()[0] is False
    assert Device(first.mqtt, "watch-1", clean=False).opened()[0] is False


def test_a_will_is_heard_on_the_other_node(two: Two) -> None:
    first, second = two
    eye = watcher(second)
    eye.subscribe(("f/BOS/+/s", 1))
    Device(first.mqtt, "d1", will=Will("f/BOS/d1/s", b"gone", 1)).connected().close()
    assert eye.delivered().payload == b"gone"


def test_no_subscriber_misses_an_acknowledged_message_across_a_rollout_and_a_revert(two: Two) -> None:
    """Each node in turn is stopped and started again, twice, while devices publish to both: what a rollout with its
    revert does. The last time it is killed instead."""
    first, second = two
    eyes = [Listener(two, f"watch-{number}") for number in range(2)]
    for eye in eyes:
        eye.start()
    until(lambda: all(eye.presents for eye in eyes))
    until(lambda: sum(edge.metrics()["subscriptions"] for edge in two) == 2)
    acknowledged: set[tuple[str, int, int]] = set()
    for epoch, (edge, number) in enumerate(
        [(first, signal.SIGTERM), (second, signal.SIGTERM), (first, signal.SIGTERM), (second, signal.SIGKILL)]
    ):
        crowds = [Crowd(each.mqtt, "BOS", devices=2, epoch=10 * epoch + at, window=5) for at, each in enumerate(two)]
        for crowd in crowds:
            crowd.wait_for(100)
        assert edge.process is not None
        os.kill(edge.process.pid, number)
        edge.process.wait(20)
        for crowd in crowds:
            acknowledged |= crowd.stop()
        edge.start()
    assert len(acknowledged) > 800
    until(lambda: all(acknowledged <= set(eye.got) for eye in eyes), 60)
    for eye in eyes:
        assert eye.presents[1:] == [True] * len(eye.presents[1:])
        eye.stop()
