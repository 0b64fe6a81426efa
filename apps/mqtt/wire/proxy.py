"""The PROXY protocol, version 2: what the balancer says of a connection before its first byte. Pure.

Only one thing of it is used here: the name in the certificate that the balancer has verified. Who is believed is the
connection's to know. The header begins with bytes that no packet of MQTT begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.mqtt.wire.fields import Malformed

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST = 4096  # bytes that a balancer of ours has no use for
ADDRESSES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}  # bytes of both, by family: none, IPv4, IPv6, Unix
LOCAL, PROXIED = 0x20, 0x21
TLS, COMMON_NAME = 0x20, 0x22  # types of values, the second within the first
OVER_TLS, WITH_CERTIFICATE = 0x01, 0x06  # bits: on this connection, or in the session that it resumed


@dataclass(frozen=True, slots=True)
class Header:
    """``name`` is None where the client showed no certificate, or none that was found good."""

    length: int
    name: str | None


def begins(raw: bytes) -> bool:
    """Whether this may be, or become, a header."""
    return raw[: len(SIGNATURE)] == SIGNATURE[: len(raw)]


def read(raw: bytes) -> Header | None:
    """The header at the beginning of ``raw``, None until more bytes come. Raises Malformed."""
    if len(raw) < 16:
        return None
    length = 16 + int.from_bytes(raw[14:16], "big")
    if length > LONGEST:
        raise Malformed(f"a PROXY header of {length} bytes is over the limit of {LONGEST}")
    if len(raw) < length:
        return None
    command, family = raw[12], raw[13] >> 4
    if command == LOCAL:
        return Header(length, None)
    if command != PROXIED or family not in ADDRESSES or 16 + ADDRESSES[family] > length:
        raise Malformed("the PROXY header is not of version 2")
    name = None
    for kind, value in values(raw[16 + ADDRESSES[family] : length]):
        if kind == TLS:
            name = _verified_name(value)
    return Header(length, name)


def write(name: str) -> bytes:
    """The header of one who is at a balancer's address and has no certificate to show: the node's own probe."""
    said = name.encode()
    tls = bytes((OVER_TLS | WITH_CERTIFICATE, 0, 0, 0, 0)) + _value(COMMON_NAME, said)
    body = bytes(ADDRESSES[0x1]) + _value(TLS, tls)
    return SIGNATURE + bytes((PROXIED, 0x11)) + len(body).to_bytes(2, "big") + body


def _value(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + len(content).to_bytes(2, "big") + content


def values(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        end = at + 3 + int.from_bytes(raw[at + 1 : at + 3], "big")
        if at + 3 > len(raw) or end > len(raw):
            raise Malformed("a value of the PROXY header ends after the header does")
        yield raw[at], raw[at + 3 : end]
        at = end


def _verified_name(raw: bytes) -> str | None:
    if len(raw) < 5:
        raise Malformed("what the PROXY header says of TLS is too short")
    good = raw[0] & OVER_TLS and raw[0] & WITH_CERTIFICATE and raw[1:5] == bytes(4)
    names = [value for kind, value in values(raw[5:]) if kind == COMMON_NAME]
    if not good or len(names) != 1:
        return None
    try:
        return names[0].decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the name in the certificate is not UTF-8") from None
