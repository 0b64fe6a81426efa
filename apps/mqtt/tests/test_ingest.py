"""The running application as a device meets it: what is acknowledged, refused, closed, and when."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.tests.test_decode import BAD
from apps.mqtt.wire.packets import Connect, Disconnect, PingReq, Publish, connack, encode, puback


def test_a_foreign_client_publishes_and_a_reader_sees_the_newest(edge: Edge) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "press-7")
    client.connect("127.0.0.1", edge.mqtt)
    client.loop_start()
    sent = [client.publish("f/BOS/press-7/t", numbered(seq, seq * 1.5), qos=1) for seq in range(100)]
    for message in sent:
        message.wait_for_publish(20)
    client.disconnect()
    client.loop_stop()
    status, latest = edge.get("/v1/devices/press-7/latest")
    assert (status, latest["seq"], latest["reading"]) == (200, 99, 148.5)
    assert [row["seq"] for row in edge.readings()] == list(range(100))
    counts = edge.metrics()
    assert counts["committed"] == counts["puback_total"] == counts["stored"] == 100
    assert counts["commit_latency_seconds_count"] == counts["batch_size_count"] > 0
    assert counts["batch_size_sum"] == 100


def test_quality_of_service_0_is_kept_and_not_answered(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    device.publish(numbered(1), None)
    device.send(encode(PingReq()))
    assert device.receive(2) == b"\xd0\x00"
    until(lambda: edge.metrics()["committed"] == 1)
    assert edge.metrics()["puback_total"] == 0


@pytest.mark.parametrize(("text", "what"), BAD, ids=[what for _, what in BAD])
def test_malformed_input_closes_its_connection_and_no_other(shared: Edge, text: str, what: str) -> None:
    bystander = Device(shared.mqtt, "bystander").connected()
    before = shared.metrics()
    broken = Device(shared.mqtt, "broken").connected()
    broken.send(bytes.fromhex(text))
    assert broken.is_closed_by_peer()
    bystander.publish(b"2", 9)
    assert bystander.receive(4) == puback(9)
    assert shared.metrics()["protocol_errors"] == before["protocol_errors"] + 1
    bystander.close()


@pytest.mark.parametrize(
    "first",
    [encode(Publish("f/BOS/d1/t", b"1")), encode(PingReq()), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"],
)
def test_what_comes_before_a_connect_is_refused(shared: Edge, first: bytes) -> None:
    before = shared.metrics()["publishes_received"]
    device = Device(shared.mqtt, connect=False)
    device.send(first)
    assert device.is_closed_by_peer()
    assert shared.metrics()["publishes_received"] == before


def test_a_second_connect_on_one_connection_is_refused(shared: Edge) -> None:
    device = Device(shared.mqtt).connected()
    device.send(encode(Connect("d1")))
    assert device.is_closed_by_peer()


def test_another_version_of_the_protocol_is_told_so(shared: Edge) -> None:
    device = Device(shared.mqtt, connect=False)
    device.send(bytes.fromhex("10 0e 0004 4d515454 06 02 003c 00 0001 61"))
    assert device.receive(4) == connack(1)
    assert device.is_closed_by_peer()


@pytest.mark.parametrize("name", ["", "a/b", "#", "x" * 65, "ä", "a b"])
def test_a_client_id_that_is_no_device_id_is_refused(shared: Edge, name: str) -> None:
    device = Device(shared.mqtt, name)
    assert device.receive(4) == connack(2)
    assert device.is_closed_by_peer()


@pytest.mark.parametrize(
    "packet",
    [
        Publish("f/BOS/d2/t", numbered(1), 1, 1),
        Publish("f/DFW/d1/t", numbered(1), 1, 1),
        Publish("f/BOS/d1/cmd", numbered(1), 1, 1),
        Publish("f/BOS/d1", numbered(1), 1, 1),
        Publish("/f/BOS/d1/t", numbered(1), 0),
        Publish("f/BOS/d1/t", numbered(1), 2, 1),
    ],
)
def test_another_topic_and_quality_of_service_2_close_the_connection_and_store_nothing(
    shared: Edge, packet: Publish
) -> None:
    before = shared.metrics()
    device = Device(shared.mqtt).connected()
    device.send(encode(packet) + encode(Publish("f/BOS/d1/t", numbered(2), 1, 2)))
    assert device.is_closed_by_peer()
    after = shared.metrics()
    assert after["refused"] == before["refused"] + 1
    assert after["publishes_received"] == before["publishes_received"] + 1  # what follows the refusal is not read
    assert after["stored"] == before["stored"]


def test_an_unreadable_payload_is_acknowledged_once_it_is_in_quarantine(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    device.publish(b'{"reading": NaN, "seq": 1}', 5)
    assert device.receive(4) == puback(5)
    counts = edge.metrics()
    assert (counts["quarantined"], counts["committed"], counts["stored"]) == (1, 0, 0)
    assert edge.get("/v1/devices/d1/latest")[0] == 404


def test_a_reading_sent_again_is_acknowledged_again_and_stored_once(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    for packet_id, dup in ((1, False), (1, True), (2, False)):
        device.publish(numbered(7), packet_id, dup=dup)
        assert device.receive(4) == puback(packet_id)
    counts = edge.metrics()
    assert (counts["committed"], counts["duplicates"], len(edge.readings())) == (1, 2, 1)


def test_bare_integers_are_stored_as_often_as_they_come(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    for packet_id, dup in ((1, False), (1, True)):
        device.publish(b"42", packet_id, dup=dup)
        assert device.receive(4) == puback(packet_id)
    assert [(row["reading"], row["seq"]) for row in edge.readings()] == [(42, None), (42, None)]


def test_without_a_connect_or_a_sign_of_life_a_connection_is_closed(edge: Edge) -> None:
    mute = Device(edge.mqtt, connect=False)
    half = Device(edge.mqtt, connect=False)
    half.send(encode(Connect("half"))[:-1])
    silent = Device(edge.mqtt, "silent", keep_alive=1).connected()
    alive = Device(edge.mqtt, "alive", keep_alive=1).connected()
    for _ in range(8):
        time.sleep(0.3)
        alive.send(encode(PingReq()))
        assert alive.receive(2) == b"\xd0\x00"
    assert mute.is_closed_by_peer()
    assert half.is_closed_by_peer()
    assert silent.is_closed_by_peer()
    assert edge.metrics()["connected"] == 1


def test_a_second_connection_of_a_device_replaces_the_first(edge: Edge) -> None:
    first = Device(edge.mqtt).connected()
    second = Device(edge.mqtt).connected()
    assert first.is_closed_by_peer()
    second.publish(numbered(1))
    assert second.receive(4) == puback(1)
    assert edge.metrics()["connected"] == 1
    second.send(encode(Disconnect()))
    assert second.is_closed_by_peer()
    until(lambda: edge.metrics()["connected"] == 0)


def test_connected_seconds_grow_by_as_many_devices_as_there_are_and_keep_what_they_have(edge: Edge) -> None:
    assert edge.metrics()["connected_seconds"] == 0
    three = [Device(edge.mqtt, f"d{number}").connected() for number in range(3)]
    began, before = time.monotonic(), edge.metrics()["connected_seconds"]
    until(lambda: edge.metrics()["connected_seconds"] >= before + 1.5)
    assert 3 * (time.monotonic() - began) >= 1.5, "no faster than three devices' time"
    for device in three:
        device.close()
    until(lambda: edge.metrics()["connected"] == 0)
    kept = edge.metrics()["connected_seconds"]
    assert kept >= before + 1.5
    assert edge.metrics()["connected_seconds"] == kept


def test_connections_beyond_the_bound_are_closed(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(max_connections=3).start()
    held = [Device(edge.mqtt, f"d{number}").connected() for number in range(3)]
    assert Device(edge.mqtt, "one-too-many").is_closed_by_peer()
    held[0].close()
    until(lambda: edge.metrics()["connected"] == 2)
    Device(edge.mqtt, "d3").connected()


def test_a_device_that_ends_its_side_still_gets_its_answers(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    for packet_id in range(1, 51):
        device.publish(numbered(packet_id), packet_id)
    device.peer.shutdown(socket.SHUT_WR)
    answers = device.receive(200)
    assert answers == b"".join(map(puback, range(1, 51)))
    assert device.is_closed_by_peer()


def test_a_device_that_reads_no_answers_is_not_read_either(edge: Edge) -> None:
    deaf = Device(edge.mqtt, "deaf").connected()
    deaf.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.peer.settimeout(1)
    flood = encode(PingReq()) * 100_000
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            deaf.send(flood)
    other = Device(edge.mqtt, "other").connected()
    other.publish(numbered(1))
    assert other.receive(4) == puback(1)
