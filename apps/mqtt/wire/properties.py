"""MQTT 5 properties: which there are, how each is written, and in which packets each may stand.

They come and go as a mapping from name to value; a user property is a tuple of pairs, in the order they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from apps.mqtt.wire import reasons
from apps.mqtt.wire.fields import Fields, Malformed, write_binary, write_text, write_varint

Value = int | str | bytes | tuple[tuple[str, str], ...]
Properties = Mapping[str, Value]
NONE: Properties = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Property:
    code: int
    name: str
    kind: str  # how it is written: a method of Fields
    packets: frozenset[str]


def _property(code: int, name: str, kind: str, packets: str) -> Property:
    return Property(code, name, kind, frozenset(packets.split()))


ANSWERS = "connack puback suback unsuback disconnect"

TABLE = (
    _property(0x01, "payload_format", "byte", "publish will"),
    _property(0x02, "message_expiry", "four", "publish will"),
    _property(0x03, "content_type", "text", "publish will"),
    _property(0x08, "response_topic", "text", "publish will"),
    _property(0x09, "correlation", "binary", "publish will"),
    _property(0x0B, "subscription_identifier", "varint", "publish subscribe"),
    _property(0x11, "session_expiry", "four", "connect connack disconnect"),
    _property(0x12, "assigned_client_id", "text", "connack"),
    _property(0x13, "server_keep_alive", "two", "connack"),
    _property(0x15, "authentication_method", "text", "connect connack"),
    _property(0x16, "authentication_data", "binary", "connect connack"),
    _property(0x17, "request_problem", "byte", "connect"),
    _property(0x18, "will_delay", "four", "will"),
    _property(0x19, "request_response", "byte", "connect"),
    _property(0x1A, "response_information", "text", "connack"),
    _property(0x1C, "server_reference", "text", "connack disconnect"),
    _property(0x1F, "reason_string", "text", ANSWERS),
    _property(0x21, "receive_maximum", "two", "connect connack"),
    _property(0x22, "topic_alias_maximum", "two", "connect connack"),
    _property(0x23, "topic_alias", "two", "publish"),
    _property(0x24, "maximum_qos", "byte", "connack"),
    _property(0x25, "retain_available", "byte", "connack"),
    _property(0x26, "user_property", "pair", f"connect publish will subscribe unsubscribe {ANSWERS}"),
    _property(0x27, "maximum_packet_size", "four", "connect connack"),
    _property(0x28, "wildcards_available", "byte", "connack"),
    _property(0x29, "identifiers_available", "byte", "connack"),
    _property(0x2A, "shared_available", "byte", "connack"),
)
BY_CODE = {known.code: known for known in TABLE}
BY_NAME = {known.name: known for known in TABLE}
NEVER_ZERO = frozenset(("receive_maximum", "maximum_packet_size", "subscription_identifier", "topic_alias"))

FORWARDED = ("payload_format", "content_type", "response_topic", "correlation", "user_property")
"""What a subscriber gets as the publisher wrote it."""


def read(fields: Fields, packet: str) -> Properties:
    """The properties at the head of ``fields``. Raises Malformed."""
    length = fields.varint()
    if not length:
        return NONE
    body, found = Fields(fields.take(length)), dict[str, Value]()
    while body.more():
        code = body.varint()
        known = BY_CODE.get(code)
        if known is None or packet not in known.packets:
            raise Malformed(f"property 0x{code:02x} does not belong into a {packet.upper()}")
        value: Value = getattr(body, known.kind)()
        if known.kind == "pair":
            value = (*found.get(known.name, ()), value)  # type: ignore[misc,arg-type]  # pairs, by the table above
        elif known.name in found:
            raise Malformed(f"the property {known.name} stands there twice", reasons.PROTOCOL_ERROR)
        if (known.kind == "byte" and value not in (0, 1)) or (known.name in NEVER_ZERO and not value):
            raise Malformed(f"{value!r} is not allowed for {known.name}", reasons.PROTOCOL_ERROR)
        found[known.name] = value
    return found


def write(properties: Properties) -> bytes:
    if not properties:
        return b"\0"
    body = b"".join(_written(BY_NAME[name], value) for name, value in properties.items())
    return write_varint(len(body)) + body


def number(properties: Properties, name: str, default: int) -> int:
    value = properties.get(name, default)
    assert isinstance(value, int)
    return value


def _written(known: Property, value: Value) -> bytes:
    code = bytes((known.code,))
    match known.kind, value:
        case "byte", int():
            return code + value.to_bytes(1, "big")
        case "two", int():
            return code + value.to_bytes(2, "big")
        case "four", int():
            return code + value.to_bytes(4, "big")
        case "varint", int():
            return code + write_varint(value)
        case "text", str():
            return code + write_text(value)
        case "binary", bytes():
            return code + write_binary(value)
        case "pair", tuple():
            return b"".join(code + write_text(name) + write_text(words) for name, words in value)
    raise TypeError(f"{known.name} cannot be {value!r}")
