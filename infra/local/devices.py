"""Devices of a factory, for traffic: MQTT 3.1.1 clients that publish at QoS 1 at a steady rate, whatever happens.

A device makes a message when it is due, connected or not, keeps it until it is acknowledged, and sends what is not
acknowledged again (DUP) on its next session. Only the few packets that this takes are here: it is test equipment, not
an MQTT library, and it knows nothing of the application's own code.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from random import Random
from typing import cast

from infra.local.tally import Messages

KEEP_ALIVE = 30
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 5.0
"""A session on which an acknowledgement is this late is given up: the other side hangs."""
BACK_OFF = (0.05, 0.5)
IN_FLIGHT = 20

_CONNACK, _PUBACK, _PINGREQ, _DISCONNECT = 0x20, 0x40, b"\xc0\x00", b"\xe0\x00"
_PUBLISH, _DUP = 0x32, 0x08

Address = tuple[str, int]


class Message:
    """One reading, from when it is due to when it is acknowledged."""

    __slots__ = ("due", "frame", "sent", "seq")

    def __init__(self, seq: int, due: float, frame: bytes) -> None:
        self.seq = seq
        self.due = due
        self.frame = frame
        self.sent: float | None = None
        """When it went out on the present session."""


class Device(asyncio.Protocol):
    """One device. Begin it once with ``start``; it goes on until ``stop``."""

    def __init__(
        self,
        name: str,
        zone: str,
        epoch: int,
        fronts: Sequence[Address],
        period: float,
        tally: Messages,
        random: Random,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.zone = zone
        self.epoch = epoch
        self.has_published = False
        self._fronts = fronts
        self._tls = tls
        self._period = period
        self._tally = tally
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._connect_frame = _connect(name)
        self._topic = text(f"f/{zone}/{name}/t")
        self._seq = 0
        self._packet = 0
        self._unacked: dict[int, Message] = {}
        """By packet id, oldest first; a message has its packet id for life."""
        self._transport: asyncio.Transport | None = None
        self._session = False
        self._down_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, within: float = 0.5) -> None:
        """Connect some time within so many seconds: thousands do not come at once."""
        self._again(self._random.uniform(0, within))
        self._loop.call_later(self._random.uniform(0, self._period), self._due)

    def stop_publishing(self) -> None:
        self._stopping = True

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    def stop(self) -> None:
        self._stopping = True
        self._fronts = ()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            if self._session:
                self._transport.write(_DISCONNECT)
            self._transport.close()

    # ------------------------------------------------------------ messages

    def delay(self) -> float:
        """Seconds until the next reading."""
        return self._period

    def measure(self) -> dict[str, int | float]:
        """The next reading, with its number."""
        self._seq += 1
        return {
            "reading": round(20 + 5 * self._random.random(), 2),
            "seq": self._seq,
            "epoch": self.epoch,
            "ts": int(time.time() * 1000),
        }

    def make(self) -> None:
        """A reading is due."""
        self.hold(json.dumps(self.measure()).encode(), self._seq)

    def hold(self, payload: bytes, seq: int) -> None:
        """Keep a message until it is acknowledged; ``seq`` is 0 where it is no reading."""
        packet = self._free_packet_id()
        self._unacked[packet] = Message(seq, self._loop.time(), self.frame(self._topic, packet, payload))
        self._tally.sent += 1
        self._send_waiting()

    def _due(self) -> None:
        if self._stopping:
            return
        self._loop.call_later(self.delay(), self._due)
        now = self._loop.time()
        oldest = next(iter(self._unacked.values()), None)
        if oldest is not None and oldest.sent is not None and now - oldest.sent > SILENCE_SECONDS:
            self._give_up()
        if len(self._unacked) < 0xFFFF:  # more than a device can hold: it makes none until some are taken
            self.make()

    def _free_packet_id(self) -> int:
        packet = self._packet % 0xFFFF + 1
        while packet in self._unacked:
            packet = packet % 0xFFFF + 1
        self._packet = packet
        return packet

    @staticmethod
    def frame(topic: bytes, packet: int, payload: bytes) -> bytes:
        body = topic + packet.to_bytes(2, "big") + payload
        return bytes([_PUBLISH]) + _length(len(body)) + body

    def _send_waiting(self) -> None:
        if not self._session or self._transport is None:
            return
        for at, message in enumerate(self._unacked.values()):
            if at >= IN_FLIGHT:
                break
            if message.sent is None:
                message.sent = self._loop.time()
                self._transport.write(message.frame)

    def _send_again(self) -> None:
        """A new session: what was on the wire before may or may not have arrived."""
        for message in self._unacked.values():
            if message.sent is not None:
                message.sent = None
                self._tally.resent += 1
                message.frame = bytes([message.frame[0] | _DUP]) + message.frame[1:]
        self._send_waiting()

    def _acked(self, packet: int) -> None:
        message = self._unacked.pop(packet, None)
        if message is not None:
            self.has_published = True
            self._tally.ack(self.zone, self.name, message.seq, self._loop.time() - message.due)

    # ------------------------------------------------------------ sessions

    def _again(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._connect_now)

    def _connect_now(self) -> None:
        task = self._loop.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        if not self._fronts:
            return
        host, port = self._random.choice(self._fronts)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: self, host, port, ssl=self._tls)
        except OSError:
            self._tally.refused += 1
            self._again(self._random.uniform(*BACK_OFF))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        self._transport = transport
        self._received = b""
        transport.write(self._connect_frame)
        self._timer = self._loop.call_later(CONNECT_SECONDS, self._give_up)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._session:
            self._session = False
            self._down_since = self._loop.time()
            self._tally.connected -= 1
            self._tally.lost_sessions += bool(self._fronts)
        else:
            self._tally.refused += bool(self._fronts)
        self._transport = None
        if self._fronts:
            self._again(self._random.uniform(*BACK_OFF))

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _connected(self) -> None:
        self._session = True
        self._tally.sessions += 1
        self._tally.connected += 1
        if self._down_since is not None:
            outage = (self._loop.time() - self._down_since) * 1000
            self._tally.longest_outage_ms = max(self._tally.longest_outage_ms, outage)
        self._keep_alive()
        self._send_again()

    def _keep_alive(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(KEEP_ALIVE / 2, self._ping)

    def _ping(self) -> None:
        if self._session and self._transport is not None:
            self._transport.write(_PINGREQ)
            self._keep_alive()

    def data_received(self, data: bytes) -> None:
        """Every packet that a server sends here has a length of one byte."""
        data = self._received + data if self._received else data
        at = 0
        while len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1]:
            kind, body = data[at], data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + len(body)
            if kind == _PUBACK:
                self._acked(int.from_bytes(body[:2], "big"))
            elif kind == _CONNACK and body[1:] == b"\x00":
                self._connected()
            elif kind == _CONNACK:
                self._give_up()
        self._received = data[at:]
        self._send_waiting()


def _connect(client: str) -> bytes:
    body = text("MQTT") + b"\x04\x02" + KEEP_ALIVE.to_bytes(2, "big") + text(client)
    return b"\x10" + _length(len(body)) + body


def text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(number: int) -> bytes:
    """MQTT's variable length: seven bits a byte, least significant first."""
    encoded = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
