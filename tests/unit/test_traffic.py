"""The traffic's clients against small servers of this test: what each answer, and each failure, is counted as."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import pytest

from infra.local import customers, devices
from infra.local.customers import Callers
from infra.local.devices import Device
from infra.local.load import Rates, _customers
from infra.local.tally import Messages, Requests

Address = tuple[str, int]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def play(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scene, 20))


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> Any:
    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(whole, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------- HTTP


def answering(*answers: bytes) -> Serve:
    """Each request on a connection gets the next answer; an empty one is a reset."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            if not answer:
                writer.transport.abort()
                return
            writer.write(answer)

    return serve


def answer(status: str, *headers: str, body: str = "ok") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", body]).encode()


async def ask(front: Address, requests: int, tally: Requests) -> None:
    """One request after the other, until the tally has so many more."""
    begun, end = tally.requests, tally.requests + requests

    def next_one() -> tuple[Address, str] | None:
        nonlocal begun
        if begun != tally.requests or begun == end:
            return None
        begun += 1
        return front, "/"

    callers = Callers(next_one, 200.0, tally, Random(1))
    callers.start()
    await until(lambda: tally.requests == end)
    callers.stop()


OUTCOMES = [
    ("an answer", answer("200 OK"), "2xx", False),
    ("what is not there", answer("404 Not Found"), "4xx", False),
    ("an error", answer("500 Internal Server Error"), "5xx", True),
    ("an error of the balancer", answer("503 Service Unavailable"), "5xx", True),
    ("a reset", b"", "reset", True),
    ("half an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "reset", True),
    ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "2xx", False),
    ("an answer that ends with its connection", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "2xx", False),
]


@pytest.mark.parametrize(("sent", "outcome", "harmed"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES])
def test_what_came_of_a_request(sent: bytes, outcome: str, harmed: bool) -> None:
    async def scene() -> None:
        tally = Requests()
        async with serving(answering(sent)) as front:
            await ask(front, 1, tally)
        assert tally.outcomes == {outcome: 1}
        assert tally.harmed == harmed

    play(scene())


def test_a_request_without_an_answer_in_time_is_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customers, "TIMEOUT_SECONDS", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scene() -> None:
        tally = Requests()
        async with serving(silent) as front:
            await ask(front, 3, tally)
        assert tally.outcomes == {"timeout": 3}
        assert tally.harmed == 3

    play(scene())


def test_nobody_there_is_harm() -> None:
    async def scene() -> None:
        async with serving(answering()) as front:
            pass
        tally = Requests()
        await ask(front, 2, tally)
        assert tally.outcomes == {"refused": 2}
        assert tally.by_server["none"].harmed == 2

    play(scene())


def test_requests_are_counted_by_who_answered_with_which_release() -> None:
    served = ("X-Served-By: bos-a", "x-release: sha256:aa")
    other = ("X-Served-By: bos-b", "X-Release: sha256:bb")

    async def scene() -> None:
        tally = Requests()
        async with (
            serving(answering(answer("200 OK", *served))) as a,
            serving(answering(answer("500 Internal Server Error", *other))) as b,
        ):
            before = customers.boottime()
            await ask(a, 1, tally)
            await ask(b, 1, tally)
        seen = tally.as_json()
        assert {name: (count["requests"], count["harmed"]) for name, count in seen["by_server"].items()} == {
            "bos-a": (1, 0),
            "bos-b": (1, 1),
        }
        first, second = seen["by_release"]["sha256:aa"], seen["by_release"]["sha256:bb"]
        assert before - 0.001 <= first["last_started"] <= first["last_ended"] <= second["last_ended"]

    play(scene())


def test_a_connection_is_used_again_unless_the_answer_closes_it() -> None:
    opened: list[bytes] = []

    def counting(one: bytes) -> Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            opened.append(one)
            await answering(*[one] * 10)(reader, writer)

        return serve

    async def scene() -> None:
        for one, connections in ((answer("200 OK"), 1), (answer("200 OK", "Connection: close"), 5)):
            tally = Requests()
            async with serving(counting(one)) as front:
                await ask(front, 5, tally)
            assert tally.outcomes == {"2xx": 5}
            assert opened.count(one) == connections

    play(scene())


def test_customers_are_named_as_the_seed_names_them() -> None:
    assert _customers("c-7-{:05}:3") == ["c-7-00001", "c-7-00002", "c-7-00003"]


def test_rates_are_read_from_one_word() -> None:
    assert Rates.parse("240:0.5:50:60") == Rates(devices=240, messages=0.5, reads=50.0, customers=60.0)


# ---------------------------------------------------------------- MQTT


class Broker:
    """Takes what a device sends, packet by packet; ``acks`` says of each publish whether it is acknowledged."""

    def __init__(self, acks: Callable[[int], bool], accepts: Callable[[int], bool] = lambda session: True) -> None:
        self.acks = acks
        self.accepts = accepts
        self.sessions = 0
        self.published: list[tuple[bool, str, dict[str, Any]]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends the session at the first publish that it does not acknowledge."""
        kind, body = await self._packet(reader)
        assert (kind, body[:7]) == (0x10, b"\x00\x04MQTT\x04")
        self.sessions += 1
        accepted = self.accepts(self.sessions)
        writer.write(b"\x20\x02\x00" + (b"\x00" if accepted else b"\x03"))
        while accepted:
            kind, body = await self._packet(reader)
            if kind == 0xE0:
                return
            end = 2 + int.from_bytes(body[:2], "big")
            self.published.append((bool(kind & 0x08), body[2:end].decode(), json.loads(body[end + 2 :])))
            if not self.acks(len(self.published)):
                return
            writer.write(b"\x40\x02" + body[end : end + 2])

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind = (await reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, await reader.readexactly(length)


def one_device(front: Address, tally: Messages) -> Device:
    return Device("d1", "BOS", 9, [front], 0.01, tally, Random(1))


def test_a_device_publishes_as_the_application_expects() -> None:
    async def scene() -> None:
        broker, tally = Broker(lambda number: True), Messages()
        async with serving(broker) as front:
            device = one_device(front, tally)
            device.start()
            await until(lambda: tally.acked >= 5)
            device.stop()
        again, topic, first = broker.published[0]
        assert (again, topic, first["seq"], first["epoch"]) == (False, "f/BOS/d1/t", 1, 9)
        assert isinstance(first["reading"], float)
        assert isinstance(first["ts"], int)
        assert [published[2]["seq"] for published in broker.published[:5]] == [1, 2, 3, 4, 5]
        assert tally.take_acked()["BOS"]["d1"][:5] == [1, 2, 3, 4, 5]
        assert tally.take_acked() == {}

    play(scene())


def test_what_was_not_acknowledged_is_sent_again_and_counted_once() -> None:
    async def scene() -> None:
        broker, tally = Broker(lambda number: number != 3), Messages()
        async with serving(broker) as front:
            device = one_device(front, tally)
            device.start()
            await until(lambda: tally.acked >= 6)
            device.stop_publishing()
            await until(lambda: device.unacked == 0)
            device.stop()
        sent = [(again, told["seq"]) for again, _, told in broker.published]
        assert sent[:4] == [(False, 1), (False, 2), (False, 3), (True, 3)]
        assert tally.resent == sum(again for again, _ in sent)
        assert tally.take_acked()["BOS"]["d1"] == list(range(1, tally.sent + 1))
        assert (tally.sessions, tally.lost_sessions) == (2, 1)
        assert tally.longest_outage_ms >= 1000 * devices.BACK_OFF[0]

    play(scene())


def test_messages_are_made_while_nobody_is_there_and_arrive_later() -> None:
    async def scene() -> None:
        broker, tally = Broker(lambda number: True, accepts=lambda session: session > 2), Messages()
        async with serving(broker) as front:
            device = one_device(front, tally)
            device.start()
            await until(lambda: broker.sessions == 3)
            made = tally.sent
            assert made > 0
            assert tally.refused == 2
            await until(lambda: tally.acked >= made)
            device.stop()

    play(scene())


def test_a_session_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SILENCE_SECONDS", 0.1)
    hung = 0

    async def scene() -> None:
        broker, tally = Broker(lambda number: True), Messages()

        async def hangs_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal hung
            if hung:
                await broker(reader, writer)
                return
            hung += 1
            writer.write(b"\x20\x02\x00\x00")
            await reader.read(-1)

        async with serving(hangs_once) as front:
            device = one_device(front, tally)
            device.start()
            await until(lambda: tally.acked >= 1)
            device.stop()
        assert tally.lost_sessions == 1
        assert broker.published[0][0]

    play(scene())
