"""The durable store: one SQLite file, one writer, one transaction for all that a batch of messages changes.

Layout, locking, versions and writing live here; reading is in ``queries``. A batch is either wholly on disk when
``commit`` returns (write-ahead log, ``synchronous=FULL``) or not there at all.

Rows of ``readings`` are numbered 1, 2, 3, … without gaps in the order of their commits. The forwarder's cursor, the
pages of ``/v1/readings`` and the law ``stored = forwarded + backlog + dead_letter`` all rest on that.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.mqtt.lock import hold
from apps.mqtt.reading import Reading, Unreadable

READS = (1,)  # data versions, as release.toml names them
WRITES = 1
FILE = "readings.db"
QUARANTINED_PAYLOAD_BYTES = 4096
BUSY_SECONDS = 0.5  # nobody else writes; a visitor with a database shell is waited for this long per try

SCHEMA = """
CREATE TABLE readings (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, device TEXT NOT NULL,
    epoch INTEGER, seq INTEGER, reading NOT NULL, ts INTEGER, rts INTEGER NOT NULL);
CREATE INDEX readings_by_device ON readings (device, n);
CREATE TABLE latest (
    device TEXT PRIMARY KEY, epoch INTEGER, seq INTEGER, reading NOT NULL, ts INTEGER, rts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE quarantine (
    n INTEGER PRIMARY KEY, device TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL, rts INTEGER NOT NULL);
CREATE TABLE totals (stored INTEGER NOT NULL, quarantined INTEGER NOT NULL, quarantine_dropped INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);
CREATE TABLE about (zone TEXT NOT NULL);
"""

CROWDED = 0.8  # of max_store_bytes in use: readings that are far go, whatever their age
TRIM_ROWS = 2_000  # in one transaction, so that no message waits long behind it

NEWEST = "SELECT coalesce(max(n), (SELECT stored FROM totals)) FROM readings"
INSERT = "INSERT INTO readings (n, id, device, epoch, seq, reading, ts, rts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

# The newest reading is the one the device numbered last; its clock may be wrong. Where one of the two carries
# no number, the one that came last is the newest.
UPSERT_LATEST = """
INSERT INTO latest (device, epoch, seq, reading, ts, rts) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, reading = excluded.reading,
    ts = excluded.ts, rts = excluded.rts
WHERE excluded.seq IS NULL OR latest.seq IS NULL OR (excluded.epoch, excluded.seq) > (latest.epoch, latest.seq)
"""


class StoreRefused(Exception):
    """The directory is in use, of another zone, or of a version that this release cannot read."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One received message. ``id`` is the reading's identity, None when the content is unreadable."""

    device: str
    topic: str
    payload: bytes
    content: Reading | Unreadable
    id: bytes | None
    rts: int  # milliseconds, this node's clock


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a batch; the three add up to its length."""

    committed: int = 0
    duplicates: int = 0
    quarantined: int = 0


class Store:
    """The one writer of a data directory. Use from one thread at a time."""

    def __init__(self, data: Path, zone: str, *, quarantine_rows: int, max_store_bytes: int = 0) -> None:
        data.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = hold(data / "lock", wait=False)
        except BlockingIOError:
            raise StoreRefused(f"Another process uses {data}; stop it before this one is started.") from None
        self._quarantine_rows = quarantine_rows
        self._db = sqlite3.connect(data / FILE, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            _prepare(self._db, data, zone)
            if max_store_bytes:
                page_size = self._db.execute("PRAGMA page_size").fetchone()[0]
                self._db.execute(f"PRAGMA max_page_count = {max_store_bytes // page_size}")
            self._newest: int | None = None  # the highest n; None: to be read
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def commit(self, batch: Sequence[Arrival]) -> Tally:
        """Write all of ``batch`` durably. Raises sqlite3.Error, and then none of it is kept."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            fresh, unreadable, duplicates = self._sort_out(batch)
            self._newest = self._insert(fresh)
            self._quarantine(unreadable)
            self._db.execute("COMMIT")
        except BaseException:
            self._newest = None  # after a COMMIT that failed, only the file knows
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return Tally(len(fresh), duplicates, len(unreadable))

    def trim(self, before: int, far: int) -> int:
        """Drop the oldest readings that are far (up to number ``far``) and came before ``before``: how many went.

        A store near its bound drops them whatever their age, so that what is safe elsewhere never keeps a new
        message out. What is not far yet stays, and so does the newest reading of each device.
        """
        if self._crowded():
            before = sys.maxsize
        oldest = self._db.execute("SELECT n, rts FROM readings WHERE n <= ? ORDER BY n LIMIT ?", (far, TRIM_ROWS))
        last = 0
        for n, rts in oldest:  # in order of commit: a clock that was wrong for a while delays, and never skips
            if rts >= before:
                break
            last = n
        return self._db.execute("DELETE FROM readings WHERE n <= ?", (last,)).rowcount if last else 0

    def _crowded(self) -> bool:
        (most,), (pages,), (free,) = (
            self._db.execute(f"PRAGMA {name}").fetchone() for name in ("max_page_count", "page_count", "freelist_count")
        )
        return bool(pages - free > most * CROWDED)

    def _sort_out(self, batch: Sequence[Arrival]) -> tuple[list[Arrival], list[tuple[Arrival, str]], int]:
        """What is new, what goes to quarantine and why, and how many were here already.

        Two different readings under one number mean a device that restarted without a new epoch. Calling the second
        a duplicate would lose it in silence.
        """
        seen = self._known([arrival.id for arrival in batch if arrival.id is not None])
        fresh: list[Arrival] = []
        unreadable: list[tuple[Arrival, str]] = []
        duplicates = 0
        for arrival in batch:
            content = arrival.content
            if isinstance(content, Unreadable) or arrival.id is None:
                unreadable.append((arrival, content.reason if isinstance(content, Unreadable) else "no identity"))
                continue
            known = seen.get(arrival.id)
            if known is None:
                seen[arrival.id] = (content.value, content.ts)
                fresh.append(arrival)
            elif known == (content.value, content.ts):
                duplicates += 1
            else:
                unreadable.append((arrival, "another reading has this epoch and seq"))
        return fresh, unreadable, duplicates

    def _known(self, ids: list[bytes]) -> dict[bytes, tuple[int | float, int | None]]:
        known = {}
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT id, reading, ts FROM readings WHERE id IN ({marks})", part)
            known.update({row[0]: (row[1], row[2]) for row in rows})
        return known

    def _insert(self, fresh: list[Arrival]) -> int:
        """The highest n after it."""
        newest = self._newest
        if newest is None:
            (newest,) = self._db.execute(NEWEST).fetchone()
        if not fresh:
            return newest
        rows = []
        for n, arrival in enumerate(fresh, newest + 1):
            reading = arrival.content
            assert isinstance(reading, Reading)
            rows.append(
                (n, arrival.id, arrival.device, reading.epoch, reading.seq, reading.value, reading.ts, arrival.rts)
            )
        self._db.executemany(INSERT, rows)
        self._db.executemany(UPSERT_LATEST, [row[2:] for row in rows])
        self._db.execute("UPDATE totals SET stored = stored + ?", (len(rows),))
        return newest + len(rows)

    def _quarantine(self, unreadable: list[tuple[Arrival, str]]) -> None:
        if not unreadable:
            return
        self._db.executemany(
            "INSERT INTO quarantine (device, topic, reason, payload, payload_bytes, rts) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (a.device, a.topic, reason, a.payload[:QUARANTINED_PAYLOAD_BYTES], len(a.payload), a.rts)
                for a, reason in unreadable
            ],
        )
        keep_after = "(SELECT max(n) FROM quarantine) - ?"
        dropped = self._db.execute(f"DELETE FROM quarantine WHERE n <= {keep_after}", (self._quarantine_rows,)).rowcount
        self._db.execute(
            "UPDATE totals SET quarantined = quarantined + ?, quarantine_dropped = quarantine_dropped + ?",
            (len(unreadable), dropped),
        )


def _prepare(db: sqlite3.Connection, data: Path, zone: str) -> None:
    """Create the tables, or make sure that what is there can be read and belongs to this zone."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {WRITES};")
        db.execute("INSERT INTO about VALUES (?)", (zone,))
        db.execute("COMMIT")
        return
    if version not in READS:
        can = " and ".join(map(str, READS))
        raise StoreRefused(
            f"{data / FILE} holds data version {version} and this release reads {can}; "
            f"start a release that reads {version}."
        )
    (owner,) = db.execute("SELECT zone FROM about").fetchone()
    if owner != zone:
        raise StoreRefused(f"{data} belongs to zone {owner}, not to {zone}; give each zone a directory of its own.")
