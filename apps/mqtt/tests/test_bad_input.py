"""The contract of bad input, row by row: what each does, and that nothing else is touched by it.

Certificates are the balancer's; what the far store refuses is in ``test_forward``, foreign commands in ``test_down``.
"""

from __future__ import annotations

import random
import socket
import sqlite3
from collections.abc import Callable

import pytest

from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.wire.packets import V5, Connect, Publish, encode, puback

POISON = [
    (b"", "the payload is neither a JSON object nor an integer"),
    (b"\xff\xfe", "the payload is not UTF-8"),
    (b"warm", "the payload is neither a JSON object nor an integer"),
    (b"[1]", "the payload is neither a JSON object nor an integer"),
    (b'{"seq": 1}', "reading is missing"),
    (b'{"reading": NaN, "seq": 1}', "NaN is not a number that JSON knows"),
    (b'{"reading": -Infinity, "seq": 1}', "-Infinity is not a number that JSON knows"),
    (b'{"reading": 1e999, "seq": 1}', "reading is not finite"),
    (b'{"reading": "21", "seq": 1}', "reading is not a number"),
    (b'{"reading": true, "seq": 1}', "reading is not a number"),
    (b'{"reading": 1, "seq": 9223372036854775808}', "seq is not between 0 and 9223372036854775807"),
    (b"9999999999999999999", "the integer is over 64 bits"),
    (b'{"reading": ' + b"[" * 5000 + b"]" * 5000 + b"}", "the payload is nested too deeply"),
    (b'{"reading": 1, "reading": 2, "seq": 1}', "a member appears twice"),
    (b'{"reading": 1, "seq": 1, "ts": 999999999999999}', "ts is not between 0 and 253402300799999"),
    (b'{"reading": 1, "seq": 1, "colour": "red"}', "the member 'colour' is not known"),
]


@pytest.mark.parametrize(("payload", "reason"), POISON, ids=[str(number) for number in range(len(POISON))])
def test_poison_is_quarantined_on_disk_and_then_acknowledged_and_the_next_is_taken(
    shared: Edge, payload: bytes, reason: str
) -> None:
    device = Device(shared.mqtt, "poison").connected()
    device.publish(payload, 7)
    assert device.receive(4) == puback(7)
    with sqlite3.connect(shared.data / FILE) as db:
        row = db.execute(
            "SELECT device, topic, reason, payload, payload_bytes FROM quarantine ORDER BY n DESC"
        ).fetchone()
    assert row == ("poison", "f/BOS/poison/t", reason, payload[:4096], len(payload))
    device.publish(b"1", 8)
    assert device.receive(4) == puback(8)


def test_poison_survives_kill_9_as_surely_as_a_reading(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    device.publish(b"poison", 1)
    assert device.receive(4) == puback(1)
    edge.kill()
    with sqlite3.connect(edge.data / FILE) as db:
        assert db.execute("SELECT payload FROM quarantine").fetchall() == [(b"poison",)]


def test_an_oversize_packet_ends_its_connection_before_its_body_came(shared: Edge) -> None:
    before = shared.metrics()
    for version in (4, V5):
        device = Device(shared.mqtt, "large", version=version)
        assert device.opened()[1] == 0
        device.send(b"\x32\x81\x80\x01")  # 16,385 bytes are to follow
        assert device.packet() == ((0xE0, b"\x95\0") if version == V5 else (0, b""))
    after = shared.metrics()
    assert (after["protocol_errors"], after["stored"]) == (before["protocol_errors"] + 2, before["stored"])


def test_a_full_store_is_told_by_5_and_answers_no_message(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(max_store_bytes=60 * 4096, max_in_flight=10).start()
    device = Device(edge.mqtt).connected()
    filler = b'{"reading": 1, "seq": %d' + b" " * 4000 + b"}"
    acknowledged = 0
    for seq in range(1, 200):
        device.publish(filler % seq, seq)
    until(lambda: edge.get("/ready")[0] == 503)
    assert Device(edge.mqtt, "d2", version=V5).opened()[1] == 0x97
    assert Device(edge.mqtt, "d3").opened()[1] == 3
    assert edge.get("/v1/devices/d1/latest")[0] == 200  # reads go on
    assert edge.get("/live")[0] == 200
    device.peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while device.receive(4):
            acknowledged += 1
    assert acknowledged == edge.metrics()["stored"]


def test_three_hundred_ways_to_break_a_packet_end_no_other_connection(shared: Edge) -> None:
    bystander = Device(shared.mqtt, "bystander").connected()
    chance = random.Random(7)
    whole = [
        encode(Connect("fuzz", 10, version=V5, properties={"session_expiry": 5})),
        encode(Publish("f/BOS/fuzz/t", numbered(1), 1, 1, properties={"content_type": "x"}), V5),
        encode(Publish("f/BOS/fuzz/s", b"on", 0, None), V5),
    ]
    for _ in range(300):
        broken = bytearray(b"".join(whole * 3))
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with socket.create_connection(("127.0.0.1", shared.mqtt), 10) as peer:
            peer.sendall(bytes(broken))
    bystander.publish(numbered(1), 3)
    assert bystander.receive(4) == puback(3)
    shared.metrics()  # both laws hold
    assert "Traceback" not in shared.log.read_text()
    assert not shared.events("connection_work_failed")


def test_a_trickle_of_bytes_is_no_sign_of_life(shared: Edge) -> None:
    """Half a packet, byte by byte, keeps a connection no longer than silence does."""
    slow = Device(shared.mqtt, "slow", keep_alive=1).connected()
    packet = encode(Publish(slow.topic, numbered(1) + b" " * 100, 1, 1))
    slow.peer.settimeout(0.3)
    sent = 0
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while sent < len(packet) - 1:
            slow.send(packet[sent : sent + 1])
            sent += 1
            try:
                if slow.peer.recv(1) == b"":
                    raise BrokenPipeError
            except TimeoutError:
                continue
    assert sent < 15
