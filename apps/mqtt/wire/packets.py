"""MQTT 3.1.1 and 5: the packets of a client as values and as bytes, and the answers that it gets.

Reading bytes, with every rule that they can break, is in ``decode``; what the codes mean, in ``reasons``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.mqtt.wire import properties as p
from apps.mqtt.wire import reasons
from apps.mqtt.wire.fields import frame, write_binary, write_text
from apps.mqtt.wire.properties import NONE, Properties

V4, V5 = 4, 5  # the protocol levels of 3.1.1 and 5
PINGRESP = b"\xd0\x00"


def _none() -> Properties:
    return NONE


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Connect:
    """``clean_session`` is 5's clean start: both forget what was, and differ in what is kept afterwards."""

    client_id: str
    keep_alive: int = 0
    clean_session: bool = True
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    version: int = V4
    properties: Properties = field(default_factory=_none)


@dataclass(slots=True)  # one for each message: a frozen one takes three times as long to make
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int | None = None
    retain: bool = False
    dup: bool = False
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class PubAck:
    packet_id: int
    reason: int = reasons.SUCCESS
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Each filter with its options: bits 0-1 quality of service, and in 5: no local, retain as published, handling."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class PingReq:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    reason: int = reasons.SUCCESS
    properties: Properties = field(default_factory=_none)


Packet = Connect | Publish | PubAck | Subscribe | Unsubscribe | PingReq | Disconnect


def connack(code: int, version: int = V4, *, present: bool = False, properties: Properties = NONE) -> bytes:
    """``code`` is a return code in 3.1.1 and a reason in 5."""
    return frame(0x20, bytes((present, code)) + _properties(properties, version))


def puback(packet_id: int, reason: int = reasons.SUCCESS) -> bytes:
    """The same in both versions while all is well; a reason can only be told in 5."""
    if reason:
        return b"\x40\x03" + packet_id.to_bytes(2, "big") + bytes((reason,))
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def suback(packet_id: int, codes: bytes, version: int = V4) -> bytes:
    return frame(0x90, packet_id.to_bytes(2, "big") + _properties(NONE, version) + codes)


def unsuback(packet_id: int, codes: bytes = b"", version: int = V4) -> bytes:
    """3.1.1 answers without codes."""
    return frame(0xB0, packet_id.to_bytes(2, "big") + (b"\0" + codes if version == V5 else b""))


def encode(packet: Packet, version: int = V4) -> bytes:
    """A packet as bytes: what the probe sends, what subscribers get, and how a server of 5 says goodbye."""
    match packet:
        case Connect():
            return _encode_connect(packet)
        case Publish():
            first = 0x30 | packet.dup << 3 | packet.qos << 1 | packet.retain
            number = packet.packet_id.to_bytes(2, "big") if packet.packet_id is not None else b""
            head = write_text(packet.topic) + number + _properties(packet.properties, version)
            return frame(first, head + packet.payload)
        case PubAck(packet_id, reason):
            return puback(packet_id, reason)
        case Subscribe(packet_id, filters, properties):
            body = b"".join(write_text(name) + bytes((options,)) for name, options in filters)
            return frame(0x82, packet_id.to_bytes(2, "big") + _properties(properties, version) + body)
        case Unsubscribe(packet_id, names, properties):
            body = b"".join(map(write_text, names))
            return frame(0xA2, packet_id.to_bytes(2, "big") + _properties(properties, version) + body)
        case PingReq():
            return b"\xc0\x00"
        case Disconnect(reason, properties):
            told = version == V5 and (reason or properties)
            return frame(0xE0, bytes((reason,)) + p.write(properties)) if told else b"\xe0\x00"


def _properties(properties: Properties, version: int) -> bytes:
    return p.write(properties) if version == V5 else b""


def _encode_connect(packet: Connect) -> bytes:
    flags, tail = packet.clean_session << 1, write_text(packet.client_id)
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        tail += _properties(packet.will.properties, packet.version)
        tail += write_text(packet.will.topic) + write_binary(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
        tail += write_text(packet.username)
    if packet.password is not None:
        flags |= 0x40
        tail += write_binary(packet.password)
    head = b"\x00\x04MQTT" + bytes((packet.version, flags)) + packet.keep_alive.to_bytes(2, "big")
    return frame(0x10, head + _properties(packet.properties, packet.version) + tail)
