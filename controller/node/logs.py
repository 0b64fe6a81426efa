"""The application's log: kept small, and its last words for a sentence or a person."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

LIMIT = 8 << 20


def rotate(log: Path) -> bool:
    """Copy and truncate (the application appends to the very file): two files of at most about 8 MB each."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LIMIT:
            with contextlib.suppress(OSError):
                shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
            return True
    return False


def last_words(log: Path, begin: int) -> str:
    """The last line that was written since ``begin``: of a traceback that is the error itself."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - 1500))
        written = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return written[-1][:200] if written else ""
    return ""


def last_lines(log: Path, lines: int) -> list[str]:
    found: list[str] = []
    for path in (log.with_suffix(".log.1"), log):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 20)))
            found += file.read().decode("utf-8", "replace").splitlines()
    return found[-lines:] if lines > 0 else []
