"""One client's session: what it subscribed to, what it was sent and has not acknowledged, where it stands in each log.

The rules of delivery to one client live here; which messages are offered, and where sessions are kept, does not.

A session needs no queue of its own: what was published stands in the logs anyway, so a session that cannot take more
just remembers its place in a log and goes on from there. ``places`` holds the logs in which it is behind; in all
others it has been given everything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from apps.mqtt.wire.message import Message
from apps.mqtt.wire.packets import V4, encode
from apps.mqtt.wire.topics import matches

QOS, NO_LOCAL, AS_PUBLISHED, HANDLING = 0x03, 0x04, 0x08, 0x30  # bits of a subscription's options
ALWAYS, WHEN_NEW = 0x00, 0x10  # handling: when to give what is retained
PACKET_IDS = 0xFFFF


class Outlet(Protocol):
    """The connection of a session."""

    @property
    def congested(self) -> bool: ...

    def send(self, raw: bytes) -> None: ...

    def taken_over(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the client at the other end can take, as its CONNECT said."""

    version: int = V4
    in_flight: int = 100
    packet_bytes: int = 2**28


@dataclass(slots=True)
class Sent:
    """A message on its way; ``log`` is empty for one that was retained."""

    log: str
    message: Message
    qos: int
    retain: bool


@dataclass(slots=True, eq=False)
class Session:
    client: str
    expiry: int = 0  # seconds that it outlives its connection
    subscriptions: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    left: int | None = None  # milliseconds: when the connection ended
    moves: int = 0  # how often it changed its node
    outlet: Outlet | None = None
    limits: Limits = field(default_factory=Limits)
    changed: bool = False  # since it was last kept
    catching_up: bool = False
    _unacknowledged: dict[int, Sent] = field(default_factory=dict)
    _last_id: int = 0

    # -- giving ------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        return (
            self.outlet is not None and not self.outlet.congested and len(self._unacknowledged) < self.limits.in_flight
        )

    def offer(self, log: str, message: Message) -> None:
        """The next message of ``log`` that one of the subscriptions matches."""
        if log in self.places:
            return  # it will come to it
        if not self.has_room():
            self.places[log] = message.n - 1
            return
        self.give(log, message)

    def give(self, log: str, message: Message, *, retained: bool = False) -> None:
        """Send it, if the session wants it and the client can take it. There must be room."""
        options = [options for pattern, options in self.subscriptions.items() if matches(pattern, message.topic)]
        options = [each for each in options if not (each & NO_LOCAL and message.publisher == self.client)]
        if not options:
            return
        self.changed = True
        qos = min(message.qos, max(each & QOS for each in options))
        kept_flag = message.retained and any(each & AS_PUBLISHED for each in options)
        self._send(Sent(log, message, qos, retained or kept_flag), None)

    def give_retained(self, message: Message) -> None:
        self.give("", message, retained=True)

    def acknowledged(self, packet_id: int) -> None:
        """The client has it. One that was not sent is none of our business: it may be of an earlier connection."""
        if self._unacknowledged.pop(packet_id, None) is not None:
            self.changed = True

    def _send(self, sent: Sent, again: int | None) -> None:
        assert self.outlet is not None
        now = int(time.time() * 1000)
        if sent.message.is_over(now):
            if again is not None:
                del self._unacknowledged[again]
            return
        number = again if again is not None or not sent.qos else self._next_id()
        packet = sent.message.packet(sent.qos, number, now, retain=sent.retain, dup=again is not None)
        raw = encode(packet, self.limits.version)
        if len(raw) > self.limits.packet_bytes:
            if again is not None:
                del self._unacknowledged[again]
            return  # 5: as if it had been delivered
        if number is not None:
            self._unacknowledged[number] = sent
        self.outlet.send(raw)

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % PACKET_IDS + 1
            if self._last_id not in self._unacknowledged:
                return self._last_id

    # -- coming and going --------------------------------------------------------------------------------------

    def attach(self, outlet: Outlet, limits: Limits, expiry: int) -> None:
        self.outlet, self.limits, self.expiry, self.left = outlet, limits, expiry, None

    def send_again(self) -> None:
        """What was not acknowledged on the last connection, first and in order, under the same packet ids."""
        for packet_id, sent in list(self._unacknowledged.items()):
            if self.outlet is not None:
                self._send(sent, packet_id)

    def detach(self, heads: Mapping[str, int]) -> None:
        """The connection ended; from here on it is behind everywhere."""
        self.outlet, self.left, self.changed = None, int(time.time() * 1000), True
        self.places = {**heads, **self.places}

    # -- keeping -----------------------------------------------------------------------------------------------

    def document(self, heads: Mapping[str, int]) -> dict[str, Any]:
        """What must be known to go on with it elsewhere, or after a crash: all before a place has been acknowledged."""
        places = {**heads, **self.places}
        for sent in self._unacknowledged.values():
            if sent.log:
                places[sent.log] = min(places.get(sent.log, sent.message.n), sent.message.n - 1)
        return {"client": self.client, "expiry": self.expiry, "subscriptions": self.subscriptions,
                "places": places, "left": self.left, "moves": self.moves, "moved": False}  # fmt: skip

    def is_over(self, now: int) -> bool:
        return self.outlet is None and self.left is not None and self.left + self.expiry * 1000 <= now


def from_document(found: Mapping[str, Any]) -> Session:
    """A session that nobody is connected to."""
    left = found["left"]
    return Session(
        str(found["client"]), int(found["expiry"]), {str(k): int(v) for k, v in found["subscriptions"].items()},
        {str(k): int(v) for k, v in found["places"].items()}, int(time.time() * 1000) if left is None else int(left),
        int(found["moves"]),
    )  # fmt: skip
