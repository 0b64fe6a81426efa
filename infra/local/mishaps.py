"""A device with which things go wrong: the faults of ``behaviour.py``, carried out on a real connection.

A message that wants an acknowledgement is kept and sent again like any other; what no server takes is sent once, and
the answer is that the connection is closed.
"""

import json
import ssl
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from infra.local.behaviour import (
    DAY_MS,
    GARBAGE,
    OVERSIZE_BYTES,
    SILENCE_SECONDS,
    SKEW_READINGS,
    Machine,
    Mishaps,
    Schedule,
)  # fmt: skip
from infra.local.devices import Address, Device, text
from infra.local.tally import Messages

RECENT = 5_000


@dataclass(slots=True)
class FactoryTally(Messages):
    """Counts of a whole factory: ``sent = acked + waiting + forgotten``."""

    faults: Counter[str] = field(default_factory=Counter)
    """How many of each were sent."""
    forgotten: int = 0
    """Made, not acknowledged, and lost with the memory of a device that restarted."""
    closed: int = 0
    """Connections that the other side ended on what is not to be taken."""
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Seconds from due to acknowledged, of the latest."""

    def ack(self, zone: str, device: str, seq: int, waited: float) -> None:
        self.acked += 1  # the numbers are not kept: a restart gives them out again
        self.waits.append(waited)

    @property
    def waiting(self) -> int:
        return self.sent - self.acked - self.forgotten


class FactoryDevice(Device):
    def __init__(
        self, name: str, zone: str, epoch: int, fronts: Sequence[Address], period: float, tally: FactoryTally,
        random: Random, machine: Machine, schedule: Schedule, mishaps: Mishaps, tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, zone, epoch, fronts, period, tally, random, tls)
        self._counts = tally
        self._machine, self._schedule, self._mishaps = machine, schedule, mishaps
        self._made = 0
        self._ahead, self._skewed = 0, 0
        self._silent_until = 0.0
        self._offence = False
        self._last: bytes | None = None

    def delay(self) -> float:
        self._made += 1
        return self._schedule(self._period, self._made, self._random)

    def measure(self) -> dict[str, int | float]:
        reading = super().measure()
        reading["reading"] = self._machine.value(self._loop.time(), self._random)
        if self._skewed:
            self._skewed -= 1
            reading["ts"] += self._ahead
        return reading

    def make(self) -> None:
        if self._loop.time() < self._silent_until:
            return
        fault = self._mishaps.next(self._random)
        if fault is None or not self._session or (fault in ("renumbered", "repeated") and self._last is None):
            self._say(self.measure())
            return
        self._counts.faults[fault] += 1
        getattr(self, f"_{fault}")()

    def connection_lost(self, error: Exception | None) -> None:
        self._counts.closed += self._offence
        self._offence = False
        super().connection_lost(error)

    def _say(self, reading: dict[str, int | float]) -> None:
        self._last = json.dumps(reading).encode()
        self.hold(self._last, self._seq)

    # ------------------------------------------------------------ faults that are acknowledged

    def _garbage(self) -> None:
        self.hold(self._random.choice(GARBAGE), 0)

    def _renumbered(self) -> None:
        assert self._last is not None
        reading = json.loads(self._last)
        self.hold(json.dumps(reading | {"reading": reading["reading"] + 1}).encode(), 0)

    def _repeated(self) -> None:
        assert self._last is not None
        self.hold(self._last, 0)

    def _skew(self) -> None:
        self._ahead, self._skewed = self._random.choice((-DAY_MS, DAY_MS)), SKEW_READINGS
        self._say(self.measure())

    def _spike(self) -> None:
        self._say(self.measure() | {"reading": self._machine.spike(self._random)})

    # ------------------------------------------------------------ faults of the device and its network

    def _reboot(self) -> None:
        self._counts.forgotten += len(self._unacked)
        self._unacked.clear()
        self.epoch = max(int(time.time() * 1000), self.epoch + 1)
        self._seq, self._last = 0, None
        self._give_up()

    def _cut(self) -> None:
        self._say(self.measure())
        self._give_up()

    def _silence(self) -> None:
        self._silent_until = self._loop.time() + SILENCE_SECONDS

    # ------------------------------------------------------------ faults that nobody takes

    def _trespass(self) -> None:
        self._offend(self.frame(text(f"f/{self.zone}/{self.name}-neighbour/t"), 0xFFFF, b"1"))

    def _oversize(self) -> None:
        self._offend(self.frame(self._topic, 0xFFFF, b" " * OVERSIZE_BYTES))

    def _malformed(self) -> None:
        self._offend(b"\xf7\x00GET / HTTP/1.1\r\n")

    def _offend(self, raw: bytes) -> None:
        assert self._transport is not None
        self._offence = True
        self._transport.write(raw)
