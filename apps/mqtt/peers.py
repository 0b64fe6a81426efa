"""Asking another node of the zone: one GET, JSON back, within a time; and who is known to be away just now.

Nodes of a zone share the far store's address, so that is where the word comes from by which they know each other.
"""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

IDLE_CONNECTIONS = 4
ASK_SECONDS = 0.5
AWAY_SECONDS = 1.0  # a peer that did not answer is not asked again for this long
MAX_ANSWER_BYTES = 8_000_000
HEADER = "x-peer"


class PeerAway(Exception):
    """The peer gave no answer that can be used."""


def password(mongo_uri: str, zone: str) -> str:
    return blake2b(f"peers of {zone}".encode(), key=blake2b(mongo_uri.encode()).digest(), digest_size=16).hexdigest()


class Peer:
    def __init__(self, name: str, host: str, port: int, word: str) -> None:
        self.name = name
        self._host, self._port, self._word = host, port, word
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._away_until = 0.0

    async def ask(self, path: str, query: dict[str, Any], seconds: float = ASK_SECONDS) -> Any:
        """Its answer, soon. Raises PeerAway, and at once if it was away a moment ago."""
        if time.monotonic() < self._away_until:
            raise PeerAway(f"{self.name} did not answer a moment ago")
        try:
            return await self.get(path, query, seconds)
        except PeerAway:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    async def get(self, path: str, query: dict[str, Any], seconds: float) -> Any:
        """Raises PeerAway."""
        target = f"{path}?{urlencode(query)}"
        head = f"GET {target} HTTP/1.1\r\nHost: {self.name}\r\n{HEADER}: {self._word}\r\n\r\n".encode("latin-1")
        try:
            async with asyncio.timeout(seconds):
                while self._idle:
                    reader, writer = self._idle.pop()
                    try:
                        return await self._exchange(reader, writer, head)
                    except (ConnectionError, asyncio.IncompleteReadError):
                        continue  # it had been closed meanwhile
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=65_536)
                return await self._exchange(reader, writer, head)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise PeerAway(f"{self.name} gives no answer: {type(error).__name__}: {error}") from None

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> Any:
        done = False
        try:
            writer.write(head)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            length = int(headers.get("content-length", -1))
            if not 0 <= length <= MAX_ANSWER_BYTES:
                raise ValueError(f"an answer of {length} bytes")
            body = await reader.readexactly(length)
            done = headers.get("connection") == "keep-alive" and len(self._idle) < IDLE_CONNECTIONS
            if lines[0].split(" ")[1] != "200":
                raise ValueError(f"{lines[0]}: {body[:200]!r}")
            return json.loads(body)
        finally:
            if done:
                self._idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


def peers_of(addresses: dict[str, tuple[str, int]], word: str) -> dict[str, Peer]:
    return {name: Peer(name, host, port, word) for name, (host, port) in addresses.items()}
