"""The durable store: one SQLite file, one writer, one transaction for all that a batch of messages changes.

Locking and writing live here; the tables are in ``layout``, reading is in ``queries``. A batch is either wholly on
disk when ``commit`` returns (write-ahead log, ``synchronous=FULL``) or not there at all.

Rows of ``readings`` are numbered 1, 2, 3, … without gaps in the order of their commits. The forwarder's cursor, the
pages of ``/v1/readings`` and the law ``stored = forwarded + backlog + dead_letter`` all rest on that.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from apps.mqtt.disk.layout import FILE, VOLUME, StoreRefused, prepare
from apps.mqtt.disk.lock import hold
from apps.mqtt.readings.reading import Reading, Unreadable
from apps.mqtt.wire.message import Message

QUARANTINED_PAYLOAD_BYTES = 4096
BUSY_SECONDS = 0.5  # nobody else writes; a visitor with a database shell is waited for this long per try
LOG_PAGES = 4_000  # 16 MB: pages that many commits change are carried from the log into the file once
CROWDED = 0.8  # of max_store_bytes in use: readings that are far go, whatever their age
TRIM_ROWS = 2_000  # in one transaction, so that no message waits long behind it

NEWEST = "SELECT coalesce(max(n), (SELECT stored FROM totals)) FROM readings"
SIZES = tuple(2**power for power in range(10, -1, -1))
"""By how many rows go in at once: few statements, since after each the event loop may take its turn, and keep it."""
COLUMNS = "n, id, device, epoch, seq, reading, ts, rts, payload, qos, properties, expires, more"
INSERT_MESSAGE = (
    "INSERT INTO messages (id, topic, payload, qos, publisher, properties, expires, rts) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
RETAIN = "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?)"
MARK = "INSERT OR REPLACE INTO marks VALUES (?, ?)"

# The newest reading is the one the device numbered last; its clock may be wrong. Where one of the two carries
# no number, the one that came last is the newest.
NEWER = """ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, reading = excluded.reading,
    ts = excluded.ts, rts = excluded.rts
WHERE excluded.seq IS NULL OR latest.seq IS NULL OR (excluded.epoch, excluded.seq) > (latest.epoch, latest.seq)"""


def _by_size(into: str, columns: str, then: str = "") -> dict[int, str]:
    row = f"({', '.join('?' * len(columns.split(', ')))})"
    return {rows: f"INSERT INTO {into} ({columns}) VALUES {', '.join([row] * rows)} {then}" for rows in SIZES}


INSERT = _by_size("readings", COLUMNS)
UPSERT_LATEST = _by_size("latest", "device, epoch, seq, reading, ts, rts", NEWER)


class Passing:
    """Content that is no reading: a state, a command, an alert. Kept for subscribers, as it came."""


PASSING = Passing()


@dataclass(slots=True)  # one for each message: a frozen one takes three times as long to make
class Arrival:
    """One received message. ``id`` tells a resend from a second message; None: nothing can, or it is unreadable."""

    device: str
    topic: str
    payload: bytes
    content: Reading | Unreadable | Passing
    id: bytes | None
    rts: int  # milliseconds, this node's clock
    qos: int = 1
    retain: bool = False
    properties: bytes = b""
    expires: int | None = None
    far: int | None = None  # its number among what came from the far store

    def message(self, n: int) -> Message:
        return Message(
            n, self.topic, self.payload, self.qos, self.device, self.retain, self.properties, self.expires, self.rts
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a batch; the three counts add up to its length."""

    committed: int = 0
    duplicates: int = 0
    quarantined: int = 0
    unreadable: frozenset[int] = field(default=frozenset(), compare=False)  # their positions in the batch
    first: int = field(default=0, compare=False)  # the number of the first reading that is new, and all that are:
    kept: tuple[Arrival, ...] = field(default=(), compare=False)
    messages: tuple[Message, ...] = field(default=(), compare=False)  # what is new in the other log, in order

    def readings(self) -> tuple[Message, ...]:
        """``kept`` as their log has them."""
        return tuple(arrival.message(n) for n, arrival in enumerate(self.kept, self.first))


@dataclass(slots=True)
class _Sorted:
    readings: list[Arrival] = field(default_factory=list)
    passing: list[Arrival] = field(default_factory=list)
    unreadable: dict[int, tuple[Arrival, str]] = field(default_factory=dict)
    duplicates: int = 0


_Known = dict[bytes, tuple[int | float, int | None, str | None]]
"""By identity, what its reading says."""


def sort_out(batch: Sequence[Arrival], known: _Known, passed: set[bytes | None]) -> _Sorted:
    """What is new, what goes to quarantine and why, and how many were here already. Adds to ``known`` and ``passed``.

    Two different readings under one number mean a device that restarted without a new epoch. Calling the second a
    duplicate would lose it in silence.
    """
    found = _Sorted()
    fresh = found.readings
    for at, arrival in enumerate(batch):
        content, name = arrival.content, arrival.id
        if isinstance(content, Reading) and name is not None:
            says = (content.value, content.ts, content.more)
            before = known.setdefault(name, says)
            if before is says:
                fresh.append(arrival)
            elif before == says:
                found.duplicates += 1
            else:
                found.unreadable[at] = (arrival, "another reading has this epoch and seq")
        elif isinstance(content, Passing):
            if name in passed:
                found.duplicates += 1
            else:
                found.passing.append(arrival)
                passed.update(() if name is None else (name,))
        else:
            reason = content.reason if isinstance(content, Unreadable) else "no identity"
            found.unreadable[at] = (arrival, reason)
    return found


def flush_again(log: Path) -> None:
    """Write what an earlier process left in the log once more, and flush it. Raises OSError.

    After a flush that failed, the kernel calls the pages clean: they can be read, and a later flush succeeds without
    them. A message in them would be taken for one that is here, and its resend acknowledged; the next power cut takes
    it. Within a process that cannot be, since a batch that failed is written anew.
    """
    if not log.exists():
        return
    with log.open("rb+", buffering=0) as file:
        at = 0
        while part := os.pread(file.fileno(), 1_000_000, at):
            at += os.pwrite(file.fileno(), part, at)
        os.fdatasync(file.fileno())


class Store:
    """The one writer of a data directory. Use from one thread at a time."""

    def __init__(self, data: Path, zone: str, *, quarantine_rows: int, max_store_bytes: int = 0) -> None:
        data.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = hold(data / "lock", wait=False)
        except BlockingIOError:
            raise StoreRefused(f"Another process uses {data}; stop it before this one is started.") from None
        try:
            flush_again(data / f"{FILE}-wal")
        except BaseException:
            self._lock.close()
            raise
        self._quarantine_rows = quarantine_rows
        self._db = sqlite3.connect(data / FILE, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            prepare(self._db, data, zone)
            if max_store_bytes:
                page_size = self._db.execute("PRAGMA page_size").fetchone()[0]
                self._db.execute(f"PRAGMA max_page_count = {max_store_bytes // page_size}")
            query = "SELECT value FROM marks WHERE name = ?"
            self.volume: int = self._db.execute(query, (VOLUME,)).fetchone()[0]
            self._newest: int | None = None  # the highest n; None: to be read
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def commit(self, batch: Sequence[Arrival]) -> Tally:
        """Write all of ``batch`` durably. Raises sqlite3.Error, and then none of it is kept."""
        try:
            return self._write(batch, {}, set())  # nearly always none of it is here, and to ask would cost a fifth
        except sqlite3.IntegrityError:
            readings = [a.id for a in batch if a.id is not None and not isinstance(a.content, Passing)]
            passing = [a.id for a in batch if a.id is not None and isinstance(a.content, Passing)]
            return self._write(batch, self._known(readings), self._passed(passing))

    def _write(self, batch: Sequence[Arrival], known: _Known, passed: set[bytes | None]) -> Tally:
        """In one transaction. Raises IntegrityError if more of it is here than was said."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            found = sort_out(batch, known, passed)
            first = self._insert(found.readings)
            messages = self._pass_on(found.passing)
            self._retain([a for a in batch if a.retain and not isinstance(a.content, Unreadable)])
            self._quarantine(list(found.unreadable.values()))
            self._db.execute("COMMIT")
        except BaseException:
            self._newest = None  # after a COMMIT that failed, only the file knows
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._newest = first - 1 + len(found.readings)
        return Tally(
            len(found.readings) + len(messages), found.duplicates, len(found.unreadable),
            frozenset(found.unreadable), first, tuple(found.readings), messages,
        )  # fmt: skip

    def trim(self, before: int, far: int) -> int:
        """Drop the oldest readings that are far (up to number ``far``) and came before ``before``: how many went.

        A store near its bound drops them whatever their age, so that what is safe elsewhere never keeps a new
        message out. What is not far yet stays, and so does the newest reading of each device.
        """
        aged = before
        if self._crowded():
            before = sys.maxsize
        oldest = self._db.execute("SELECT n, rts FROM readings WHERE n <= ? ORDER BY n LIMIT ?", (far, TRIM_ROWS))
        last = 0
        for n, rts in oldest:  # in order of commit: a clock that was wrong for a while delays, and never skips
            if rts >= before:
                break
            last = n
        trimmed = self._db.execute("DELETE FROM readings WHERE n <= ?", (last,)).rowcount if last else 0
        old = "SELECT n FROM messages WHERE rts < ? ORDER BY n LIMIT ?"
        self._db.execute(f"DELETE FROM messages WHERE n IN ({old})", (aged, TRIM_ROWS))
        self._db.execute("DELETE FROM retained WHERE payload = x'' AND rts < ?", (aged,))
        return trimmed

    def _crowded(self) -> bool:
        (most,), (pages,), (free,) = (
            self._db.execute(f"PRAGMA {name}").fetchone() for name in ("max_page_count", "page_count", "freelist_count")
        )
        return bool(pages - free > most * CROWDED)

    def _known(self, ids: list[bytes]) -> _Known:
        query = "SELECT id, reading, ts, more FROM readings WHERE id IN"
        return {row[0]: (row[1], row[2], row[3]) for row in self._among(query, ids)}

    def _passed(self, ids: list[bytes]) -> set[bytes | None]:
        return {row[0] for row in self._among("SELECT id FROM messages WHERE id IN", ids)}

    def _among(self, query: str, ids: list[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            yield from self._db.execute(f"{query} ({','.join('?' * len(part))})", part)

    def _insert(self, fresh: list[Arrival]) -> int:
        """The number of the first of them."""
        newest = self._newest
        if newest is None:
            (newest,) = self._db.execute(NEWEST).fetchone()
        first = int(newest) + 1
        if not fresh:
            return first
        rows: list[tuple[Any, ...]] = []
        latest: dict[str, tuple[Any, ...]] = {}
        numbered = True
        for n, a in enumerate(fresh, first):
            reading = a.content
            assert isinstance(reading, Reading)
            row = (n, a.id, a.device, reading.epoch, reading.seq, reading.value, reading.ts, a.rts,
                   a.payload, a.qos, a.properties, a.expires, reading.more)  # fmt: skip
            rows.append(row)
            numbered = numbered and reading.seq is not None
            former = latest.get(a.device)
            if former is None or not numbered or row[3:5] > former[3:5]:
                latest[a.device] = row
        self._in_few(INSERT, rows)
        self._in_few(UPSERT_LATEST, [row[2:8] for row in (latest.values() if numbered else rows)])
        self._db.execute("UPDATE totals SET stored = stored + ?", (len(rows),))
        return first

    def _in_few(self, statements: dict[int, str], rows: list[tuple[Any, ...]]) -> None:
        done = 0
        for size, statement in statements.items():
            while len(rows) - done >= size:
                self._db.execute(statement, list(chain.from_iterable(rows[done : done + size])))
                done += size

    def _pass_on(self, passing: list[Arrival]) -> tuple[Message, ...]:
        kept = []
        for a in passing:
            row = (a.id, a.topic, a.payload, a.qos, a.device, a.properties, a.expires, a.rts)
            n = self._db.execute(INSERT_MESSAGE, row).lastrowid
            assert n is not None
            kept.append(a.message(n))
            if a.far is not None:
                self._db.execute(MARK, ("far", a.far))
        return tuple(kept)

    def _retain(self, arrivals: list[Arrival]) -> None:
        for a in arrivals:
            # An empty payload retains nothing, and must be remembered: another node may hold what it puts an end to.
            self._db.execute(RETAIN, (a.topic, a.payload, a.qos, a.device, a.properties, a.expires, a.rts))

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
