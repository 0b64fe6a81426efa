"""Devices that publish as fast as they are acknowledged, or at a steady rate: a process of its own, figures as JSON.

``python -m tests.bench.publishers flood|steady PORT SECONDS RATE [CERTIFICATES]``, or ``hold PORT SECONDS DEVICES`` for
many that say nothing but PINGREQ. Hand-written MQTT, so that the devices cost little beside what they measure. With a
folder of certificates each device comes over TLS with its own.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

from apps.mqtt.wire.packets import Connect, PingReq, Publish, encode
from tests.bench.result import high, median

DEVICES, WINDOW, WARM_UP = 50, 20, 0.5


class Publisher(asyncio.Protocol):
    """One device. A packet id stands for one message in flight."""

    def __init__(self, name: str) -> None:
        self.topic = f"f/BOS/{name}/t"
        self.ready = asyncio.get_running_loop().create_future()
        self.waits: list[float] = []
        self.acked = 0
        self.flooding = False
        self._name, self._seq, self._received = name, 0, b""
        self._epoch = int(time.time())  # each run of a device is one of its lives
        self._due: dict[int, float] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(encode(Connect(self._name, 0)))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("refused"))

    def publish(self, count: int) -> None:
        assert self._transport is not None
        frames = []
        now, clock = time.monotonic(), int(time.time() * 1000)
        for _ in range(count):
            self._seq += 1
            packet = self._seq % 0xFFFF + 1
            self._due[packet] = now
            body = b'{"reading":21.5,"seq":%d,"epoch":%d,"ts":%d}' % (self._seq, self._epoch, clock)
            frames.append(encode(Publish(self.topic, body, 1, packet)))
        self._transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        data, now, acked = self._received + data, time.monotonic(), 0
        whole = len(data) - len(data) % 4  # both answers that a server gives here are four bytes long
        for at in range(0, whole, 4):
            if data[at] == 0x40:
                self.waits.append(now - self._due.pop(int.from_bytes(data[at + 2 : at + 4], "big")))
                acked += 1
            elif not self.ready.done():
                self.ready.set_result(None)
        self._received = data[whole:]
        self.acked += acked
        if self.flooding and acked:
            self.publish(acked)


async def connected(port: int, certificates: str) -> list[Publisher]:
    publishers = [Publisher(f"d{number}") for number in range(DEVICES)]
    for publisher in publishers:
        secure = tls(Path(certificates), publisher.topic.split("/")[2]) if certificates else None
        await asyncio.get_running_loop().create_connection(lambda p=publisher: p, "127.0.0.1", port, ssl=secure)
    await asyncio.gather(*(publisher.ready for publisher in publishers))
    return publishers


def tls(certificates: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.check_hostname = False  # the bench speaks to an address
    context.load_cert_chain(certificates / f"{name}.pem")
    return context


async def hold(port: int, seconds: float, devices: int) -> dict[str, float]:
    """Connect so many, a batch at a time, hold them, and have each answer a PINGREQ in the end."""
    began = time.monotonic()
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Connect(f"d{number}", 0)))
        await reader.readexactly(4)
        held.append((reader, writer))

    for first in range(0, devices, 200):
        await asyncio.gather(*(one(number) for number in range(first, min(first + 200, devices))))
    took = time.monotonic() - began
    await asyncio.sleep(seconds)
    alive = 0
    for reader, writer in held:
        writer.write(encode(PingReq()))
        alive += await reader.readexactly(2) == b"\xd0\0"
    return {"held": alive, "connect_seconds": took}


async def flood(port: int, seconds: float, certificates: str = "") -> dict[str, float]:
    publishers = await connected(port, certificates)
    for publisher in publishers:
        publisher.flooding = True
        publisher.publish(WINDOW)
    await asyncio.sleep(WARM_UP)
    before, began = sum(p.acked for p in publishers), time.monotonic()
    await asyncio.sleep(seconds)
    return {"acked_per_second": (sum(p.acked for p in publishers) - before) / (time.monotonic() - began)}


async def steady(port: int, seconds: float, rate: int, certificates: str = "") -> dict[str, float]:
    """Open loop: a message goes out when it is due, whatever became of those before it."""
    publishers = await connected(port, certificates)
    loop = asyncio.get_running_loop()
    began, total = loop.time(), int((WARM_UP + seconds) * rate)
    for number in range(total):
        wait = began + number / rate - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        publishers[number % DEVICES].publish(1)
        if number == int(WARM_UP * rate):
            for publisher in publishers:
                publisher.waits.clear()
    await asyncio.sleep(0.5)
    waits = [wait for publisher in publishers for wait in publisher.waits]
    return {"p50": median(waits), "p99": high(waits, 0.99)}


def work_of(
    how: str, port: int, seconds: float, number: int, certificates: str
) -> Coroutine[Any, Any, dict[str, float]]:
    if how == "hold":
        return hold(port, seconds, number)
    return flood(port, seconds, certificates) if how == "flood" else steady(port, seconds, number, certificates)


def main(how: str, port: str, seconds: str, number: str, certificates: str = "") -> None:
    work = work_of(how, int(port), float(seconds), int(number), certificates)
    try:
        import uvloop
    except ImportError:
        figures = asyncio.run(work)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(work)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
