"""The record of drift reports on disk, ``STATE/drift.json``: read, changed by one at a time, written whole.

A controller and a person may make reports at once; each sees what the other has written. What the record means is not
said here.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controller.drift.finding import OPEN, Severity
from controller.drift.remembering import Record, read, written
from controller.errors import Refused, Trouble, Unreachable
from controller.stories.story import Glance

RECORD, LOCK = "drift.json", "drift.lock"


@dataclass(slots=True)
class Kept:
    """The record while it is being changed: what stands here at the end is written."""

    record: Record


def record(state: Path) -> Record:
    """What is known; nothing yet where there is no record. Raises Refused, Unreachable."""
    path = state / RECORD
    try:
        return read(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Record()
    except ValueError as error:
        raise Refused(f"reading {path}", str(error), "Move it away; the next report begins a new record.") from error
    except OSError as error:
        raise Unreachable(f"reading {path}", error.strerror or str(error), "Look who may read it.") from error


def glance(state: Path, environment: str) -> Glance | None:
    """The newest look as far as it concerns an environment; None where none was made, or none can be read."""
    try:
        known = record(state)
    except Trouble:
        return None  # whoever makes the next report is told what is wrong with it
    if not known.trend:
        return None
    here = [one for one in known.known.values() if one.state in OPEN and environment in one.environments]
    high = sum(one.severity == Severity.HIGH for one in here)
    return Glance(environment, known.trend[-1].at, len(here), high, known.failed)


@contextmanager
def changing(state: Path) -> Iterator[Kept]:
    """The record, for one to change. Raises Refused, Unreachable; then it is as it was."""
    path = state / RECORD
    attempt, remedy = f"writing {path}", "Make room, or let it be written."
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unreachable(attempt, error.strerror or str(error), remedy) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = Kept(before := record(state))
        yield kept
        if kept.record != before:
            beside = path.with_suffix(f".{os.getpid()}")
            try:
                beside.write_text(json.dumps(written(kept.record), indent=1))
                beside.replace(path)
            except OSError as error:
                beside.unlink(missing_ok=True)
                raise Unreachable(attempt, error.strerror or str(error), remedy) from error
    finally:
        os.close(lock)
