"""The application's log: kept small, and its last words for a sentence or a person."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

LIMIT = 8 << 20
STARTS = 20


def rotate(log: Path) -> bool:
    """Copy and truncate (the application appends to the very file): two files of at most about 8 MB each."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LIMIT:
            with contextlib.suppress(OSError):
                shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
            keep_starts(log, [(0, digest) for _, digest in starts(log)[-1:]])
            return True
    return False


def starts(log: Path) -> list[tuple[int, str]]:
    """Where each release that was started began to write, oldest first; what is not known any more is left out."""
    with contextlib.suppress(OSError, ValueError):
        lines = log.with_suffix(".starts").read_text().splitlines()
        return [(int(begin), digest) for begin, _, digest in (line.partition(" ") for line in lines)]
    return []


def keep_starts(log: Path, known: list[tuple[int, str]]) -> None:
    """For people only, so that a full disk or a crash may lose it: nothing waits until it is on disk."""
    partial = log.with_suffix(".starts.tmp")
    with contextlib.suppress(OSError):
        partial.write_text("".join(f"{begin} {digest}\n" for begin, digest in known[-STARTS:]))
        partial.rename(log.with_suffix(".starts"))


def last_words(log: Path, begin: int) -> str:
    """The last line that was written since ``begin``: of a traceback that is the error itself."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - 1500))
        written = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return written[-1][:200] if written else ""
    return ""


def lines_of(log: Path, digest: str, lines: int) -> list[str]:
    """The last lines that this release wrote, from its newest start on until another one was started."""
    known = starts(log)
    mine = [i for i, (_, started) in enumerate(known) if started == digest]
    if not mine:
        return []
    first = last = mine[-1]
    while first > 0 and known[first - 1][1] == digest:  # started again and again: the first time says why
        first -= 1
    end = known[last + 1][0] if last + 1 < len(known) else None
    with contextlib.suppress(OSError), log.open("rb") as file:
        end = file.seek(0, os.SEEK_END) if end is None else end
        file.seek(max(known[first][0], end - (1 << 20)))
        written = file.read(end - file.tell()).decode("utf-8", "replace").splitlines()
        return written[-lines:] if lines > 0 else []
    return []


def last_lines(log: Path, lines: int) -> list[str]:
    found: list[str] = []
    for path in (log.with_suffix(".log.1"), log):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 20)))
            found += file.read().decode("utf-8", "replace").splitlines()
    return found[-lines:] if lines > 0 else []
