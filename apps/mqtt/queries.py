"""Reading the store, from the serving process and from the forwarder; nothing here writes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from apps.mqtt.store import FILE

PAGE = "SELECT n, id, device, epoch, seq, reading, ts, rts FROM readings WHERE n > ? ORDER BY n LIMIT ?"
PAGE_OF_DEVICE = (
    "SELECT n, id, device, epoch, seq, reading, ts, rts FROM readings WHERE device = ? AND n > ? ORDER BY n LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One stored reading. ``n`` counts commits on this node; ``ts`` is the device's clock, ``rts`` the node's."""

    n: int
    id: bytes
    device: str
    epoch: int | None
    seq: int | None
    reading: int | float
    ts: int | None
    rts: int


@dataclass(frozen=True, slots=True)
class Latest:
    device: str
    epoch: int | None
    seq: int | None
    reading: int | float
    ts: int | None
    rts: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of one instant, as seen from a forwarder that stands at a given cursor."""

    stored: int
    backlog: int
    oldest_unsynced_rts: int | None
    quarantine_dropped: int


class Reader:
    def __init__(self, data: Path) -> None:
        # Opened for writing but never written: a read-only connection cannot take over the log of a killed writer.
        self._db = sqlite3.connect(data / FILE, isolation_level=None)
        self._db.execute("PRAGMA query_only = 1")

    def close(self) -> None:
        self._db.close()

    def latest(self, device: str) -> Latest | None:
        query = "SELECT device, epoch, seq, reading, ts, rts FROM latest WHERE device = ?"
        row = self._db.execute(query, (device,)).fetchone()
        return None if row is None else Latest(*row)

    def page(self, after: int, limit: int, device: str | None = None) -> list[Row]:
        if device is None:
            rows = self._db.execute(PAGE, (after, limit))
        else:
            rows = self._db.execute(PAGE_OF_DEVICE, (device, after, limit))
        return [Row(*row) for row in rows.fetchall()]

    def zone(self) -> str:
        (zone,) = self._db.execute("SELECT zone FROM about").fetchone()
        return str(zone)

    def snapshot(self, cursor: int) -> Snapshot:
        """``stored`` is counted by the writer, ``backlog`` from the rows: two ways that must agree."""
        stored, dropped, newest, oldest = self._db.execute(
            "SELECT stored, quarantine_dropped, coalesce((SELECT max(n) FROM readings), stored), "
            "(SELECT rts FROM readings WHERE n > ? ORDER BY n LIMIT 1) FROM totals",
            (cursor,),
        ).fetchone()
        return Snapshot(stored, max(0, newest - cursor), oldest, dropped)
