"""What came down from the far store, on disk: in the same transaction as the place in the stream it came from.

Written by the sync process, read by the serving process, which publishes it and remembers how far it is.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "down.db"
COUNTS = ("down_taken", "down_ignored", "down_errors", "down_reread", "down_following")
KINDS = ("commands", "config")
SCHEMA = """
CREATE TABLE IF NOT EXISTS found (
    n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, device TEXT NOT NULL,
    rev INTEGER NOT NULL, payload TEXT NOT NULL, expires INTEGER, UNIQUE (kind, name, rev));
CREATE TABLE IF NOT EXISTS places (
    kind TEXT PRIMARY KEY, token TEXT, rev INTEGER NOT NULL, taken INTEGER NOT NULL, errors INTEGER NOT NULL,
    reread INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ignored (kind TEXT, why TEXT, count INTEGER NOT NULL, PRIMARY KEY (kind, why)) WITHOUT ROWID;
"""


KEPT_ROWS = 10_000
TRIM = """
DELETE FROM found WHERE n <= min(?, (SELECT max(n) FROM found) - ?)
AND rev < (SELECT rev FROM places WHERE kind = found.kind)
AND (kind <> 'config' OR rev < (SELECT max(rev) FROM found AS newer WHERE kind = 'config' AND name = found.name))
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Something to publish to a device. ``payload`` is empty for configuration that is no more."""

    name: str
    device: str
    rev: int
    payload: str
    expires: int | None


@dataclass(frozen=True, slots=True)
class Ignored:
    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A row of ``found`` as the serving process reads it."""

    n: int
    kind: str
    name: str
    device: str
    rev: int
    payload: str
    expires: int | None


class DownStore:
    """The one writer; used by several threads."""

    def __init__(self, data: Path) -> None:
        self._db = sqlite3.connect(data / FILE, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self._db.executemany("INSERT OR IGNORE INTO places VALUES (?, NULL, 0, 0, 0, 0)", [(kind,) for kind in KINDS])

    def place(self, kind: str) -> tuple[Mapping[str, Any] | None, int]:
        """Where to go on in the stream (None: nowhere, all has to be read), and the highest rev that is known."""
        with self._lock:
            token, rev = self._db.execute("SELECT token, rev FROM places WHERE kind = ?", (kind,)).fetchone()
        return (None if token is None else json.loads(token)), rev

    def forget_place(self, kind: str) -> None:
        with self._lock:
            self._db.execute("UPDATE places SET token = NULL, reread = reread + 1 WHERE kind = ?", (kind,))

    def count_error(self, kind: str) -> None:
        with self._lock:
            self._db.execute("UPDATE places SET errors = errors + 1 WHERE kind = ?", (kind,))

    def take(self, kind: str, looked_at: Iterable[Found | Ignored], token: Mapping[str, Any] | None) -> bool:
        """Whether anything of it was new."""
        new = 0
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for each in looked_at:
                    why = each.why if isinstance(each, Ignored) else self._add(kind, each)
                    if why is None:
                        new += 1
                    elif why:
                        self._ignore(kind, why)
                if token is not None:
                    self._db.execute("UPDATE places SET token = ? WHERE kind = ?", (json.dumps(token), kind))
                self._db.execute("UPDATE places SET taken = taken + ? WHERE kind = ?", (new, kind))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        return new > 0

    def trim(self, published: int) -> int:
        """Drop the oldest rows beyond ``KEPT_ROWS`` that are published, up to number ``published``: how many went.

        What may be sent once more stays, to be recognised: the newest of each device's configuration, and the highest
        rev, from which all is read again after a long cut.
        """
        with self._lock:
            return self._db.execute(TRIM, (published, KEPT_ROWS)).rowcount

    def _add(self, kind: str, found: Found) -> str | None:
        """None when it is new; empty when it has been here already; otherwise why it is ignored."""
        if kind == "config":
            query = "SELECT max(rev) FROM found WHERE kind = ? AND name = ?"
            (newest,) = self._db.execute(query, (kind, found.name)).fetchone()
            if newest is not None and found.rev < newest:
                return "stale"
        row = (kind, found.name, found.device, found.rev, found.payload, found.expires)
        insert = (
            "INSERT INTO found (kind, name, device, rev, payload, expires) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (kind, name, rev) DO NOTHING"
        )
        if not self._db.execute(insert, row).rowcount:
            return ""
        self._db.execute("UPDATE places SET rev = max(rev, ?) WHERE kind = ?", (found.rev, kind))
        return None

    def _ignore(self, kind: str, why: str) -> None:
        self._db.execute(
            "INSERT INTO ignored VALUES (?, ?, 1) ON CONFLICT (kind, why) DO UPDATE SET count = count + 1", (kind, why)
        )


class DownReader:
    """Reads the file once it is there; before that, nothing has come."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._db: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection | None:
        if self._db is None and self._path.exists():
            db = sqlite3.connect(self._path, isolation_level=None)
            db.execute("PRAGMA query_only = 1")
            if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ignored'").fetchone()[0]:
                db.close()  # it is being made
                return None
            self._db = db
        return self._db

    def after(self, n: int, limit: int) -> list[Taken]:
        db = self._open()
        query = "SELECT n, kind, name, device, rev, payload, expires FROM found WHERE n > ? ORDER BY n LIMIT ?"
        return [] if db is None else [Taken(*row) for row in db.execute(query, (n, limit))]

    def counts(self) -> dict[str, int]:
        """What came, what was ignored, what failed, how often all was read again."""
        db = self._open()
        if db is None:
            return dict.fromkeys(COUNTS, 0)
        sums = "SELECT total(taken), total(errors), total(reread), count(token) FROM places"
        taken, errors, reread, following = map(int, db.execute(sums).fetchone())
        (ignored,) = db.execute("SELECT coalesce(sum(count), 0) FROM ignored").fetchone()
        return dict(zip(COUNTS, (taken, ignored, errors, reread, following), strict=True))
