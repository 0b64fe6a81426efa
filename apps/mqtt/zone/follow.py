"""Following the other nodes of the zone: their logs, for our subscribers; their sessions, for clients that move here.

What is fetched is not stored a second time: it is on the peer's disk, and a session here remembers its place in the
peer's log as it does in ours. While a peer is away its messages wait there.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import Any

from apps.mqtt.bell import Bell
from apps.mqtt.broker.hub import Hub
from apps.mqtt.disk.queries import LOGS
from apps.mqtt.disk.session_store import Document, SessionStore
from apps.mqtt.log import log
from apps.mqtt.peers import Peer, PeerAway
from apps.mqtt.wire.message import Message, from_json

WAIT_SECONDS = 2.0
ANSWER_SECONDS = 4.0  # beyond the wait
AWAY_SECONDS = (0.1, 0.2, 0.5, 1.0)
KEEP_SECONDS = 1.0  # between two notes of where the peer stands
YOUNG = 1_000  # messages in the log of a peer that has only begun
UNKNOWN = -1  # no place in this log is known yet


class PeerLog:
    """A log of a peer as sessions here read it."""

    def __init__(self, peer: Peer, name: str, hub: Hub, head: int) -> None:
        self.name = f"{peer.name}/{name}"
        self.head = head
        self._peer, self._log, self._hub = peer, name, hub

    async def page(self, after: int, limit: int) -> tuple[list[Message], int]:
        query = {self._log: after, "filters": json.dumps(self._hub.interest.filters()), "wait": 0}
        try:
            answer = (await self._peer.ask("/peer/feed", query))[self._log]
            # What lies beyond the head comes to every session when the follower gets there.
            messages = [from_json(row) for row in answer["messages"] if int(row["n"]) <= self.head]
            return messages, min(int(answer["upto"]), max(after, self.head))
        except (PeerAway, KeyError, TypeError, ValueError):
            return [], after


class Follower:
    """One peer, followed for as long as the process lives."""

    def __init__(self, node: str, peer: Peer, hub: Hub, store: SessionStore, bell: Bell, known: Document) -> None:
        """``known`` is where the peer stood when this was last written down."""
        self.is_there = False
        self.logs = {name: PeerLog(peer, name, hub, int(known.get(name, UNKNOWN))) for name in LOGS}
        self._change = int(known.get("sessions", 0))
        self._known, self._kept_at = known, 0.0
        self._node, self._peer, self._hub, self._store, self._bell = node, peer, hub, store, bell
        for each in self.logs.values():
            hub.add_log(each)

    async def follow_for_ever(self) -> None:
        failures = 0
        while True:
            try:
                await self._take(await self._ask())
                if not self.is_there:
                    log("peer_reached", peer=self._peer.name)
                    self._hub.go_on_with_all()
                self.is_there, failures = True, 0
            except (PeerAway, KeyError, TypeError, ValueError, sqlite3.Error) as error:
                if self.is_there or not failures:
                    log("peer_away", peer=self._peer.name, why=str(error))
                self.is_there = False
                await asyncio.sleep(AWAY_SECONDS[min(failures, len(AWAY_SECONDS) - 1)])
                failures += 1

    async def _ask(self) -> Any:
        """The next answer; asked anew as soon as our subscribers want something else."""
        while True:
            interest = self._hub.interest.filters()
            query: dict[str, Any] = {name: each.head for name, each in self.logs.items()}
            query |= {"filters": json.dumps(interest), "node": self._node, "sessions": self._change}
            query |= {"wait": WAIT_SECONDS} | ({"wake": 1} if self._hub.interest.listeners else {})
            asking = asyncio.create_task(self._peer.get("/peer/feed", query, WAIT_SECONDS + ANSWER_SECONDS))
            try:
                while not asking.done():
                    changed = asyncio.create_task(self._hub.interest.changed.wait(WAIT_SECONDS))
                    await asyncio.wait({asking, changed}, return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
                    if not asking.done() and self._wants_other(query, interest):
                        break
                else:
                    # An answer to less than is wanted by now would lead past messages that somebody wants.
                    if min(each.head for each in self.logs.values()) < 0 or not self._wants_other(query, interest):
                        return asking.result()
            finally:
                asking.cancel()

    def _wants_other(self, query: dict[str, Any], interest: list[str]) -> bool:
        return self._hub.interest.filters() != interest or (self._hub.interest.listeners > 0) != ("wake" in query)

    async def _take(self, answer: Any) -> None:
        moved = False
        for name, each in self.logs.items():
            messages = [from_json(row) for row in answer[name]["messages"]]
            upto = int(answer[name]["upto"])
            moved = moved or upto > each.head
            if each.head == UNKNOWN:
                # One that has only begun is read from its beginning: what it acknowledged before we met counts too.
                each.head = 0 if upto <= YOUNG else upto
                self._hub.begin_at(each.name, each.head)
                continue
            self._hub.published(each.name, messages)
            each.head = max(each.head, upto)
        if moved:
            self._bell.ring()
        changes = [(str(client), document) for _, client, document in answer["sessions"]]
        change = int(answer["sessions"][-1][0]) if changes else self._change
        known = {name: each.head for name, each in self.logs.items()} | {"sessions": change}
        if changes or (known != self._known and time.monotonic() - self._kept_at > KEEP_SECONDS):
            await self._store.keep_copies(self._peer.name, changes, known)
            self._known, self._kept_at = known, time.monotonic()
        if changes:
            self._hub.homes.copied(self._peer.name, changes)
            await self._hub.homes.arrived(changes)
            self._change = change
