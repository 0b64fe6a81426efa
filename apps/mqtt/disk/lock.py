"""One process at a time: a lock on a file, held until it is closed or its process ends, however it ends."""

from __future__ import annotations

import fcntl
from io import TextIOWrapper
from pathlib import Path


def hold(path: Path, *, wait: bool) -> TextIOWrapper:
    """Raises BlockingIOError when another process holds it and ``wait`` is false. Child processes do not inherit it."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
