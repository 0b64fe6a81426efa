"""A copy of a node's data while it runs, and what brings it back: ``python -m apps.mqtt.backup save | restore``.

Each file is copied as it was at one instant (``VACUUM INTO``), in an order in which a later copy never lags behind what
an earlier one relies on: forwarding and sessions before the readings they point into, what came down after them. A copy
carries its checksums, and one that was cut off is none.

What a node had acknowledged after its copy, and not forwarded, is lost with its volume. What it takes after it was
restored gets numbers far beyond those that anybody heard from it: readers, subscribers and peers who were ahead of the
copy miss nothing of it. Exit codes: 0 done, 1 it could not be done, 2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.mqtt.broker.access import DENIED_FILE
from apps.mqtt.config import BadConfig, Config, load
from apps.mqtt.disk import down_store, layout, progress, session_store
from apps.mqtt.disk.lock import hold

MANIFEST = "backup.json"
ORDER = (progress.FILE, session_store.FILE, layout.FILE, down_store.FILE)
BEYOND = 10**12  # more than a node takes in years


class CannotBe(Exception):
    """Why nothing was saved or restored, in one sentence."""


# ---- save ---------------------------------------------------------------------------------------------------------


def save(config: Config, folder: Path) -> Path:
    """The new copy, in a folder of its own. Raises CannotBe, OSError or sqlite3.Error, and then there is none."""
    if not (config.data / layout.FILE).exists():
        raise CannotBe(f"{config.data} holds no {layout.FILE}; there is nothing to save yet.")
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copy = folder / f"{config.zone}-{config.node}-{at}"
    if copy.exists():
        raise CannotBe(f"{copy} is there already; a second later another name is free.")
    beside = folder / f".{copy.name}.{os.getpid()}"
    beside.mkdir(parents=True)
    try:
        for name in ORDER:
            if (config.data / name).exists():
                _copy(config.data / name, beside / name)
        if (config.data / DENIED_FILE).exists():
            shutil.copyfile(config.data / DENIED_FILE, beside / DENIED_FILE)
        (beside / MANIFEST).write_text(json.dumps(_manifest(config, beside, at), indent=1) + "\n")
        for file in beside.iterdir():
            _flush(file)
        _flush(beside)
        beside.rename(copy)
        _flush(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return copy


def _copy(file: Path, to: Path) -> None:
    with _open(file) as db:
        db.execute("VACUUM INTO ?", (str(to),))


def _manifest(config: Config, copy: Path, at: str) -> dict[str, Any]:
    with _open(copy / layout.FILE) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (zone,), (stored,) = (db.execute(query).fetchone() for query in ("SELECT zone FROM about", STORED))
    return {
        "zone": zone, "node": config.node, "release": config.release, "at": at,
        "data_version": version, "stored": stored,
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": _digest(file)} for file in sorted(copy.iterdir())
        },
    }  # fmt: skip


# ---- restore ------------------------------------------------------------------------------------------------------

STORED = "SELECT stored FROM totals"


def restore(config: Config, copy: Path) -> Path | None:
    """Put a copy in the place of the data directory: where the former one went, if there was one.

    Raises CannotBe, OSError or sqlite3.Error, and then nothing has changed.
    """
    told = _checked(config, copy)
    data = config.data
    with _nobody(data):
        _refuse_newer(data, told)
        fresh = data.with_name(f"{data.name}.restoring")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name in told["files"]:
            shutil.copyfile(copy / name, fresh / name)
        _number_beyond(fresh, config.zone)
        for file in fresh.iterdir():
            _flush(file)
        _flush(fresh)
        former = None
        if data.exists():
            former = data.with_name(f"{data.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            data.rename(former)
        fresh.rename(data)
        _flush(data.parent)
    return former


def _checked(config: Config, copy: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((copy / MANIFEST).read_text())
        files, zone, node, version = (told[name] for name in ("files", "zone", "node", "data_version"))
    except (OSError, ValueError, KeyError, TypeError):
        raise CannotBe(f"{copy} has no {MANIFEST} that can be read; it is no copy, or one that was cut off.") from None
    for name, wanted in files.items():
        file = copy / name
        if not file.is_file() or _digest(file) != wanted["sha256"]:
            raise CannotBe(f"{file} is not as it was saved; use another copy.")
    if (zone, node) != (config.zone, config.node):
        raise CannotBe(f"{copy} is of node {node} in zone {zone}, and this is {config.node} in {config.zone}.")
    if version not in layout.READS:
        raise CannotBe(f"{copy} has data version {version}; restore it with a release that reads {version}.")
    return told


@contextmanager
def _nobody(data: Path) -> Iterator[None]:
    """Hold the locks that the application and its sync process would."""
    if not data.exists():
        yield
        return
    locks = []
    try:
        try:
            locks = [hold(data / name, wait=False) for name in ("lock", "forward.lock")]
        except BlockingIOError:
            raise CannotBe(f"A process uses {data}; stop the application before its data is put back.") from None
        yield
    finally:
        for lock in locks:
            lock.close()


def _refuse_newer(data: Path, told: dict[str, Any]) -> None:
    if not (data / layout.FILE).exists():
        return
    try:
        with _open(data / layout.FILE) as db:
            (stored,) = db.execute(STORED).fetchone()
    except sqlite3.Error:
        return  # it cannot be read, which is why somebody restores; it is kept aside
    if stored > told["stored"]:
        raise CannotBe(
            f"{data} holds {stored} readings and the copy {told['stored']}: it is newer. If it is to go all the same, "
            "move it away first."
        )


def _number_beyond(data: Path, zone: str) -> None:
    """Leave a gap in every numbering that others remember places of; the laws of ``release.toml`` hold as before.

    Readings that are not far yet (or the newest one) move behind the gap with the cursor: what follows them does, too.
    """
    with _open(data / layout.FILE) as db, _open(data / progress.FILE) as ahead:
        layout.prepare(db, data, zone)  # a copy may be of a release that had fewer tables
        # Who knows this file by a mark of its own learns that it is another now: its numbers mean something else.
        db.execute("DELETE FROM marks WHERE name = 'volume'")
        known = bool(ahead.execute("PRAGMA user_version").fetchone()[0])
        cursor = ahead.execute("SELECT cursor FROM progress").fetchone()[0] if known else 0
        (newest,) = db.execute("SELECT coalesce(max(n), 0) FROM readings").fetchone()
        first = min(cursor + 1, newest)
        db.execute("UPDATE readings SET n = -n WHERE n >= ?", (first,))  # in two steps, because n is unique
        db.execute("UPDATE readings SET n = ? - n WHERE n < 0", (BEYOND,))
        db.execute("UPDATE totals SET stored = stored + ?", (BEYOND,))
        db.execute("INSERT INTO sqlite_sequence SELECT 'messages', 0 WHERE NOT EXISTS "
                   "(SELECT 1 FROM sqlite_sequence WHERE name = 'messages')")  # fmt: skip
        db.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'messages'", (BEYOND,))
        if not known:
            ahead.executescript(f"{progress.SCHEMA} PRAGMA user_version = 1;")
        ahead.execute("UPDATE progress SET cursor = cursor + ?, forwarded = forwarded + ?", (BEYOND, BEYOND))
        db.commit()
        ahead.commit()
    with _open(data / session_store.FILE) as db:
        db.executescript(session_store.SCHEMA)
        db.execute("UPDATE sessions SET change = change + ?", (BEYOND,))
        db.execute(
            "INSERT OR REPLACE INTO sessions SELECT '', coalesce(max(change), ?) + 1, NULL FROM sessions", (BEYOND,)
        )
        db.commit()


# ---- files --------------------------------------------------------------------------------------------------------


@contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(file, timeout=10)
    try:
        yield db
    finally:
        db.close()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.mqtt.backup", description="A copy of a node's data.")
    commands = parser.add_subparsers(dest="command", required=True)
    saving = commands.add_parser("save", help="copy the data into a new folder, while the application runs")
    saving.add_argument("--to", type=Path, required=True, help="where the copy's folder is made, on another volume")
    restoring = commands.add_parser("restore", help="put a copy in the place of the data")
    restoring.add_argument(
        "--from", type=Path, required=True, dest="copy", help="the copy's folder; the application is stopped"
    )
    for command in (saving, restoring):
        command.add_argument("--config", type=Path, required=True, help="the JSON file that the node program writes")
    asked = parser.parse_args(argv)
    try:
        config = load(asked.config)
    except BadConfig as error:
        print(error, file=sys.stderr)
        return 2
    try:
        if asked.command == "save":
            print(json.dumps({"saved": str(save(config, asked.to))}))
        else:
            former = restore(config, asked.copy)
            print(json.dumps({"restored": str(config.data), "former": None if former is None else str(former)}))
    except CannotBe as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        print(f"The copy could not be {asked.command}d: {error}. Nothing was changed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
