"""The zone's readings and alerts as they happen, as server-sent events (``/v1/stream``).

The id of an event is a place in every node's two logs: ``bos-a:17.3,bos-b:4.0``. A reader that comes back with the last
id it saw, to whichever node, goes on exactly there. What a peer that is away holds comes when it is back.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from apps.mqtt.bell import Bell
from apps.mqtt.broker.hub import Hub
from apps.mqtt.disk.queries import Reader
from apps.mqtt.peers import Peer, PeerAway
from apps.mqtt.wire.message import Message, from_json
from apps.mqtt.zone.zone_reads import BadPlace

MAX_STREAMS = 200
PAGE = 200
BEAT_SECONDS = 2.0  # a comment, when nothing happens: balancers close what is silent for longer
ALERT = "/alert/"  # in the topic of an alert, and of nothing else

Place = tuple[int, int]  # in a node's readings, in its messages


class TooMany(Exception):
    """No further stream is served."""


class Streams:
    def __init__(self, node: str, reader: Reader, hub: Hub, peers: Mapping[str, Peer], bell: Bell) -> None:
        self._node = node
        self._reader = reader
        self._hub = hub
        self._peers = peers
        self._bell = bell

    def open(self, after: str | None, device: str | None) -> AsyncIterator[bytes]:
        """Raises BadPlace or TooMany."""
        if self._hub.interest.listeners >= MAX_STREAMS:
            raise TooMany
        now = {name: self._end(name) for name in (self._node, *self._peers)}
        return self._events(now if after is None else now | parse_id(after), device)

    def _end(self, node: str) -> Place:
        readings, messages = (self._hub.logs[f"{node}/{log}"].head for log in ("readings", "messages"))
        return max(0, readings), max(0, messages)

    async def _events(self, places: dict[str, Place], device: str | None) -> AsyncIterator[bytes]:
        self._hub.interest.listen(1)
        beaten = time.monotonic()
        try:
            # With the place of the beginning: who is cut off before the first event comes back to it all the same.
            yield f"retry: 1000\nid: {write_id(places)}\n\n".encode()
            while True:
                some = False
                for node in list(places):
                    async for event in self._of(node, places, device):
                        some = True
                        yield event
                if some:
                    beaten = time.monotonic()
                    continue
                if time.monotonic() - beaten >= BEAT_SECONDS:
                    beaten = time.monotonic()
                    yield b": still here\n\n"
                await self._bell.wait(beaten + BEAT_SECONDS - time.monotonic())
        finally:
            self._hub.interest.listen(-1)

    async def _of(self, node: str, places: dict[str, Place], device: str | None) -> AsyncIterator[bytes]:
        """What is new on one node: a page of it at most, each event with the places that follow it."""
        n, m = places[node]
        rows, upto = await self._readings(node, n, device)
        for row in rows:
            n = int(row["n"])
            places[node] = (n, m)
            yield _event("reading", places, row | {"node": node})
        n = max(n, upto)
        places[node] = (n, m)
        messages, upto = await self._messages(node, m)
        for message in messages:
            places[node] = (n, message.n)
            if device in (None, message.topic.split("/")[2]):
                yield _event("alert", places, json.loads(message.payload))
        places[node] = (n, max(m, upto))

    async def _readings(self, node: str, after: int, device: str | None) -> tuple[list[dict[str, Any]], int]:
        """A page, and the place up to which it is all; the head must be known before the page is read."""
        head = self._end(node)[0]
        if head <= after:
            return [], after
        if node == self._node:
            rows = self._reader.rows(after, PAGE, device)
        else:
            query = {"after": after, "limit": PAGE} | ({} if device is None else {"device": device})
            try:
                rows = (await self._peers[node].ask("/peer/readings", query))["readings"] if node in self._peers else []
            except PeerAway:
                return [], after
        return rows, head if len(rows) < PAGE else int(rows[-1]["n"])

    async def _messages(self, node: str, after: int) -> tuple[list[Message], int]:
        head = self._end(node)[1]
        if head <= after:
            return [], after
        if node == self._node:
            found = self._reader.published("messages", after, PAGE)
            upto = found[-1].n if len(found) == PAGE else head
            return [message for message in found if ALERT in message.topic], upto
        query = {"messages": after, "filters": json.dumps(["f/+/+/alert/+"]), "wait": 0}
        try:
            answer = (await self._peers[node].ask("/peer/feed", query))["messages"]
        except PeerAway:
            return [], after
        return [from_json(row) for row in answer["messages"]], int(answer["upto"])


def _event(kind: str, places: Mapping[str, Place], document: object) -> bytes:
    return f"id: {write_id(places)}\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


def write_id(places: Mapping[str, Place]) -> str:
    return ",".join(f"{node}:{n}.{m}" for node, (n, m) in sorted(places.items()))


def parse_id(text: str) -> dict[str, Place]:
    """Raises BadPlace."""
    places: dict[str, Place] = {}
    for part in text.split(","):
        node, _, numbers = part.rpartition(":")
        n, _, m = numbers.partition(".")
        if not (node and all(number.isascii() and number.isdigit() and len(number) <= 18 for number in (n, m))):
            raise BadPlace(text)
        places[node] = (int(n), int(m))
    return places
