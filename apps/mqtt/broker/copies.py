"""``ack = "peer"``: what must be on a second node's disk before it is acknowledged, and has not been so far.

Batches wait here after their commit, in order. A peer asks for what comes after the last that it has, again and again;
that it asks from there is the proof that all before is on its disk. One peer's copy is enough. While no peer takes any,
nothing is acknowledged: what was promised is two nodes. What a peer does with copies is in ``keeping``.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.mqtt.bell import Bell
from apps.mqtt.disk.store import Arrival
from apps.mqtt.readings.reading import Reading

LATE_SECONDS = 5.0  # longer than a peer takes to start anew; who waits longer makes the node unready
ANSWER_BYTES = 1_000_000  # of payload in one answer, and one batch more
LONGEST_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    serial: int
    arrivals: Sequence[Arrival]
    head: int  # the last of the readings when it was committed: all of the batch's are up to here
    since: float
    copied: Callable[[], None]


class Copies:
    """Of one process. ``life`` tells its batches from those of the process before it."""

    def __init__(self, volume: int) -> None:
        self._volume = volume  # numbers of readings mean something on this one
        self.life = time.time_ns()
        self.pending = 0  # messages that wait
        self.empty = Bell()
        self._news = Bell()
        self._batches: deque[Batch] = deque()
        self._serial = 0

    def add(self, arrivals: Sequence[Arrival], head: int, copied: Callable[[], None]) -> None:
        """``copied`` is called once a peer has them."""
        self._serial += 1
        self._batches.append(Batch(self._serial, arrivals, head, time.monotonic(), copied))
        self.pending += len(arrivals)
        self._news.ring()

    def late(self) -> str | None:
        """Why this node should be sent no traffic, or None."""
        waited = self.oldest_seconds
        if waited < LATE_SECONDS:
            return None
        return f"No other node of the zone has taken a copy for {waited:.0f} s, so nothing is acknowledged."

    @property
    def oldest_seconds(self) -> float:
        return time.monotonic() - self._batches[0].since if self._batches else 0.0

    async def after(self, life: int, serial: int, wait: float, far: Callable[[], int]) -> dict[str, Any]:
        """The answer to a peer that has everything up to ``serial`` of that life."""
        if life != self.life:
            serial = 0
        self._confirm(serial)
        deadline = time.monotonic() + min(wait, LONGEST_WAIT)
        while not (self._batches and self._batches[-1].serial > serial) and time.monotonic() < deadline:
            await self._news.wait(deadline - time.monotonic())
        rows: list[dict[str, Any]] = []
        size = 0
        for batch in self._batches:
            if batch.serial > serial and size < ANSWER_BYTES:
                rows += [as_json(arrival, batch.head) for arrival in batch.arrivals]
                size += sum(len(arrival.payload) for arrival in batch.arrivals)
                serial = batch.serial
        return {"life": self.life, "volume": self._volume, "upto": serial, "rows": rows, "far": far()}

    def _confirm(self, serial: int) -> None:
        while self._batches and self._batches[0].serial <= serial:
            batch = self._batches.popleft()
            self.pending -= len(batch.arrivals)
            batch.copied()
        if not self._batches:
            self.empty.ring()


def as_json(arrival: Arrival, head: int) -> dict[str, Any]:
    said = arrival.content
    reading = [said.value, said.seq, said.epoch, said.ts, said.more] if isinstance(said, Reading) else None
    return {
        "id": arrival.id.hex() if arrival.id is not None else None, "device": arrival.device, "topic": arrival.topic,
        "payload": base64.b64encode(arrival.payload).decode(), "rts": arrival.rts, "reading": reading, "head": head,
    }  # fmt: skip
