"""One published message, as logs keep it, as peers pass it on and as a subscriber gets it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from apps.mqtt.wire import properties as p
from apps.mqtt.wire.fields import Fields
from apps.mqtt.wire.packets import Publish
from apps.mqtt.wire.properties import Properties

MS = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """``n`` is its place in the log that it stands in. ``properties`` are MQTT 5's, as bytes, the expiry left out."""

    n: int
    topic: str
    payload: bytes
    qos: int = 1
    publisher: str = ""
    retained: bool = False
    properties: bytes = b""
    expires: int | None = None  # milliseconds UTC by this node's clock
    rts: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n, "topic": self.topic, "payload": base64.b64encode(self.payload).decode(), "qos": self.qos,
            "publisher": self.publisher, "retained": self.retained,
            "properties": base64.b64encode(self.properties).decode(), "expires": self.expires, "rts": self.rts,
        }  # fmt: skip

    def packet(self, qos: int, packet_id: int | None, now: int, *, retain: bool, dup: bool = False) -> Publish:
        """The packet of a subscriber; what is left of its expiry is told (MQTT 5)."""
        told: Properties = p.NONE
        if self.properties or self.expires is not None:
            told = dict(p.read(Fields(self.properties), "publish")) if self.properties else {}
            if self.expires is not None:
                told["message_expiry"] = max(1, (self.expires - now + MS - 1) // MS)
        return Publish(self.topic, self.payload, qos, packet_id, retain, dup, told)

    def is_over(self, now: int) -> bool:
        return self.expires is not None and self.expires <= now


def from_json(found: dict[str, Any]) -> Message:
    """Raises KeyError, TypeError or ValueError for what is no message."""
    return Message(
        int(found["n"]), str(found["topic"]), base64.b64decode(found["payload"]), int(found["qos"]),
        str(found["publisher"]), bool(found["retained"]), base64.b64decode(found["properties"]),
        None if found["expires"] is None else int(found["expires"]), int(found["rts"]),
    )  # fmt: skip


def kept_properties(told: Properties) -> bytes:
    """What of a PUBLISH's properties is kept for its subscribers."""
    kept = {name: told[name] for name in p.FORWARDED if name in told}
    return p.write(kept) if kept else b""


def expiry(told: Properties, now: int) -> int | None:
    seconds = told.get("message_expiry")
    return now + seconds * MS if isinstance(seconds, int) else None
