"""Keeping copies for another node of the zone: asked for again and again, each time from what is on disk here.

This is done for every peer, whatever its ``ack`` says: a node that wants copies must not have to wait until its peers
were told. A node that wants none answers that there is nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from apps.mqtt.disk.copy_store import CopyStore
from apps.mqtt.log import log
from apps.mqtt.peers import Peer, PeerAway

WAIT_SECONDS = 4.0
ANSWER_SECONDS = 4.0  # beyond the wait
AWAY_SECONDS = (0.05, 0.1, 0.2, 0.5)
SILENT_SECONDS = 10.0  # a node that says nothing for this long has its readings carried by us
DAY_MS = 86_400_000


class Keeper:
    """One peer, whose copies are kept for as long as the process lives."""

    def __init__(
        self, node: str, peer: Peer, store: CopyStore, thread: ThreadPoolExecutor, retention_days: int
    ) -> None:
        self._node, self._peer, self._store, self._thread = node, peer, store, thread
        self._retention_ms = retention_days * DAY_MS

    async def keep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        heard, failures, silent = time.monotonic(), 0, False
        life, serial = self._store.stand(self._peer.name)
        while True:
            try:
                query = {"node": self._node, "life": life, "after": serial, "wait": WAIT_SECONDS}
                answer = await self._peer.get("/peer/copies", query, WAIT_SECONDS + ANSWER_SECONDS)
                if answer["rows"] or int(answer["life"]) != life or silent:
                    before = int(time.time() * 1000) - self._retention_ms
                    await loop.run_in_executor(self._thread, self._store.keep, self._peer.name, answer, before)
                life, serial = int(answer["life"]), int(answer["upto"])
                heard, failures, silent = time.monotonic(), 0, False
            except (PeerAway, KeyError, TypeError, ValueError, sqlite3.Error) as error:
                if not silent and time.monotonic() - heard > SILENT_SECONDS:
                    with contextlib.suppress(sqlite3.Error):  # our own disk takes nothing: said again at the next try
                        await loop.run_in_executor(self._thread, self._store.is_silent, self._peer.name)
                        log("peer_silent", peer=self._peer.name, why=f"its readings are carried from here: {error}")
                        silent = True
                await asyncio.sleep(AWAY_SECONDS[min(failures, len(AWAY_SECONDS) - 1)])
                failures += 1
