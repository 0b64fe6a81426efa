"""MQTT 3.1.1 from the wire: a stream of bytes cut into packets, or the reason why it is none.

Everything that a peer can get wrong in the format is found here; nothing here knows a socket, a device or a rule of
ours. A size is checked as soon as its length field is read, before a byte of the body is kept or parsed.
"""

from __future__ import annotations

from collections.abc import Callable

from apps.mqtt.packets import Connect, Disconnect, Packet, PingReq, PubAck, Publish, Subscribe, Unsubscribe, Will


class Malformed(Exception):
    """The peer broke the protocol; the connection can only be closed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class WrongVersion(Malformed):
    """A CONNECT of another protocol version, which is owed one CONNACK before the close."""


class Decoder:
    """Cuts a stream of bytes into packets; holds at most one chunk and one packet that is not whole."""

    __slots__ = ("_at", "_buffer", "_max_packet_bytes")

    def __init__(self, max_packet_bytes: int) -> None:
        self._max_packet_bytes = max_packet_bytes
        self._buffer = b""
        self._at = 0

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
            raise Malformed(f"a packet of {at - start + length} bytes is over the limit of {self._max_packet_bytes}")
        if end - at < length:
            return None
        self._at = at + length
        return parse(buffer[start], buffer[at : at + length])


class _Body:
    """Reads the fields of one packet in order; running out of bytes is Malformed."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, body: bytes) -> None:
        self._bytes = body
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._bytes[self._at : self._at + count]
        if len(taken) < count:
            raise Malformed("a field ends after its packet does")
        self._at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return _text(self.binary())

    def packet_id(self) -> int:
        return _packet_id(self.number())

    def more(self) -> bool:
        return self._at < len(self._bytes)

    def end(self) -> None:
        if self.more():
            raise Malformed("bytes are left over after the last field")


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None
    if "\0" in text:
        raise Malformed("a string contains NUL")
    return text


def _packet_id(number: int) -> int:
    if not number:
        raise Malformed("packet id 0 is not allowed")
    return number


def _topic(name: str) -> str:
    if not name or "+" in name or "#" in name:
        raise Malformed("a topic to publish on must be named, without wildcards")
    return name


def _parse_connect(first: int, raw: bytes) -> Connect:
    body = _Body(raw)
    name, level = body.text(), body.byte()
    if (name, level) != ("MQTT", 4):
        if name in ("MQTT", "MQIsdp"):
            raise WrongVersion(f"protocol {name} level {level} is not MQTT 3.1.1")
        raise Malformed(f"{name[:20]!r} is not the name of the MQTT protocol")
    flags, keep_alive = body.byte(), body.number()
    has_will, will_qos = bool(flags & 0x04), flags >> 3 & 3
    if flags & 0x01 or will_qos == 3 or (not has_will and flags & 0x38) or (flags & 0x40 and not flags & 0x80):
        raise Malformed(f"the connect flags 0x{flags:02x} contradict each other")
    client_id = body.text()
    will = Will(_topic(body.text()), body.binary(), will_qos, bool(flags & 0x20)) if has_will else None
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    body.end()
    return Connect(client_id, keep_alive, bool(flags & 0x02), will, username, password)


def _parse_publish(first: int, raw: bytes) -> Publish:
    # The one packet of the hot path: read by slices, without a _Body.
    if len(raw) < 2:
        raise Malformed("a field ends after its packet does")
    qos = first >> 1 & 3
    at = 2 + (raw[0] << 8 | raw[1])
    payload_at = at + 2 if qos else at
    if payload_at > len(raw):
        raise Malformed("a field ends after its packet does")
    topic = _topic(_text(raw[2:at]))
    packet_id = _packet_id(raw[at] << 8 | raw[at + 1]) if qos else None
    return Publish(topic, raw[payload_at:], qos, packet_id, bool(first & 1), bool(first & 8))


def _parse_puback(first: int, raw: bytes) -> PubAck:
    body = _Body(raw)
    packet = PubAck(body.packet_id())
    body.end()
    return packet


def _filter(name: str) -> str:
    levels = name.split("/")
    if not name or "#" in levels[:-1] or any(len(level) > 1 and ("#" in level or "+" in level) for level in levels):
        raise Malformed(f"{name[:80]!r} is not a topic filter")
    return name


def _parse_subscribe(first: int, raw: bytes) -> Subscribe:
    body, filters = _Body(raw), []
    packet_id = body.packet_id()
    while body.more():
        name, qos = _filter(body.text()), body.byte()
        if qos > 2:
            raise Malformed(f"0x{qos:02x} is not a quality of service")
        filters.append((name, qos))
    if not filters:
        raise Malformed("a SUBSCRIBE names no filter")
    return Subscribe(packet_id, tuple(filters))


def _parse_unsubscribe(first: int, raw: bytes) -> Unsubscribe:
    body, filters = _Body(raw), []
    packet_id = body.packet_id()
    while body.more():
        filters.append(_filter(body.text()))
    if not filters:
        raise Malformed("an UNSUBSCRIBE names no filter")
    return Unsubscribe(packet_id, tuple(filters))


def _parse_pingreq(first: int, raw: bytes) -> PingReq:
    _Body(raw).end()
    return PingReq()


def _parse_disconnect(first: int, raw: bytes) -> Disconnect:
    _Body(raw).end()
    return Disconnect()


# By first byte, type and flags together: what is not listed may not be sent by a client
# (QoS 3, DUP with QoS 0, wrong reserved bits, a server's packet, or the QoS 2 handshake that is never opened).
PARSERS: dict[int, Callable[[int, bytes], Packet]] = {
    0x10: _parse_connect,
    **dict.fromkeys((0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B, 0x34, 0x35, 0x3C, 0x3D), _parse_publish),
    0x40: _parse_puback,
    0x82: _parse_subscribe,
    0xA2: _parse_unsubscribe,
    0xC0: _parse_pingreq,
    0xE0: _parse_disconnect,
}
