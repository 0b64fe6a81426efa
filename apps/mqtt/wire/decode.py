"""MQTT 3.1.1 and 5 from the wire: a stream of bytes cut into packets, or the reason why it is none.

Everything that a peer can get wrong in the format is found here and in the two files below it (``fields``,
``properties``); nothing here knows a socket, a device or a rule of ours. A size is checked as soon as its length field
is read, before a byte of the body is kept or parsed.
"""

from __future__ import annotations

from collections.abc import Callable

from apps.mqtt.wire import properties, reasons
from apps.mqtt.wire.fields import Fields, Malformed, packet_id, text
from apps.mqtt.wire.packets import (
    V4,
    V5,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)  # fmt: skip
from apps.mqtt.wire.properties import NONE, Properties

__all__ = ["Decoder", "Malformed", "WrongVersion"]


class WrongVersion(Malformed):
    """A CONNECT of another protocol version, which is owed one CONNACK before the close."""


class Decoder:
    """Cuts a stream of bytes into packets; holds at most one chunk and one packet that is not whole.

    ``version`` is what the CONNECT said; until it came, packets are read as those of 3.1.1.
    """

    __slots__ = ("_at", "_buffer", "_max_packet_bytes", "version")

    def __init__(self, max_packet_bytes: int, version: int = V4) -> None:
        self._max_packet_bytes = max_packet_bytes
        self._buffer = b""
        self._at = 0
        self.version = version

    def feed(self, chunk: bytes) -> None:
        self._buffer = self._buffer[self._at :] + chunk if self._at < len(self._buffer) else chunk
        self._at = 0

    def next_packet(self) -> Packet | None:
        """The next whole packet, or None until more bytes come. Raises Malformed as early as it can be known."""
        buffer, start = self._buffer, self._at
        end = len(buffer)
        if start == end:
            return None
        parse = PARSERS.get(buffer[start])
        if parse is None:
            raise Malformed(f"0x{buffer[start]:02x} opens no packet that a client may send")
        length, shift, at = 0, 0, start + 1
        while True:
            if at == end:
                return None
            byte = buffer[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
            shift += 7
            if shift > 21:
                raise Malformed("the remaining length has more than four bytes")
        if at - start + length > self._max_packet_bytes:
            size = at - start + length
            why = f"a packet of {size} bytes is over the limit of {self._max_packet_bytes}"
            raise Malformed(why, reasons.TOO_LARGE)
        if end - at < length:
            return None
        self._at = at + length
        packet = parse(buffer[start], buffer[at : at + length], self.version)
        if type(packet) is Connect:
            self.version = packet.version
        return packet


def _topic(name: str) -> str:
    if not name or "+" in name or "#" in name:
        raise Malformed("a topic to publish on must be named, without wildcards")
    return name


def _parse_connect(first: int, raw: bytes, version: int) -> Connect:
    body = Fields(raw)
    name, level = body.text(), body.byte()
    if name != "MQTT" or level not in (V4, V5):
        if name in ("MQTT", "MQIsdp"):
            raise WrongVersion(
                f"protocol {name} level {level} is neither MQTT 3.1.1 nor 5", reasons.UNSUPPORTED_VERSION
            )
        raise Malformed(f"{name[:20]!r} is not the name of the MQTT protocol")
    flags, keep_alive = body.byte(), body.two()
    has_will, will_qos = bool(flags & 0x04), flags >> 3 & 3
    lone_password = level == V4 and flags & 0x40 and not flags & 0x80
    if flags & 0x01 or will_qos == 3 or (not has_will and flags & 0x38) or lone_password:
        raise Malformed(f"the connect flags 0x{flags:02x} contradict each other")
    told = properties.read(body, "connect") if level == V5 else NONE
    client_id = body.text()
    will = None
    if has_will:
        will_told = properties.read(body, "will") if level == V5 else NONE
        will = Will(_topic(body.text()), body.binary(), will_qos, bool(flags & 0x20), will_told)
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    body.end()
    return Connect(client_id, keep_alive, bool(flags & 0x02), will, username, password, level, told)


def _parse_publish(first: int, raw: bytes, version: int) -> Publish:
    # The one packet of the hot path: read by slices, without Fields where it can be helped.
    if len(raw) < 2:
        raise Malformed("a field ends after its packet does")
    qos = first >> 1 & 3
    at = 2 + (raw[0] << 8 | raw[1])
    payload_at = at + 2 if qos else at
    if payload_at > len(raw):
        raise Malformed("a field ends after its packet does")
    name = text(raw[2:at])
    number = packet_id(raw[at] << 8 | raw[at + 1]) if qos else None
    told: Properties = NONE
    payload = raw[payload_at:]
    if version == V5:
        if payload[:1] == b"\0":
            payload = payload[1:]
        else:
            body = Fields(payload)
            told = properties.read(body, "publish")
            payload = body.rest()
            if "topic_alias" in told:
                raise Malformed("no topic alias was offered", reasons.TOPIC_ALIAS_INVALID)
            if "subscription_identifier" in told:
                raise Malformed("a client's PUBLISH names a subscription identifier", reasons.PROTOCOL_ERROR)
    return Publish(_topic(name), payload, qos, number, bool(first & 1), bool(first & 8), told)


def _parse_puback(first: int, raw: bytes, version: int) -> PubAck:
    body = Fields(raw)
    number = body.packet_id()
    reason = body.byte() if version == V5 and body.more() else reasons.SUCCESS
    told = properties.read(body, "puback") if version == V5 and body.more() else NONE
    body.end()
    return PubAck(number, reason, told)


def _filter(name: str) -> str:
    levels = name.split("/")
    if not name or "#" in levels[:-1] or any(len(level) > 1 and ("#" in level or "+" in level) for level in levels):
        raise Malformed(f"{name[:80]!r} is not a topic filter")
    return name


def _parse_subscribe(first: int, raw: bytes, version: int) -> Subscribe:
    body, filters = Fields(raw), []
    number = body.packet_id()
    told = properties.read(body, "subscribe") if version == V5 else NONE
    while body.more():
        name, options = _filter(body.text()), body.byte()
        if options & 3 == 3 or options > (2 if version == V4 else 0x2E):
            raise Malformed(f"0x{options:02x} is not a quality of service, nor options of a subscription")
        filters.append((name, options))
    if not filters:
        raise Malformed("a SUBSCRIBE names no filter", reasons.PROTOCOL_ERROR)
    return Subscribe(number, tuple(filters), told)


def _parse_unsubscribe(first: int, raw: bytes, version: int) -> Unsubscribe:
    body, filters = Fields(raw), []
    number = body.packet_id()
    told = properties.read(body, "unsubscribe") if version == V5 else NONE
    while body.more():
        filters.append(_filter(body.text()))
    if not filters:
        raise Malformed("an UNSUBSCRIBE names no filter", reasons.PROTOCOL_ERROR)
    return Unsubscribe(number, tuple(filters), told)


def _parse_pingreq(first: int, raw: bytes, version: int) -> PingReq:
    Fields(raw).end()
    return PingReq()


def _parse_disconnect(first: int, raw: bytes, version: int) -> Disconnect:
    body = Fields(raw)
    reason = body.byte() if version == V5 and body.more() else reasons.SUCCESS
    told = properties.read(body, "disconnect") if version == V5 and body.more() else NONE
    body.end()
    return Disconnect(reason, told)


# By first byte, type and flags together: what is not listed may not be sent by a client
# (QoS 3, DUP with QoS 0, wrong reserved bits, a server's packet, AUTH without a method, or the QoS 2 handshake that is
# never opened).
PARSERS: dict[int, Callable[[int, bytes, int], Packet]] = {
    0x10: _parse_connect,
    **dict.fromkeys((0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B, 0x34, 0x35, 0x3C, 0x3D), _parse_publish),
    0x40: _parse_puback,
    0x82: _parse_subscribe,
    0xA2: _parse_unsubscribe,
    0xC0: _parse_pingreq,
    0xE0: _parse_disconnect,
}
