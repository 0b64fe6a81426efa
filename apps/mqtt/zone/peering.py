"""What this node tells the other nodes of its zone, and nobody else: reads, its logs as they grow, its sessions.

``/peer/feed`` is asked again and again, each time from where the last answer ended; it waits until there is something
to say. That a peer asks from a later place is the proof that it has what came before.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from apps.mqtt.bell import Bell
from apps.mqtt.broker.copies import Copies
from apps.mqtt.broker.hub import Hub
from apps.mqtt.disk.queries import LOGS, Reader
from apps.mqtt.disk.session_store import SessionStore
from apps.mqtt.wire.topics import matches

FEED_ROWS = 500
FEED_SESSIONS = 100
LONGEST_WAIT = 5.0
RECENT_SECONDS = 3.0  # a peer that asked within these is there
COPY_SECONDS = 1.0  # for the peers that are there to have a copy of a session

Query = dict[str, str]


class Peering:
    def __init__(
        self, node: str, hub: Hub, reader: Reader, sessions: SessionStore, bell: Bell,
        copies: Copies | None, far_cursor: Callable[[], int],
    ) -> None:  # fmt: skip
        """``copies`` are of what is to be acknowledged; ``far_cursor`` tells up to which reading all is far."""
        self._copies, self._far_cursor = copies, far_cursor
        self._node = node
        self._hub = hub
        self._reader = reader
        self._sessions = sessions
        self._bell = bell
        self._asked: dict[str, tuple[float, int]] = {}  # peer: when it last asked, the session change that it has
        self._confirmed = Bell()

    async def respond(self, what: str, query: Query) -> dict[str, Any] | None:
        """None: nothing is under this path. Raises KeyError or ValueError for what no peer of ours asks."""
        match what:
            case "readings":
                return {"readings": self._reader.rows(int(query["after"]), int(query["limit"]), query.get("device"))}
            case "retained":
                filters = json.loads(query["filters"])
                return {"retained": [message.as_json() for message in self._reader.retained(filters)]}
            case "claim":
                return {"session": await self._hub.give_up(query["client"], query["node"], clean=query["clean"] == "1")}
            case "copies" if self._copies is None:
                await asyncio.sleep(min(float(query["wait"]), LONGEST_WAIT))
                return {"life": 0, "volume": 0, "upto": 0, "rows": [], "far": 0}
            case "copies" if self._copies is not None:
                life, after, wait = int(query["life"]), int(query["after"]), float(query["wait"])
                return await self._copies.after(life, after, wait, self._far_cursor)
            case "feed":
                return await self._feed(query)
        return None

    async def copied(self, change: int) -> None:
        """Return when every peer that is there has this change of our sessions, or after a while anyway."""
        deadline = time.monotonic() + COPY_SECONDS
        while True:
            now = time.monotonic()
            late = [node for node, (at, has) in self._asked.items() if has < change and now - at < RECENT_SECONDS]
            if not late or now >= deadline:
                return
            await self._confirmed.wait(deadline - now)

    async def _feed(self, query: Query) -> dict[str, Any]:
        asked = {log: int(query[log]) for log in LOGS if log in query}
        filters: list[str] = json.loads(query["filters"])
        change = int(query["sessions"]) if "sessions" in query else None
        if change is not None:
            self._asked[query["node"]] = (time.monotonic(), change)
            self._confirmed.ring()
        deadline = time.monotonic() + min(float(query["wait"]), LONGEST_WAIT)
        places = dict(asked)
        while True:
            answer: dict[str, Any] = {log: self._since(log, after, filters) for log, after in places.items()}
            if change is not None:
                answer["sessions"] = self._sessions.since(change, FEED_SESSIONS)
            news = any(answer[log]["messages"] for log in asked) or answer.get("sessions") or min(asked.values()) < 0
            grown = "wake" in query and any(answer[log]["upto"] > after for log, after in asked.items())
            left = deadline - time.monotonic()
            if news or grown or left <= 0:
                return answer
            places = {log: answer[log]["upto"] for log in asked}
            await self._bell.wait(left)

    def _since(self, log: str, after: int, filters: list[str]) -> dict[str, Any]:
        head = self._hub.logs[f"{self._node}/{log}"].head
        if after < 0 or not filters:
            return {"messages": [], "upto": head}
        while True:
            rows = [row for row in self._reader.published(log, after, FEED_ROWS) if row.n <= head]
            found = [
                row.as_json()
                for row in rows
                if row.publisher and any(matches(pattern, row.topic) for pattern in filters)  # from far: they have it
            ]
            after = rows[-1].n if rows else max(after, head)
            if found or not rows:
                return {"messages": found, "upto": after}
