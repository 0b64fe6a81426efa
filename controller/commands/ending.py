"""The end of a controller that is told to stop: what is under way may finish for a moment, then it is ended.

What pool threads wait for are processes (commands to nodes, copies of releases, git, pip) or answers of AWS. Each
leaves things whole or as they were when it is ended, and the next controller reads back how far it came. A copy may
take minutes; a person who stops a controller, or a supervisor with a time limit of its own, does not wait so long.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from controller.transports.aws import LEAVING

GRACE = 3.0
"""Seconds for what is under way: commands that lead back to last good are over by then."""
TO_CLEAN_UP = 2.0
"""Seconds between asking a process to end and ending it."""


def wind_up(pools: Mapping[str, ThreadPoolExecutor]) -> None:
    """Return once nothing is under way in ``pools``, each by the name of its threads: what has not begun is dropped,
    and what does not finish is ended."""
    at_work = [thread for thread in threading.enumerate() if thread.name.rpartition("_")[0] in pools]
    for pool in pools.values():
        pool.shutdown(wait=False, cancel_futures=True)
    for sign, patience in ((None, GRACE), (signal.SIGTERM, TO_CLEAN_UP), (signal.SIGKILL, TO_CLEAN_UP)):
        if sign is not None:
            LEAVING.set()
            for pid in children():
                end(pid, sign)
        until = time.monotonic() + patience
        for thread in at_work:
            thread.join(max(0.0, until - time.monotonic()))
        if not any(thread.is_alive() for thread in at_work):
            return


def children() -> list[int]:
    """The processes that this one started and that have not ended."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (place / "stat").read_text().rpartition(")")[2].split() if place.name.isdigit() else []
            if fields and int(fields[1]) == os.getpid() and fields[0] != "Z":
                found.append(int(place.name))
    return found


def end(pid: int, sign: signal.Signals) -> None:
    """With all that it started, where it leads a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, sign)
        else:
            os.kill(pid, sign)
