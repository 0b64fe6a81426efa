"""Reading the store, from the serving process and from the forwarder; nothing here writes."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.mqtt.disk.layout import FILE
from apps.mqtt.wire.message import Message
from apps.mqtt.wire.topics import matches

COLUMNS = "n, id, device, epoch, seq, reading, ts, rts, more"
PAGE = f"SELECT {COLUMNS} FROM readings WHERE n > ? ORDER BY n LIMIT ?"
PAGE_OF_DEVICE = f"SELECT {COLUMNS} FROM readings WHERE device = ? AND n > ? ORDER BY n LIMIT ?"
LOGS = {
    "readings": (
        "SELECT n, device, payload, qos, properties, expires, rts, reading, seq, epoch, ts FROM readings "
        "WHERE n > ? ORDER BY n LIMIT ?"
    ),
    "messages": (
        "SELECT n, topic, payload, qos, publisher, properties, expires, rts FROM messages "
        "WHERE n > ? ORDER BY n LIMIT ?"
    ),
}
"""The two logs of a node, each numbered on its own: what devices measured, and what else was published."""

HEADS = {
    "readings": "SELECT coalesce((SELECT max(n) FROM readings), stored) FROM totals",
    "messages": "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0)",
}


@dataclass(slots=True)  # one for each that is forwarded: a frozen one takes three times as long to make
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
    more: str | None = None
    """The members that a schema allowed besides, as a JSON object."""

    def as_json(self) -> dict[str, Any]:
        told = {**asdict(self), "id": self.id.hex()}
        more = told.pop("more")
        return told if more is None else {**told, "more": json.loads(more)}


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
        self._zone = ""

    def close(self) -> None:
        self._db.close()

    def latest(self, device: str) -> Latest | None:
        query = "SELECT device, epoch, seq, reading, ts, rts FROM latest WHERE device = ?"
        row = self._db.execute(query, (device,)).fetchone()
        return None if row is None else Latest(*row)

    def newest(self) -> list[Latest]:
        """Of every device."""
        query = "SELECT device, epoch, seq, reading, ts, rts FROM latest"
        return [Latest(*row) for row in self._db.execute(query)]

    def heard_last(self, limit: int) -> list[Latest]:
        """The newest reading of the devices that were heard last."""
        query = "SELECT device, epoch, seq, reading, ts, rts FROM latest ORDER BY rts DESC LIMIT ?"
        return [Latest(*row) for row in self._db.execute(query, (limit,))]

    def devices(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM latest").fetchone()
        return int(count)

    def set_aside(self, limit: int) -> list[dict[str, Any]]:
        """The newest of what is in quarantine, without the payloads."""
        query = "SELECT device, reason, payload_bytes, rts FROM quarantine ORDER BY n DESC LIMIT ?"
        names = ("device", "reason", "bytes", "rts")
        return [dict(zip(names, row, strict=True)) for row in self._db.execute(query, (limit,))]

    def page(self, after: int, limit: int, device: str | None = None) -> list[Row]:
        if device is None:
            rows = self._db.execute(PAGE, (after, limit))
        else:
            rows = self._db.execute(PAGE_OF_DEVICE, (device, after, limit))
        return [Row(*row) for row in rows.fetchall()]

    def rows(self, after: int, limit: int, device: str | None) -> list[dict[str, Any]]:
        """A page as readers get it."""
        return [row.as_json() for row in self.page(after, limit, device)]

    def zone(self) -> str:
        if not self._zone:
            (self._zone,) = self._db.execute("SELECT zone FROM about").fetchone()
        return self._zone

    def head(self, log: str) -> int:
        (head,) = self._db.execute(HEADS[log]).fetchone()
        return int(head)

    def published(self, log: str, after: int, limit: int) -> list[Message]:
        """Messages of a log after place ``after``, in order."""
        rows = self._db.execute(LOGS[log], (after, limit)).fetchall()
        if log == "messages":
            return [Message(n, topic, p, qos, who, False, *more) for n, topic, p, qos, who, *more in rows]
        return [self._published(*row) for row in rows]

    def _published(self, n: int, device: str, payload: bytes | None, qos: int | None, *more: Any) -> Message:
        properties, expires, rts, reading, seq, epoch, ts = more
        if payload is None:  # written by a release that did not keep it: what it said, in our own spelling
            said = {"reading": reading, "seq": seq, "epoch": epoch, "ts": ts}
            payload = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        topic = f"f/{self.zone()}/{device}/t"
        return Message(n, topic, payload, 1 if qos is None else qos, device, False, properties or b"", expires, rts)

    def retained(self, filters: Sequence[str] = ("#",)) -> list[Message]:
        """Of every topic that one of the filters matches; also what was put an end to, with an empty payload."""
        found = {message.topic: message for pattern in filters for message in self._retained(pattern)}
        return list(found.values())

    def _retained(self, pattern: str) -> list[Message]:
        start = re.split("[+#]", pattern, maxsplit=1)[0]  # up to the first wildcard the topics stand side by side
        query = (
            "SELECT topic, payload, qos, publisher, properties, expires, rts FROM retained "
            "WHERE topic BETWEEN ? AND ? || char(1114111)"
        )
        rows = self._db.execute(query, (start, start))
        return [Message(0, t, p, qos, who, True, *more) for t, p, qos, who, *more in rows if matches(pattern, t)]

    def mark(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def snapshot(self, cursor: int) -> Snapshot:
        """``stored`` is counted by the writer, ``backlog`` from the rows: two ways that must agree."""
        stored, dropped, newest, oldest = self._db.execute(
            "SELECT stored, quarantine_dropped, coalesce((SELECT max(n) FROM readings), stored), "
            "(SELECT rts FROM readings WHERE n > ? ORDER BY n LIMIT 1) FROM totals",
            (cursor,),
        ).fetchone()
        return Snapshot(stored, max(0, newest - cursor), oldest, dropped)
