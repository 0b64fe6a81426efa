"""Sessions on disk: an SQLite file of their own, one document for each client, written by one thread.

A change has a number, so that a peer can ask for what changed since. A session that ended, or that moved to another
node, leaves a document without content for as long as somebody may still have to hear of it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from apps.mqtt.log import log

FILE = "sessions.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    client TEXT PRIMARY KEY, change INTEGER NOT NULL, document TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_change ON sessions (change);
CREATE TABLE IF NOT EXISTS copies (node TEXT, client TEXT, document TEXT NOT NULL, PRIMARY KEY (node, client))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads (node TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
"""

Document = dict[str, Any]
Row = tuple[str, int, str | None]


def _nobody_listens() -> None:
    """Alone in its zone."""


class SessionStore:
    change: int

    def __init__(self, data: Path) -> None:
        self._db = sqlite3.connect(data / FILE, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self._reading = sqlite3.connect(data / FILE, isolation_level=None)  # never waits for a write
        self._thread = ThreadPoolExecutor(1, "sessions")
        self._waiting: list[tuple[list[Row], asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        (self.change,) = self._db.execute("SELECT coalesce(max(change), 0) FROM sessions").fetchone()
        self.on_change: Callable[[], None] = _nobody_listens

    def load(self) -> list[Document]:
        rows = self._db.execute("SELECT document FROM sessions WHERE document IS NOT NULL")
        return [json.loads(document) for (document,) in rows]

    def load_copies(self) -> list[tuple[str, Document]]:
        rows = self._db.execute("SELECT node, document FROM copies")
        return [(node, json.loads(document)) for node, document in rows]

    def load_heads(self) -> dict[str, Document]:
        return {node: json.loads(document) for node, document in self._db.execute("SELECT node, document FROM heads")}

    async def keep(self, documents: Sequence[tuple[str, Document | None]]) -> int:
        """Durable when it returns: the number of the last change. None as document: there is no such session now."""
        if not documents:
            return self.change
        rows: list[Row] = []
        for client, document in documents:
            self.change += 1
            rows.append((client, self.change, None if document is None else json.dumps(document)))
        change: int = self.change
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, waiting))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await waiting
        return change

    async def _flush(self) -> None:
        """Write what has gathered, in one transaction, until nothing is left: a whole zone reconnects at once."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure: sqlite3.Error | None = None
            try:
                rows = [row for some, _ in batch for row in some]
                await self._write("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", rows)
            except sqlite3.Error as error:
                failure = error
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(failure) if failure else waiting.set_result(None)
            self.on_change()

    async def keep_copies(self, node: str, changes: Sequence[tuple[str, Document | None]], head: Document) -> None:
        """What a peer said of its sessions, and where it stood when it said so."""
        gone = [(node, client) for client, document in changes if document is None]
        kept = [(node, client, json.dumps(document)) for client, document in changes if document is not None]
        await self._write("DELETE FROM copies WHERE node = ? AND client = ?", gone)
        await self._write("INSERT OR REPLACE INTO copies VALUES (?, ?, ?)", kept)
        await self._write("INSERT OR REPLACE INTO heads VALUES (?, ?)", [(node, json.dumps(head))])

    def since(self, change: int, limit: int) -> list[tuple[int, str, Document | None]]:
        if change >= self.change:
            return []
        query = "SELECT change, client, document FROM sessions WHERE change > ? ORDER BY change LIMIT ?"
        return [
            (n, client, document and json.loads(document))
            for n, client, document in self._reading.execute(query, (change, limit))
        ]

    async def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._run, statement, rows)
        except sqlite3.Error as error:
            log("session_not_kept", why=str(error))
            raise

    def _run(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._thread.shutdown()
        self._reading.close()
        self._db.close()
