"""The fields that MQTT packets are made of, read in order and written: numbers, strings, binaries, variable lengths."""

from __future__ import annotations

from apps.mqtt.wire import reasons


class Malformed(Exception):
    """The peer broke the protocol; the connection can only be closed. ``reason`` is what MQTT 5 lets us tell it."""

    def __init__(self, why: str, reason: int = reasons.MALFORMED) -> None:
        super().__init__(why)
        self.why = why
        self.reason = reason


class Fields:
    """Reads the fields of one packet; running out of bytes is Malformed."""

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

    def two(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def four(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise Malformed("a variable length has more than four bytes")

    def binary(self) -> bytes:
        return self.take(self.two())

    def text(self) -> str:
        return text(self.binary())

    def pair(self) -> tuple[str, str]:
        return self.text(), self.text()

    def packet_id(self) -> int:
        return packet_id(self.two())

    def rest(self) -> bytes:
        return self.take(len(self._bytes) - self._at)

    def more(self) -> bool:
        return self._at < len(self._bytes)

    def end(self) -> None:
        if self.more():
            raise Malformed("bytes are left over after the last field")


def text(raw: bytes) -> str:
    try:
        read = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None
    if "\0" in read:
        raise Malformed("a string contains NUL")
    return read


def packet_id(number: int) -> int:
    if not number:
        raise Malformed("packet id 0 is not allowed")
    return number


def write_binary(raw: bytes) -> bytes:
    return len(raw).to_bytes(2, "big") + raw


def write_text(words: str) -> bytes:
    return write_binary(words.encode("utf-8"))


def write_varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + write_varint(len(body)) + body
