"""What only MQTT 5 has: reason codes, properties, expiry, flow control, options of a subscription."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.wire.packets import V5, Disconnect, PingReq, Publish, Subscribe, Unsubscribe, Will, encode
from apps.mqtt.wire.properties import Properties

ALL = "f/BOS/#"


def client(edge: Edge, name: str, **more: Any) -> Device:
    made = Device(edge.mqtt, name, version=V5, **more)
    assert made.opened()[1] == 0
    return made


def publish(device: Device, payload: bytes, properties: Properties, *, topic: str = "", packet_id: int = 4) -> bytes:
    """The body of the PUBACK."""
    device.send(encode(Publish(topic or device.topic, payload, 1, packet_id, properties=properties), V5))
    first, body = device.packet()
    assert first == 0x40
    return body


def nothing_comes(device: Device) -> bool:
    device.send(encode(PingReq()))
    return device.packet() == (0xD0, b"")


def test_a_connack_says_what_is_served(shared: Edge) -> None:
    assert Device(shared.mqtt, version=V5).opened() == (
        False, 0,
        {"receive_maximum": 200, "maximum_qos": 1, "identifiers_available": 0, "shared_available": 0,
         "maximum_packet_size": 16384},
    )  # fmt: skip
    _, _, told = Device(shared.mqtt, version=V5, properties={"session_expiry": 0xFFFFFFFF}).opened()
    assert told["session_expiry"] == 604_800  # for ever is more than is kept, and it is told so


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("", {}, 0x85),
        ("a/b", {}, 0x85),
        ("d1", {"properties": {"authentication_method": "SCRAM"}}, 0x8C),
        ("d1", {"will": Will("f/BOS/d2/s", b"")}, 0x87),
        ("d1", {"will": Will("f/BOS/d1/s", b"", 2)}, 0x9B),
    ],
)
def test_a_connect_is_refused_with_its_reason(shared: Edge, name: str, more: dict[str, Any], reason: int) -> None:
    device = Device(shared.mqtt, name, version=V5, **more)
    assert device.opened() == (False, reason, {})
    assert device.is_closed_by_peer()


def test_a_foreign_topic_is_refused_by_puback_and_the_connection_goes_on(edge: Edge) -> None:
    device = client(edge, "d1")
    assert publish(device, numbered(1), {}, topic="f/BOS/d2/t") == b"\0\4\x87"
    assert publish(device, numbered(1), {}) == b"\0\4"
    counts = edge.metrics()
    assert (counts["refused"], counts["stored"]) == (1, 1)


def test_an_unreadable_payload_is_told_so_after_it_is_in_quarantine(edge: Edge) -> None:
    device = client(edge, "d1")
    assert publish(device, b"garbage", {}) == b"\0\4\x99"
    assert edge.metrics()["quarantined"] == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (encode(Publish("f/BOS/d1/t", b"1", 2, 1), V5), 0x9B),
        (encode(Publish("f/BOS/d1/t", b"1", 1, 1, properties={"topic_alias": 1}), V5), 0x94),
        (encode(Publish("f/BOS/d1/t", b"1", 1, 1, properties={"subscription_identifier": 1}), V5), 0x82),
        (encode(Subscribe(1, (("f/BOS/d1/cmd", 1),), {"subscription_identifier": 1}), V5), 0xA1),
        (b"\x32\xff\xff\x7f", 0x95),
        (b"\x00\x00", 0x81),
        (b"\xf0\x00", 0x81),
        (bytes.fromhex("82 03 0001 00"), 0x82),
        (encode(Disconnect(0, {"session_expiry": 60}), V5), 0x82),
        (b"\xe0\x05\x00\x03\x21\x00\x01", 0x81),  # Receive Maximum belongs into no DISCONNECT
    ],
)
def test_what_is_no_way_to_behave_ends_with_a_disconnect_that_says_why(shared: Edge, raw: bytes, reason: int) -> None:
    device = client(shared, "d1")
    device.send(raw)
    assert device.packet() == (0xE0, bytes((reason, 0)))
    assert device.is_closed_by_peer()


def test_a_keep_alive_that_is_missed_and_a_second_connection_are_told(shared: Edge) -> None:
    silent = client(shared, "silent", keep_alive=1)
    assert silent.packet() == (0xE0, b"\x8d\0")
    first = client(shared, "twice")
    client(shared, "twice")
    assert first.packet() == (0xE0, b"\x8e\0")


def test_a_stop_is_told(edge: Edge) -> None:
    device = client(edge, "d1")
    assert edge.stop() == 0
    assert device.packet() == (0xE0, b"\x8b\0")


def test_properties_reach_the_subscriber_and_an_expiry_counts_down(edge: Edge) -> None:
    told: dict[str, Any] = {
        "payload_format": 1, "content_type": "application/json", "response_topic": "f/BOS/d1/r",
        "correlation": b"\0\1", "user_property": (("line", "3"), ("line", "4")), "message_expiry": 100,
    }  # fmt: skip
    later = client(edge, "watch-later", clean=False, properties={"session_expiry": 300})
    assert later.subscribe((ALL, 1)) == b"\1"
    later.close()
    eye = client(edge, "watch-1")
    eye.subscribe((ALL, 1))
    publish(client(edge, "d1"), numbered(1), told)
    got: dict[str, Any] = dict(eye.delivered().properties)
    assert 98 <= got.pop("message_expiry") <= 100
    assert got == {name: value for name, value in told.items() if name != "message_expiry"}
    time.sleep(1.1)
    later = Device(edge.mqtt, "watch-later", version=V5, clean=False)
    assert later.opened()[0] is True
    assert later.delivered().properties["message_expiry"] in (98, 99)


def test_a_message_that_expired_is_not_delivered_and_still_stored(edge: Edge) -> None:
    eye = client(edge, "watch-1", clean=False, properties={"session_expiry": 300})
    eye.subscribe((ALL, 1))
    eye.close()
    device = client(edge, "d1")
    publish(device, numbered(1), {"message_expiry": 1})
    publish(device, numbered(2), {})
    time.sleep(1.1)
    eye = Device(edge.mqtt, "watch-1", version=V5, clean=False)
    assert eye.opened()[0] is True
    assert eye.delivered().payload == numbered(2)
    assert edge.metrics()["stored"] == 2


def test_no_more_is_sent_than_the_client_said_it_takes(edge: Edge) -> None:
    eye = client(edge, "watch-1", properties={"receive_maximum": 3, "maximum_packet_size": 200})
    eye.subscribe((ALL, 1))
    device = client(edge, "d1")
    for seq in range(1, 11):
        publish(device, numbered(seq), {})
    publish(device, b'{"seq": 11, "reading": 1' + b" " * 200 + b"}", {})  # too large for it: as if delivered
    publish(device, numbered(12), {})
    held = [eye.delivered(ack=False) for _ in range(3)]
    assert nothing_comes(eye)
    assert held[0].packet_id is not None
    for message in held:
        eye.send(b"\x40\x02" + (message.packet_id or 0).to_bytes(2, "big"))
    got = held + [eye.delivered() for _ in range(8)]
    assert [message.payload for message in got] == [numbered(seq) for seq in (*range(1, 11), 12)]


def test_options_of_a_subscription(edge: Edge) -> None:
    device = client(edge, "d1")
    own = device.topic[:-1] + "s"
    device.send(encode(Publish(own, b"on", 1, 1, retain=True), V5))
    device.packet()
    no_local, as_published, only_new, never = 0x04, 0x08, 0x10, 0x20
    assert device.subscribe(("f/BOS/d1/#", 1 | no_local | never)) == b"\1"
    assert publish(device, numbered(1), {}) == b"\0\4"
    assert nothing_comes(device)  # neither what is retained nor what it published itself
    eye = client(edge, "watch-1")
    eye.subscribe((ALL, 1 | as_published | only_new))
    assert eye.delivered().payload == b"on"
    eye.subscribe((ALL, 1 | as_published | only_new), packet_id=2)
    assert nothing_comes(eye)  # it had it before
    device.send(encode(Publish(own, b"off", 1, 1, retain=True), V5))
    assert eye.delivered().retain is True


def test_an_unsubscribe_says_of_each_filter_whether_there_was_one(shared: Edge) -> None:
    device = client(shared, "d1")
    device.subscribe(("f/BOS/d1/#", 1))
    device.send(encode(Unsubscribe(7, ("f/BOS/d1/#", "f/BOS/d1/cmd")), V5))
    assert device.packet() == (0xB0, b"\0\7\0\0\x11")


def test_a_refused_subscription_says_why(shared: Edge) -> None:
    device = client(shared, "d1")
    assert device.subscribe(("f/BOS/d2/#", 1), ("$share/g/f/BOS/d1/#", 1)) == b"\x87\x9e"


def test_a_will_waits_for_its_delay_and_is_dropped_when_the_client_is_back(edge: Edge) -> None:
    eye = client(edge, "watch-1")
    eye.subscribe(("f/BOS/+/s", 1))
    kept = {"clean": False, "properties": {"session_expiry": 300}}
    back = client(edge, "back", will=Will("f/BOS/back/s", b"gone", 1, properties={"will_delay": 2}), **kept)
    away = client(edge, "away", will=Will("f/BOS/away/s", b"gone", 1, properties={"will_delay": 1}), **kept)
    began = time.monotonic()
    back.close()
    away.close()
    until(lambda: edge.metrics()["connected"] == 1)
    client(edge, "back", **kept)
    assert eye.delivered().topic == "f/BOS/away/s"
    assert time.monotonic() - began >= 1
    time.sleep(1.2)
    assert nothing_comes(eye)


def test_a_goodbye_may_ask_for_the_will(shared: Edge) -> None:
    eye = client(shared, "watch-1")
    eye.subscribe(("f/BOS/d9/s", 1))
    device = client(shared, "d9", will=Will("f/BOS/d9/s", b"gone", 1))
    device.send(encode(Disconnect(0x04), V5))
    assert eye.delivered().payload == b"gone"
