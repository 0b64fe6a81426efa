"""The tables of the store, their version, and what opening an older or a foreign file means.

Version 1 has been added to since it began, and only so that a release from before an addition reads and writes the
same file: columns that may be empty, tables it does not know. Going back therefore needs nothing but the old release.
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

READS = (1,)  # data versions, as release.toml names them
WRITES = 1
FILE = "readings.db"
VOLUME = "volume"  # the mark that tells this file from any other, also of the same node

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

PUBLISHED = ("payload BLOB", "qos INTEGER", "properties BLOB", "expires INTEGER", "more TEXT")
"""Columns added to ``readings``: the message as it was published, for subscribers; what a schema allowed besides."""

ADDED = """
CREATE TABLE IF NOT EXISTS messages (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
    qos INTEGER NOT NULL, publisher TEXT NOT NULL, properties BLOB NOT NULL, expires INTEGER, rts INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS retained (
    topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL, publisher TEXT NOT NULL,
    properties BLOB NOT NULL, expires INTEGER, rts INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class StoreRefused(Exception):
    """The directory is in use, of another zone, or of a version that this release cannot read."""


def prepare(db: sqlite3.Connection, data: Path, zone: str) -> None:
    """Create the tables, or make sure that what is there can be read and belongs to this zone."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {WRITES};")
        db.execute("INSERT INTO about VALUES (?)", (zone,))
        db.execute("COMMIT")
    elif version not in READS:
        can = " and ".join(map(str, READS))
        raise StoreRefused(
            f"{data / FILE} holds data version {version} and this release reads {can}; "
            f"start a release that reads {version}."
        )
    (owner,) = db.execute("SELECT zone FROM about").fetchone()
    if owner != zone:
        raise StoreRefused(f"{data} belongs to zone {owner}, not to {zone}; give each zone a directory of its own.")
    _add(db)


def _add(db: sqlite3.Connection) -> None:
    there = {row[1] for row in db.execute("PRAGMA table_info(readings)")}
    missing = [column for column in PUBLISHED if column.split()[0] not in there]
    columns = "".join(f"ALTER TABLE readings ADD COLUMN {column};" for column in missing)
    db.executescript(f"BEGIN IMMEDIATE; {columns} {ADDED} COMMIT;")
    db.execute("INSERT OR IGNORE INTO marks VALUES (?, ?)", (VOLUME, secrets.randbits(62)))
