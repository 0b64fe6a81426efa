"""What subscribers get: matches, rights, retained messages, sessions over reconnects and crashes, last wills."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.wire.packets import PingReq, PubAck, Publish, Subscribe, Unsubscribe, Will, encode, puback

ALL = "f/BOS/#"
PERSISTENT: dict[str, Any] = {"clean": False}


def watcher(edge: Edge, name: str = "watch-1", **more: Any) -> Device:
    made = Device(edge.mqtt, name, **more)
    assert made.opened()[1] == 0
    return made


def state(device: Device, words: bytes, *, retain: bool = False, packet_id: int = 9) -> None:
    device.send(encode(Publish(device.topic[:-1] + "s", words, 1, packet_id, retain)))
    assert device.receive(4) == puback(packet_id)


def kept_place(edge: Edge, client: str) -> int | None:
    """Up to which reading the session on disk was served."""
    with closing(sqlite3.connect(edge.data / "sessions.db")) as db:
        row = db.execute("SELECT document FROM sessions WHERE client = ?", (client,)).fetchone()
    place: int | None = None if row is None else json.loads(row[0])["places"].get("bos-a/readings")
    return place


def nothing_comes(device: Device) -> bool:
    """The next thing that comes is the answer to a ping."""
    device.send(encode(PingReq()))
    return device.packet() == (0xD0, b"")


def test_a_watcher_gets_what_devices_publish_as_they_wrote_it(edge: Edge) -> None:
    eye = watcher(edge)
    assert eye.subscribe((ALL, 1)) == b"\x01"
    press = Device(edge.mqtt, "press-7").connected()
    said = b'{ "seq":1,"reading": 2.50}'
    press.publish(said, 3)
    assert press.receive(4) == puback(3)
    assert eye.delivered() == Publish("f/BOS/press-7/t", said, 1, 1)
    press.publish(numbered(2), None)  # quality of service 0 stays 0 for everybody
    assert eye.delivered() == Publish("f/BOS/press-7/t", numbered(2), 0)
    state(press, b"warming up")
    assert eye.delivered() == Publish("f/BOS/press-7/s", b"warming up", 1, 2)


def test_a_duplicate_and_an_unreadable_payload_are_passed_to_nobody(edge: Edge) -> None:
    eye = watcher(edge)
    eye.subscribe((ALL, 1))
    device = Device(edge.mqtt).connected()
    for payload in (numbered(1), numbered(1), b"garbage", numbered(2)):
        device.publish(payload, 1)
        assert device.receive(4) == puback(1)
    assert [eye.delivered().payload for _ in range(2)] == [numbered(1), numbered(2)]
    assert nothing_comes(eye)


@pytest.mark.parametrize(
    ("client", "pattern", "code"),
    [
        ("d1", "f/BOS/d1/cmd", 1),
        ("d1", "f/BOS/d1/#", 1),
        ("d1", "f/BOS/d1/+", 1),
        ("d1", "f/BOS/d2/cmd", 0x80),
        ("d1", "f/BOS/+/cmd", 0x80),
        ("d1", "f/DFW/d1/cmd", 0x80),
        ("d1", "#", 0x80),
        ("d1", "f/#", 0x80),
        ("watch-1", "f/BOS/#", 1),
        ("watch-1", "f/BOS/+/t", 1),
        ("watch-1", "f/+/d1/t", 0x80),
        ("watch-1", "#", 0x80),
        ("watch-1", "$SYS/#", 0x80),
        ("watch-1", "$share/g/f/BOS/#", 0x80),
        ("watch-1", "f/BOS/" + "a/" * 20 + "b", 0x80),
    ],
)
def test_a_client_hears_its_own_topics_and_a_watcher_its_zone(
    shared: Edge, client: str, pattern: str, code: int
) -> None:
    assert watcher(shared, client).subscribe((pattern, 1)) == bytes((code,))


def test_quality_of_service_2_is_granted_as_1_and_each_filter_has_its_own_answer(shared: Edge) -> None:
    assert watcher(shared).subscribe((ALL, 2), ("#", 0), ("f/BOS/+/t", 0)) == b"\x01\x80\x00"


def test_a_message_that_several_filters_match_comes_once_at_the_best_quality(edge: Edge) -> None:
    eye = watcher(edge)
    eye.subscribe((ALL, 0), ("f/BOS/+/t", 1), ("f/BOS/d1/#", 0))
    device = Device(edge.mqtt).connected()
    device.publish(numbered(1))
    assert eye.delivered().qos == 1
    assert nothing_comes(eye)


def test_what_is_unsubscribed_comes_no_more(edge: Edge) -> None:
    eye = watcher(edge)
    eye.subscribe((ALL, 1))
    eye.send(encode(Unsubscribe(5, (ALL, "never/asked"))))
    assert eye.packet() == (0xB0, b"\0\5")
    Device(edge.mqtt).connected().publish(numbered(1))
    until(lambda: edge.metrics()["committed"] == 1)
    assert nothing_comes(eye)


def test_a_retained_state_greets_whoever_comes_later_even_after_a_crash(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    state(device, b"off")
    state(device, b"on", retain=True)
    edge.kill()
    edge.start()
    eye = watcher(edge)
    eye.subscribe((ALL, 1))
    assert eye.delivered() == Publish("f/BOS/d1/s", b"on", 1, 1, retain=True)
    device = Device(edge.mqtt).connected()
    state(device, b"", retain=True)  # nothing retained any more; the message itself is passed on
    assert eye.delivered() == Publish("f/BOS/d1/s", b"", 1, 2)
    late = watcher(edge, "watch-2")
    late.subscribe((ALL, 1))
    assert nothing_comes(late)


def test_a_session_brings_all_that_came_while_its_client_was_away(edge: Edge) -> None:
    eye = watcher(edge, **PERSISTENT)
    eye.subscribe((ALL, 1))
    eye.close()
    device = Device(edge.mqtt).connected()
    for seq in range(1, 301):
        device.publish(numbered(seq), seq)
    assert device.receive(1200)[-4:] == puback(300)
    eye = Device(edge.mqtt, "watch-1", clean=False)
    assert eye.opened() == (True, 0, {})
    assert [json.loads(eye.delivered().payload)["seq"] for _ in range(300)] == list(range(1, 301))
    device.publish(numbered(301))
    assert json.loads(eye.delivered().payload)["seq"] == 301
    assert device.receive(4) == puback(1)
    eye.close()
    for words in (b"warm", b"hot"):
        state(device, words)
    eye = Device(edge.mqtt, "watch-1", clean=False)
    assert eye.opened()[0] is True
    assert [eye.delivered().payload for _ in range(2)] == [b"warm", b"hot"]


def test_a_session_survives_kill_9_and_what_was_not_acknowledged_comes_again(edge: Edge) -> None:
    eye = watcher(edge, **PERSISTENT)
    eye.subscribe((ALL, 1))
    device = Device(edge.mqtt).connected()
    for seq in range(1, 11):
        device.publish(numbered(seq), seq)
    assert device.receive(40)[-4:] == puback(10)
    first = [eye.delivered(ack=False) for _ in range(10)]
    for message in first[:4]:
        assert message.packet_id is not None
        eye.send(encode(PubAck(message.packet_id)))
    until(lambda: kept_place(edge, "watch-1") == 4)
    edge.kill()
    edge.start()
    eye = Device(edge.mqtt, "watch-1", clean=False)
    assert eye.opened()[0] is True
    got: list[int] = []
    while not got or got[-1] != 10:
        got.append(json.loads(eye.delivered().payload)["seq"])
    assert got == [5, 6, 7, 8, 9, 10]


def test_a_reconnect_gets_the_unacknowledged_again_under_their_packet_ids(edge: Edge) -> None:
    eye = watcher(edge, **PERSISTENT)
    eye.subscribe((ALL, 1))
    device = Device(edge.mqtt).connected()
    for seq in (1, 2, 3):
        device.publish(numbered(seq), seq)
    sent = [eye.delivered(ack=False) for _ in range(3)]
    assert sent[1].packet_id is not None
    eye.send(encode(PubAck(sent[1].packet_id)))
    assert nothing_comes(eye)
    eye.close()
    until(lambda: edge.metrics()["connected"] == 1)
    eye = Device(edge.mqtt, "watch-1", clean=False)
    eye.opened()
    again = [eye.delivered() for _ in range(2)]
    assert [(m.packet_id, m.payload, m.dup) for m in again] == [
        (sent[0].packet_id, sent[0].payload, True),
        (sent[2].packet_id, sent[2].payload, True),
    ]
    assert nothing_comes(eye)


def test_a_clean_start_forgets_the_session(edge: Edge) -> None:
    eye = watcher(edge, **PERSISTENT)
    eye.subscribe((ALL, 1))
    eye.close()
    assert Device(edge.mqtt, "watch-1").opened()[0] is False
    edge.kill()
    edge.start()
    assert Device(edge.mqtt, "watch-1", clean=False).opened()[0] is False


def test_a_session_whose_time_is_over_is_gone(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(session_seconds=1).start()
    eye = watcher(edge, **PERSISTENT)
    eye.subscribe((ALL, 1))
    eye.close()
    until(lambda: edge.metrics()["connected"] == 0)
    until(lambda: edge.metrics()["sessions"] == 0)
    assert Device(edge.mqtt, "watch-1", clean=False).opened()[0] is False


def test_a_slow_subscriber_holds_nobody_up_and_misses_nothing(edge: Edge) -> None:
    slow = watcher(edge, "watch-slow")
    slow.subscribe((ALL, 1))
    device = Device(edge.mqtt).connected()
    for start in range(0, 2000, 100):
        for seq in range(start, start + 100):
            device.publish(numbered(seq), seq % 100 + 1)
        assert len(device.receive(400)) == 400
    assert [json.loads(slow.delivered().payload)["seq"] for _ in range(2000)] == list(range(2000))


def test_the_will_of_a_client_that_goes_without_goodbye_is_published(edge: Edge) -> None:
    eye = watcher(edge)
    eye.subscribe(("f/BOS/+/s", 1))
    dying = Device(edge.mqtt, "d1", will=Will("f/BOS/d1/s", b"gone", 1, True)).connected()
    polite = Device(edge.mqtt, "d2", will=Will("f/BOS/d2/s", b"gone", 1)).connected()
    polite.send(b"\xe0\x00")
    assert polite.is_closed_by_peer()
    dying.close()
    message = eye.delivered()
    assert (message.topic, message.payload, message.retain) == ("f/BOS/d1/s", b"gone", False)
    late = watcher(edge, "watch-2")
    late.subscribe((ALL, 1))
    assert (late.delivered().topic, edge.metrics()["quarantined"]) == ("f/BOS/d1/s", 0)


def test_a_will_on_another_device_s_topic_is_refused(shared: Edge) -> None:
    assert Device(shared.mqtt, "d1", will=Will("f/BOS/d2/s", b"gone")).opened()[1] == 5


def test_a_stop_of_the_application_tells_nobody_that_devices_died(edge: Edge) -> None:
    device = Device(edge.mqtt, "d1", will=Will("f/BOS/d1/s", b"gone", 1, True)).connected()
    assert edge.stop() == 0
    assert device.is_closed_by_peer()
    edge.start()
    eye = watcher(edge)
    eye.subscribe((ALL, 1))
    assert nothing_comes(eye)


def test_a_denied_client_is_let_go_and_nobody_else_notices(edge: Edge) -> None:
    bad, good = Device(edge.mqtt, "bad").connected(), Device(edge.mqtt, "good").connected()
    (edge.data / "denied").write_text("bad   # lost in the car park\n")
    assert bad.is_closed_by_peer()
    assert Device(edge.mqtt, "bad").opened()[1] == 5
    good.publish(numbered(1))
    assert good.receive(4) == puback(1)
    (edge.data / "denied").unlink()
    until(lambda: Device(edge.mqtt, "bad").opened()[1] == 0)


def test_one_that_is_too_fast_is_read_more_slowly_and_loses_nothing(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(max_rate=50).start()
    fast, other = Device(edge.mqtt, "fast").connected(), Device(edge.mqtt, "other").connected()
    began = time.monotonic()
    for seq in range(1, 151):
        fast.publish(numbered(seq), seq)
    other.publish(numbered(1))
    assert other.receive(4) == puback(1)
    assert len(fast.receive(600)) == 600
    assert time.monotonic() - began >= 1.5  # 50 at once and 100 at fifty a second


def test_a_zone_that_reconnects_at_once_is_served_and_finds_its_sessions(edge: Edge) -> None:
    names = [f"d{number}" for number in range(300)]
    devices = [Device(edge.mqtt, name, clean=False) for name in names]
    for device in devices:
        device.opened()
        device.send(encode(Subscribe(1, ((device.topic[:-1] + "#", 1),))))
    assert all(device.packet() == (0x90, b"\0\1\1") for device in devices)
    edge.kill()
    edge.start()
    devices = [Device(edge.mqtt, name, clean=False) for name in names]
    assert all(device.opened()[0] for device in devices)
    for device in devices:
        device.publish(numbered(1))
        assert device.receive(4) == puback(1)
        assert device.delivered().payload == numbered(1)  # its own topic is among what it hears
    assert edge.metrics()["connected"] == 300
