"""A ledger in one SQLite file: append-only, fsynced, hash-chained, with compare-and-swap on the newest hash.

One file holds one environment. Any number of processes may read it and append orders to it; only one may lead it, which
``Leadership`` holds by a file lock. What the rows mean stands in ``rows``.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.errors import Conflict, Unreachable
from controller.rollout.rows import GENESIS, Body, Row, canonical, chain

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    n INTEGER PRIMARY KEY, at REAL NOT NULL, generation INTEGER NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS append_only_update BEFORE UPDATE ON rows
    BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS append_only_delete BEFORE DELETE ON rows
    BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
"""


WAIT_SECONDS = 1.0
"""How long a write waits for another process; after one that waited in vain, none waits until one succeeds."""


class SqliteLedger:
    """Rows of one environment. Safe to use from several threads and several processes."""

    def __init__(self, path: Path, utc: Callable[[], float]) -> None:
        self._path, self._utc = path, utc
        self._lock = threading.Lock()
        self._held_up = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise Unreachable(f"the ledger {path}", str(error), "Check the disk and who owns the file.") from error

    def rows(self, after: int = 0, kind: str | None = None) -> list[Row]:
        """Rows with ``n > after``, oldest first. Raises Unreachable."""
        where = "n > ?" + (" AND kind = ?" if kind else "")
        with self._asking("reading"):
            found = self._db.execute(
                f"SELECT n, at, generation, kind, body, hash FROM rows WHERE {where} ORDER BY n",
                (after, kind) if kind else (after,),
            ).fetchall()
        return [Row(n, at, by, what, self._body(n, body), hash) for n, at, by, what, body, hash in found]

    def _body(self, n: int, text: str) -> Body:
        try:
            body: Body = json.loads(text)
        except ValueError as error:
            said = f"row {n} is no JSON ({error}): the file was changed by hand or is damaged"
            raise Unreachable(f"reading the ledger {self._path}", said, "Restore it from a copy.") from error
        return body

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        """Add one row and have it on disk. Raises Conflict when the newest row is not ``follows``, or Unreachable.

        ``follows`` is the hash of the newest row the writer has read; None adds whatever came last, which only orders
        and other rows that decide nothing may do.
        """
        text = canonical(body)
        with self._asking("writing"):
            self._db.execute(f"PRAGMA busy_timeout = {0 if self._held_up else WAIT_SECONDS * 1000:.0f}")
            self._held_up = True
            self._db.execute("BEGIN IMMEDIATE")
            self._held_up = False
            try:
                last = self._db.execute("SELECT n, hash, generation FROM rows ORDER BY n DESC LIMIT 1").fetchone()
                n, previous, newest = last or (0, GENESIS, 0)
                if follows is not None and follows != previous:
                    raise Conflict(str(self._path), f"row {n} came first", "Read it and decide again.")
                if follows is not None and generation < newest:
                    raise Conflict(str(self._path), f"generation {newest} leads now", "Step down.")
                generation = max(generation, newest)  # an order that was begun before a take-over hides it from nobody
                at = self._utc()
                row = Row(n + 1, at, generation, kind, body, chain(previous, n + 1, at, generation, kind, text))
                self._db.execute(
                    "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", (row.n, at, generation, kind, text, row.hash)
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled it back already
                    self._db.execute("ROLLBACK")
                raise
        return row

    def broken_at(self) -> int | None:
        """The first row whose hash does not follow from the one before it, or None when the chain is whole."""
        previous = GENESIS
        with self._asking("reading"):
            cursor = self._db.execute("SELECT n, at, generation, kind, body, hash FROM rows ORDER BY n")
            for n, at, generation, kind, body, found in cursor:
                if chain(previous, n, at, generation, kind, body) != found:
                    return int(n)
                previous = found
        return None

    def close(self) -> None:
        self._db.close()

    def _asking(self, attempt: str) -> _Asking:
        return _Asking(self._lock, self._path, attempt)


class _Asking:
    """One thread at a time, and SQLite's complaints as ours."""

    def __init__(self, lock: threading.Lock, path: Path, attempt: str) -> None:
        self._lock, self._path, self._attempt = lock, path, attempt

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        if isinstance(error, sqlite3.Error):
            what = f"{self._attempt} the ledger {self._path}"
            raise Unreachable(what, str(error), "Check the disk; actions toward last good go on.") from error


TRIES, PAUSE = 10, 0.02
"""A look whether somebody leads holds the lock for a moment: whoever wants to lead tries for longer than that."""


def leader(path: Path) -> str | None:
    """The pid of the process that leads, or None where none does: believed only while it holds the lock.

    Raises Unreachable where nobody may look.
    """
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(64).strip() or "unknown"
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreachable(f"looking who leads by {path}", error.strerror or str(error), "Look as its owner.") from error
    return None


class Leadership:
    """The right to move an environment's rollouts: held by one process, given up when it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not taken(file):
            holder = os.read(file, 64).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise Conflict(
                str(self._path.parent), f"the controller with pid {holder} leads it", "Stop that one first, or use it."
            )
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def taken(file: int) -> bool:
    """Whether the lock is ours now."""
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(PAUSE)
        else:
            return True
    return False


class Spool:
    """Rows toward last good that the ledger could not take: fsynced lines on the controller's own disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, kind: str, body: Body, generation: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = canonical({"kind": kind, "body": body, "generation": generation})
        with self._path.open("ab+") as file:
            if file.tell() and self._path.read_bytes()[-1:] != b"\n":
                file.write(b"\n")  # what a power cut left of a line ends here
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def waiting(self) -> Iterator[tuple[str, Body, int]]:
        """What was added and not dropped, oldest first. Half a line was never answered for, so it does not count."""
        for line in self._lines():
            entry = json.loads(line)
            yield entry["kind"], entry["body"], entry["generation"]

    def drop_first(self) -> None:
        """The oldest entry has come to the ledger."""
        rest = self._lines()[1:]
        if not rest:
            self._path.unlink(missing_ok=True)
            return
        partial = self._path.with_suffix(".partial")
        with partial.open("w") as file:
            file.writelines(f"{line}\n" for line in rest)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        return [line for line in self._path.read_text(errors="replace").splitlines() if whole(line)]


def whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
