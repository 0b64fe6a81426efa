"""Processes: every descendant is known, and none outlives its keeper.

supervise and serve are both child subreapers, so whatever an application forks stays below serve, and below supervise
when serve dies. One of the two is always left to kill it: supervise when serve dies or falls silent, serve (which is
told by a signal) when supervise dies. The kernel itself kills the application's first process with serve.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .errors import Failed

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    if libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel has no PR_SET_CHILD_SUBREAPER")


def spawn(
    argv: list[str], out: int, death: int = signal.SIGKILL, env: Mapping[str, str] | None = None, cwd: Path = Path("/"),
    keep: tuple[int, ...] = (),
) -> int:  # fmt: skip
    """Start ``argv`` in a session of its own; the kernel sends it ``death`` when this process dies."""
    parent, kernel = os.getpid(), libc()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        kernel.prctl(_PR_SET_PDEATHSIG, int(death), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        for handle in keep:
            os.set_inheritable(handle, True)
        os.chdir(cwd)
        os.execvpe(argv[0], argv, dict(os.environ if env is None else env))
    except BaseException as problem:  # the child must end here, whatever happened
        os.write(2, f"{argv[0]} could not be started: {problem}\n".encode())
    finally:
        os._exit(127)


def descendants(ancestor: int, spared: Iterable[int] = ()) -> list[int]:
    """Every process below ``ancestor``, except the ``spared`` and what is below them.

    Zombies count: the first thread of a process may be one while others still hold its ports. Reaping ends them.
    """
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(process.name))
    found, below = [], [ancestor]
    while below:
        young = [pid for pid in children.get(below.pop(), ()) if pid not in spared]
        found += young
        below += young
    return found


def kill_descendants(ancestor: int, spared: Iterable[int] = ()) -> bool:
    """One pass of stopping (so that nothing forks meanwhile) and killing; True when nobody was left."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in descendants(ancestor, spared):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    return not descendants(ancestor, spared)


def reaped() -> Iterator[tuple[int, int]]:
    """The children that have exited, as (pid, exit code; negative: the signal)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def kill_strangers(root: Path) -> None:
    """End application processes of this node that an earlier double death left behind, before anything is started."""
    mark = f"TURNABOUT_NODE={root}".encode()
    for _ in range(20):
        left = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    left.append(int(process.name))
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    raise Failed("busy", f"Processes {left} of an earlier application of {root} do not end.")
