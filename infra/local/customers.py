"""People and programs that ask over HTTP, for traffic: requests begin at a given rate, whatever the answers do.

Each request goes over a kept connection to the front of one node, or over a new one, and is counted once: by what
came of it, by the server that answered, and by the release that it ran. A small HTTP/1.1 client of our own, because a
hundred requests a second must cost next to nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import cast

from infra.local.tally import NOBODY, Requests

TIMEOUT_SECONDS = 2.0
KEPT_SECONDS = 20.0
"""A kept connection is used again within this, well before the balancer closes it."""

Address = tuple[str, int]


def boottime() -> float:
    """The clock of the nodes' promises, so that what was seen can be held against them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Callers:
    """Everybody who asks one application: ``ask`` gives the next request's front and path, or None for none yet."""

    def __init__(
        self,
        ask: Callable[[], tuple[Address, str] | None],
        rate: float,
        tally: Requests,
        random: Random,
        clients: int = 200,
    ) -> None:
        self._ask = ask
        self._rate = rate
        self._tally = tally
        self._random = random
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._kept: dict[Address, list[Connection]] = {}
        self._next = 0.0
        self._stopping = False

    def start(self) -> None:
        if self._rate > 0:
            self._next = self._loop.time() + self._random.expovariate(self._rate)
            self._loop.call_at(self._next, self._begin)

    def stop(self) -> None:
        self._stopping = True
        for kept in self._kept.values():
            for connection in kept:
                connection.close()

    def _begin(self) -> None:
        if self._stopping:
            return
        now = self._loop.time()
        while self._next <= now:
            self._next += self._random.expovariate(self._rate)
            if (asked := self._ask()) is not None:
                self._send(*asked)
        self._loop.call_at(self._next, self._begin)

    def _send(self, front: Address, path: str) -> None:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {front[0]}:{front[1]}\r\nAccept: */*\r\n"
            f"X-Client-Id: c{self._random.randrange(self._clients)}\r\n\r\n"
        ).encode()
        kept = self._kept.setdefault(front, [])
        while kept:
            connection = kept.pop()
            if connection.usable(self._loop.time()):
                connection.send(request)
                return
            connection.close()
        Connection(front, kept, self._tally).open(request)


class Connection(asyncio.Protocol):
    """One connection with at most one request on it."""

    def __init__(self, front: Address, kept: "list[Connection]", tally: Requests) -> None:
        self._front = front
        self._kept = kept
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._request = b""
        self._started: float | None = None
        self._answer = bytearray()
        self._head: Head | None = None
        self._idle_since = 0.0

    def open(self, request: bytes) -> None:
        self._begin(request)
        self._opening = self._loop.create_task(self._open())

    def usable(self, now: float) -> bool:
        return (
            self._transport is not None and not self._transport.is_closing() and now - self._idle_since < KEPT_SECONDS
        )

    def send(self, request: bytes) -> None:
        self._begin(request)
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _begin(self, request: bytes) -> None:
        self._request = request
        self._started = boottime()
        self._answer.clear()
        self._head = None
        self._timer = self._loop.call_later(TIMEOUT_SECONDS, self._too_late)

    async def _open(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, *self._front)
        except OSError:
            self._end("refused")

    def _too_late(self) -> None:
        self._end("timeout")
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _end(self, outcome: str) -> None:
        """The request is over: counted, once."""
        if self._started is None:
            return
        started, self._started = self._started, None
        if self._timer is not None:
            self._timer.cancel()
        head = self._head
        server, release = (head.server, head.release) if head is not None else (NOBODY, NOBODY)
        self._tally.add(started, boottime(), outcome, server, release)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        self._transport = transport
        if self._started is None:
            transport.abort()
        else:
            transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if self._head is not None and self._head.length is None and not self._head.chunked and error is None:
            self._end(self._head.outcome)  # the answer without a length ends here
        self._end("reset")
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._started is None or self._transport is None:
            return
        self._answer += data
        if self._head is None:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = Head(bytes(self._answer[:end]))
            del self._answer[: end + 4]
        head = self._head
        whole = self._answer.endswith(b"0\r\n\r\n") if head.chunked else len(self._answer) == head.length
        if whole:
            self._end(head.outcome)
            if head.closes:
                self._transport.close()
            else:
                self._idle_since = self._loop.time()
                self._kept.append(self)


class Head:
    """Status line and headers of an answer, as far as they matter here."""

    __slots__ = ("chunked", "closes", "length", "outcome", "release", "server")

    def __init__(self, head: bytes) -> None:
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.outcome = status[9:10] + "xx"
        self.server = fields.get("x-served-by", NOBODY)
        self.release = fields.get("x-release", NOBODY)
        self.chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        length = fields.get("content-length")
        self.length = int(length) if length is not None and length.isdigit() else None
        self.closes = fields.get("connection", "").lower() == "close" or not status.startswith("HTTP/1.1")


def pick(random: Random, fronts: Sequence[Address], paths: Sequence[str]) -> tuple[Address, str] | None:
    """A front and a path, each at random; None where there is nothing to ask yet."""
    return (random.choice(fronts), random.choice(paths)) if fronts and paths else None
