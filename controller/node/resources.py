"""What an application's processes hold: memory, descriptors, threads, sockets; for whoever looks whether it creeps.

Read from /proc, at most once a second and for at most a hundredth of the time: an application with tens of thousands of
connections is looked at less often.
"""

# Path objects would cost as much as what is read here.
# ruff: noqa: PTH115, PTH123, PTH208
from __future__ import annotations

import contextlib
import os
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
SECOND, SHARE = 1.0, 0.01


def tree(ancestor: int) -> list[int]:
    """``ancestor`` and every process below it, without a look at any other process of the machine."""
    found, below = [], [ancestor]
    while below:
        pid = below.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                    below += map(int, file.read().split())
    return found


def held_by(pid: int) -> dict[str, int]:
    """What one process holds, sockets among its open files; of one that has ended, nothing."""
    held = {"rss_bytes": 0, "open_files": 0, "threads": 0, "sockets": 0}
    with contextlib.suppress(OSError, IndexError, ValueError):
        with open(f"/proc/{pid}/statm") as file:
            held["rss_bytes"] = int(file.read().split()[1]) * PAGE
        held["threads"] = len(os.listdir(f"/proc/{pid}/task"))
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed since it was listed
                held["sockets"] += os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("socket:")
                held["open_files"] += 1
    return held


def together(pids: list[int]) -> dict[str, int]:
    """What all of them hold."""
    each = [held_by(pid) for pid in pids] or [held_by(0)]
    return {name: sum(held[name] for held in each) for name in each[0]}


class Resources:
    """The newest look at the application: whatever lives below ``keeper``, however it was forked."""

    def __init__(self, keeper: int) -> None:
        self.keeper = keeper
        self.pid: int | None = None
        self.seen: dict[str, int] = {}
        self.next_at = 0.0

    def of(self, pid: int | None) -> dict[str, int]:
        """What the application with the first process ``pid`` holds; empty while nothing runs."""
        now = time.monotonic()
        if pid is None:
            self.pid, self.seen = None, {}
        elif pid != self.pid or now >= self.next_at:
            self.pid, self.seen = pid, together(tree(self.keeper)[1:])
            took = time.monotonic() - now
            self.next_at = now + max(SECOND, took / SHARE)
        return self.seen
