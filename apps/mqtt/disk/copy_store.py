"""Copies of what other nodes acknowledged, on disk: ``copies.db``, written by the serving process.

A copy is a message as it came, and what its node made of it. It is dropped once its node says that its readings are
far; a copy that was no reading stays for the retention. Of a node that has been silent for too long, or that lost its
volume and began anew, the sync process carries the readings itself (``carried`` says how far it is).
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.mqtt.disk.queries import Row

FILE = "copies.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS copies (
    place INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, id BLOB, device TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, rts INTEGER NOT NULL, volume INTEGER NOT NULL, head INTEGER NOT NULL,
    reading, seq INTEGER, epoch INTEGER, ts INTEGER, more TEXT,
    UNIQUE (node, id));
CREATE TABLE IF NOT EXISTS stands (
    node TEXT PRIMARY KEY, life INTEGER NOT NULL, volume INTEGER NOT NULL, serial INTEGER NOT NULL,
    silent INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS carried (node TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
"""
BUSY_SECONDS = 5.0  # the sync process writes a line now and then
INSERT = (
    "INSERT OR IGNORE INTO copies (node, id, device, topic, payload, rts, volume, head, reading, seq, epoch, ts, more) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FAR = "DELETE FROM copies WHERE node = ? AND volume = ? AND head <= ? AND reading IS NOT NULL"
TO_CARRY = (
    "SELECT c.node, c.place, c.id, c.device, c.epoch, c.seq, c.reading, c.ts, c.rts, c.more FROM copies c "
    "JOIN stands s ON s.node = c.node AND (s.silent OR s.volume <> c.volume) LEFT JOIN carried d ON d.node = c.node "
    "WHERE c.reading IS NOT NULL AND c.place > coalesce(d.place, 0) ORDER BY c.node, c.place LIMIT ?"
)


class CopyStore:
    """Use from one thread at a time."""

    def __init__(self, data: Path) -> None:
        self._db = sqlite3.connect(data / FILE, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def stand(self, node: str) -> tuple[int, int]:
        """Of which life of that node everything up to which serial is here."""
        found = self._db.execute("SELECT life, serial FROM stands WHERE node = ?", (node,)).fetchone()
        return (0, 0) if found is None else (int(found[0]), int(found[1]))

    def keep(self, node: str, answer: dict[str, Any], forget_before: int) -> None:
        """All that one answer of the node said, durably. Raises sqlite3.Error, or KeyError, TypeError, ValueError."""
        volume = int(answer["volume"])
        rows = [_row(node, volume, said) for said in answer["rows"]]
        stand = (node, int(answer["life"]), volume, int(answer["upto"]), 0)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(INSERT, rows)
            self._db.execute("INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?, ?)", stand)
            self._db.execute(FAR, (node, volume, int(answer["far"])))
            self._db.execute("DELETE FROM copies WHERE node = ? AND rts < ?", (node, forget_before))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def is_silent(self, node: str) -> None:
        self._db.execute("UPDATE stands SET silent = 1 WHERE node = ? AND NOT silent", (node,))

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM copies").fetchone()[0])

    # -- for the sync process ----------------------------------------------------------------------------------

    def to_carry(self, limit: int) -> tuple[str, list[Row]]:
        """Readings of one node that is silent; ``n`` of each row is its place here."""
        found = self._db.execute(TO_CARRY, (limit,)).fetchall()
        node = found[0][0] if found else ""
        return node, [Row(*row) for owner, *row in found if owner == node]

    def carried(self, node: str, place: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO carried VALUES (?, ?)", (node, place))


def _row(node: str, volume: int, said: dict[str, Any]) -> Sequence[Any]:
    value, seq, epoch, ts, more = said["reading"] or (None,) * 5
    name = None if said["id"] is None else bytes.fromhex(said["id"])
    return (node, name, said["device"], said["topic"], base64.b64decode(said["payload"]), int(said["rts"]),
            volume, int(said["head"]), value, seq, epoch, ts, more)  # fmt: skip
