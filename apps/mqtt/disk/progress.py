"""How far forwarding has come, in an SQLite file of its own: written by the forwarder, read by whoever asks.

One row holds the cursor (the last reading that needs nothing more) and the counts that must agree with it;
it changes in one transaction together with the dead letters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.mqtt.disk.lock import hold

FILE = "forward.db"

SCHEMA = """
CREATE TABLE progress (
    cursor INTEGER NOT NULL, forwarded INTEGER NOT NULL, dead_letter INTEGER NOT NULL, far_errors INTEGER NOT NULL);
INSERT INTO progress VALUES (0, 0, 0, 0);
CREATE TABLE dead_letters (n INTEGER PRIMARY KEY, id BLOB NOT NULL, document TEXT NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Progress:
    cursor: int = 0
    forwarded: int = 0
    dead_letter: int = 0
    far_errors: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A reading that the far store refuses for what it is; kept whole, with the refusal."""

    n: int
    id: bytes
    document: str
    reason: str


def _connect(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(data / FILE, isolation_level=None, timeout=5)


def _read(db: sqlite3.Connection) -> Progress:
    return Progress(*db.execute("SELECT cursor, forwarded, dead_letter, far_errors FROM progress").fetchone())


class ProgressReader:
    """Reads the file once it is there; before that, nothing has been forwarded."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._db: sqlite3.Connection | None = None

    def read(self) -> Progress:
        if self._db is None:
            if not (self._data / FILE).exists():
                return Progress()
            db = _connect(self._data)
            db.execute("PRAGMA query_only = 1")
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.close()
                return Progress()
            self._db = db
        return _read(self._db)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class ProgressWriter:
    """The one writer; waits for a predecessor that is still ending."""

    def __init__(self, data: Path) -> None:
        self._lock = hold(data / "forward.lock", wait=True)
        self._db = _connect(data)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if not self._db.execute("PRAGMA user_version").fetchone()[0]:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = 1; COMMIT;")
        self.now = _read(self._db)

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def advance(self, cursor: int, forwarded: int, dead: Sequence[DeadLetter]) -> None:
        """Everything up to ``cursor`` is settled: ``forwarded`` more are far, ``dead`` never will be."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT INTO dead_letters (n, id, document, reason) VALUES (?, ?, ?, ?)",
                [(letter.n, letter.id, letter.document, letter.reason) for letter in dead],
            )
            self._db.execute(
                "UPDATE progress SET cursor = ?, forwarded = forwarded + ?, dead_letter = dead_letter + ?",
                (cursor, forwarded, len(dead)),
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.now = _read(self._db)

    def count_error(self) -> None:
        self._db.execute("UPDATE progress SET far_errors = far_errors + 1")
        self.now = _read(self._db)
