"""MQTT 3.1.1: the packets of a client as values and as bytes, and the answers that it gets.

Reading bytes, with every rule that they can break, is in ``decode``.
"""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED, WRONG_VERSION, IDENTIFIER_REJECTED, UNAVAILABLE = 0, 1, 2, 3  # CONNACK return codes
SUBSCRIBE_FAILED = 0x80
PINGRESP = b"\xd0\x00"


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    client_id: str
    keep_alive: int = 0
    clean_session: bool = True
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int | None = None
    retain: bool = False
    dup: bool = False


@dataclass(frozen=True, slots=True)
class PubAck:
    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PingReq:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    pass


Packet = Connect | Publish | PubAck | Subscribe | Unsubscribe | PingReq | Disconnect


def connack(code: int) -> bytes:
    return bytes((0x20, 2, 0, code))


def puback(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def suback(packet_id: int, codes: bytes) -> bytes:
    return _frame(0x90, packet_id.to_bytes(2, "big") + codes)


def unsuback(packet_id: int) -> bytes:
    return b"\xb0\x02" + packet_id.to_bytes(2, "big")


def encode(packet: Packet) -> bytes:
    """A client's packet as bytes: what the probe sends."""
    match packet:
        case Connect():
            return _encode_connect(packet)
        case Publish(topic, payload, qos, packet_id, retain, dup):
            number = packet_id.to_bytes(2, "big") if packet_id is not None else b""
            return _frame(0x30 | dup << 3 | qos << 1 | retain, _string(topic) + number + payload)
        case PubAck(packet_id):
            return puback(packet_id)
        case Subscribe(packet_id, filters):
            body = b"".join(_string(name) + bytes((qos,)) for name, qos in filters)
            return _frame(0x82, packet_id.to_bytes(2, "big") + body)
        case Unsubscribe(packet_id, names):
            return _frame(0xA2, packet_id.to_bytes(2, "big") + b"".join(map(_string, names)))
        case PingReq():
            return b"\xc0\x00"
        case Disconnect():
            return b"\xe0\x00"


def _encode_connect(packet: Connect) -> bytes:
    flags, tail = packet.clean_session << 1, _string(packet.client_id)
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        tail += _string(packet.will.topic) + _binary(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
        tail += _string(packet.username)
    if packet.password is not None:
        flags |= 0x40
        tail += _binary(packet.password)
    return _frame(0x10, b"\x00\x04MQTT\x04" + bytes((flags,)) + packet.keep_alive.to_bytes(2, "big") + tail)


def _binary(raw: bytes) -> bytes:
    return len(raw).to_bytes(2, "big") + raw


def _string(text: str) -> bytes:
    return _binary(text.encode("utf-8"))


def _frame(first: int, body: bytes) -> bytes:
    length, header = len(body), bytearray((first,))
    while True:
        length, low = length >> 7, length & 0x7F
        header.append(low | 0x80 if length else low)
        if not length:
            return bytes(header) + body
