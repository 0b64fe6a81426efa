"""Who a device is says the balancer, in the header of the PROXY protocol, and nobody else is believed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import ROOT, Edge
from apps.mqtt.wire import proxy
from apps.mqtt.wire.fields import Malformed
from apps.mqtt.wire.packets import V5, Connect, Publish, connack, encode, puback

ADDRESSES = bytes([127, 0, 0, 1, 127, 0, 0, 1, 0x30, 0x39, 0x22, 0xB3])


def value(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + len(content).to_bytes(2, "big") + content


def header(name: bytes | None, *, bits: int = 0x07, verify: int = 0, command: int = 0x21, more: bytes = b"") -> bytes:
    names = value(proxy.COMMON_NAME, name) if name is not None else b""
    tls = value(proxy.TLS, bytes((bits,)) + verify.to_bytes(4, "big") + value(0x21, b"TLSv1.3") + names)
    body = ADDRESSES + tls + more
    return proxy.SIGNATURE + bytes((command, 0x11)) + len(body).to_bytes(2, "big") + body


def test_the_name_of_a_verified_certificate_is_read() -> None:
    raw = header(b"press-1", more=value(0x04, b"padding"))
    assert proxy.read(raw + b"\x10\x0c") == proxy.Header(len(raw), "press-1")


@pytest.mark.parametrize(
    "raw",
    [
        header(None),
        header(b"press-1", bits=0x01),  # TLS, and no certificate
        header(b"press-1", bits=0x06),  # no TLS
        header(b"press-1", verify=18),  # self-signed
        header(b"press-1", command=0x20),  # the balancer speaks for itself
    ],
)
def test_without_a_verified_certificate_there_is_no_name(raw: bytes) -> None:
    assert proxy.read(raw) == proxy.Header(len(raw), None)


def test_a_header_is_whole_or_waited_for() -> None:
    raw = header(b"press-1")
    assert all(proxy.begins(raw[:end]) and proxy.read(raw[:end]) is None for end in range(len(raw)))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (proxy.SIGNATURE + b"\x21\x11\xff\xff", "over the limit"),
        (proxy.SIGNATURE + b"\x11\x11\0\0", "not of version 2"),
        (proxy.SIGNATURE + b"\x21\x11\0\x04abcd", "not of version 2"),
        (header(b"a", more=b"\x05\0\x09x"), "ends after the header"),
        (header(b"\xff"), "not UTF-8"),
        (proxy.SIGNATURE + b"\x21\x11\0\x13" + ADDRESSES + value(proxy.TLS, b"\7\0\0\0"), "is too short"),
    ],
)
def test_a_broken_header_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        proxy.read(raw)


KINDS = some.sampled_from((proxy.TLS, proxy.COMMON_NAME, 0x04))
VALUES = some.builds(value, KINDS, some.binary(max_size=8) | some.builds(value, KINDS, some.binary(max_size=8)))


@given(
    some.binary(max_size=40) | some.lists(VALUES).map(lambda told: ADDRESSES + b"".join(told)), some.integers(0, 255)
)
@example(ADDRESSES + value(proxy.TLS, b""), 0x21)
def test_no_header_does_worse_than_being_refused(body: bytes, command: int) -> None:
    for told in (command, 0x21):
        try:
            proxy.read(proxy.SIGNATURE + bytes((told, 0x11)) + len(body).to_bytes(2, "big") + body)
        except Malformed as broken:
            assert broken.why


def come(edge: Edge, client: str, raw: bytes, source: str = "127.0.0.1", version: int = V5) -> Device:
    """A connection from ``source`` that begins with ``raw``."""
    device = Device(edge.mqtt, client, connect=False, version=version)
    device.peer.close()
    device.peer = socket.create_connection(("127.0.0.1", edge.mqtt), 20, source_address=(source, 0))
    device.send(raw + encode(Connect(client, version=version)))
    return device


def test_a_device_comes_as_the_one_that_its_certificate_names(shared: Edge) -> None:
    device = come(shared, "press-1", header(b"press-1"))
    assert device.opened()[1] == 0
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    device.send(encode(Publish("f/BOS/press-2/t", numbered(1), 1, 2), V5))
    assert device.packet() == (0x40, b"\0\2\x87")


def test_a_header_that_arrives_byte_by_byte_is_the_same(shared: Edge) -> None:
    device = come(shared, "press-1", b"")
    device.close()
    device = Device(shared.mqtt, "press-1", connect=False)
    for byte in header(b"press-1") + encode(Connect("press-1")):
        device.send(bytes((byte,)))
    assert device.receive(4) == connack(0)


def test_who_comes_with_the_certificate_of_another_is_refused(shared: Edge) -> None:
    assert come(shared, "press-2", header(b"press-1")).opened()[1] == 0x87
    old = come(shared, "press-2", header(b"press-1"), version=4)
    assert old.receive(4) == connack(5)
    assert old.is_closed_by_peer()
    assert "press-2 comes with the certificate of 'press-1'" in shared.events("connect_refused")[-1]["why"]


def test_the_header_is_believed_from_a_balancer_of_the_zone_and_from_nobody_else(shared: Edge) -> None:
    forger = come(shared, "press-1", header(b"press-1"), source="127.0.0.2")
    assert forger.is_closed_by_peer()
    assert shared.events("protocol_error")[-1]["why"] == "0x0d opens no packet that a client may send"


def test_where_certificates_are_required_nobody_comes_without_one(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(certificates="required").start()
    assert come(edge, "press-1", header(b"press-1")).opened()[1] == 0
    assert come(edge, "press-2", header(None)).opened()[1] == 0x87
    assert come(edge, "press-2", b"").opened()[1] == 0x87
    assert come(edge, "press-2", b"", source="127.0.0.2").opened()[1] == 0x87
    assert edge.events("connect_refused")[-1]["why"] == "press-2 comes without a certificate"
    argv = [sys.executable, "-m", "apps.mqtt.probe", "--port", str(edge.mqtt), "--http", str(edge.http)]
    found = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert (found.returncode, json.loads(found.stdout)["ok"]) == (0, True)
