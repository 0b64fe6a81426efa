"""A small HTTP/1.1 server for reads: GET and HEAD, keep-alive, bounded in bytes, time and connections.

The protocol lives here; what the paths mean does not. It serves no bodies of requests, so a request that brings one
is refused and its connection closed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from apps.mqtt.log import log

HEAD_BYTES = 8192
IDLE_SECONDS = 30.0  # for a whole request head, from the end of the last answer
WRITE_SECONDS = 10.0
MAX_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Request:
    path: tuple[str, ...]  # decoded segments: /v1/devices/a → ("v1", "devices", "a")
    query: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)  # names in small letters


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer without an end: what comes is written as it comes, until either side goes."""

    chunks: AsyncIterator[bytes]
    content_type: str


class BadRequest(Exception):
    """What the client sent cannot be answered; the connection is closed after saying so."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    request: Request
    keep_alive: bool


class HttpServer:
    def __init__(
        self,
        respond: Callable[[Request], Awaitable[Answer | Stream]],
        refuse: Callable[[BadRequest], Answer],
        release: str,
    ) -> None:
        self._respond = respond
        self._refuse = refuse
        self._release = release
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES, backlog=256)

    async def stop(self) -> None:
        """What is left waits for a next request, for a peer or for news: in vain."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) > MAX_CONNECTIONS:
                why = BadRequest(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open; try again.")
                await self._write(writer, self._refuse(why), head=False, keep_alive=False)
                return
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away, or never finished its request
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; True when another may follow."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                raw = await reader.readuntil(b"\r\n\r\n")
            head = _parse(raw)
        except asyncio.LimitOverrunError:
            why = BadRequest(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"A request head has {HEAD_BYTES} bytes at most."
            )
            await self._write(writer, self._refuse(why), head=False, keep_alive=False)
            return False
        except BadRequest as why:
            await self._write(writer, self._refuse(why), head=False, keep_alive=False)
            return False
        answer = await self._answer(head.request)
        if isinstance(answer, Stream):
            await self._stream(reader, writer, answer)
            return False
        keep_alive = head.keep_alive and not self._stopping
        await self._write(writer, answer, head=head.method == "HEAD", keep_alive=keep_alive)
        return keep_alive

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
        lines = ("HTTP/1.1 200 OK", f"Content-Type: {stream.content_type}", f"X-Release: {self._release}",
                 "Cache-Control: no-store", "Connection: close")  # fmt: skip
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        gone = asyncio.ensure_future(reader.read(1))  # whatever comes now, nothing is asked for any more
        try:
            async for chunk in stream.chunks:
                if gone.done():
                    return
                writer.write(chunk)
                async with asyncio.timeout(WRITE_SECONDS):
                    await writer.drain()
        finally:
            gone.cancel()

    async def _answer(self, request: Request) -> Answer | Stream:
        try:
            return await self._respond(request)
        except Exception as error:  # one bad answer must not end the server
            log("answer_failed", path="/".join(request.path)[:200], why=f"{type(error).__name__}: {error}")
            return self._refuse(BadRequest(HTTPStatus.INTERNAL_SERVER_ERROR, "This could not be read from the store."))

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer, *, head: bool, keep_alive: bool) -> None:
        lines = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            f"X-Release: {self._release}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
        )
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if head else answer.body))
        async with asyncio.timeout(WRITE_SECONDS):
            await writer.drain()


def _parse(raw: bytes) -> _Head:
    """Raises BadRequest."""
    first, *rest = raw[:-4].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "The request line is not one of HTTP/1.1.")
    method, target, version = parts
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST, "A header line has no name.")
        headers[name.lower()] = value.strip()
    if method not in ("GET", "HEAD"):
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are served here.")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise BadRequest(HTTPStatus.BAD_REQUEST, "A read carries no body.")
    try:
        url = urlsplit(target)
        path = tuple(unquote(part, errors="strict") for part in url.path.split("/")[1:])
        query = dict(parse_qsl(url.query, keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "The request's target cannot be decoded.") from None
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
    return _Head(method, Request(path, query, headers), keep_alive)
