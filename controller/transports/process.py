"""One program, run to its end within a time: what every transport that starts programs needs.

It has a process group of its own, which is killed whole when its time is up. When it has ended while somebody else
still holds its pipes, as ssh's shared connection does, nobody waits for those. What the end means is its caller's
matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

LOOK = 1.0
"""Seconds after which it is looked whether a program that says nothing has ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program left: its exit code and what it said."""

    code: int
    out: bytes
    err: bytes


def run(
    argv: tuple[str, ...], stdin: bytes | None, seconds: float, env: Mapping[str, str] | None = None, heard: bool = True
) -> Ended:
    """Run ``argv``; ``heard``: with what it says on stderr. Raises OSError, TimeoutError."""
    with given(stdin) as source:
        process = subprocess.Popen(
            argv,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if heard else subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    until = time.monotonic() + seconds
    while True:
        ended = process.poll() is not None
        try:
            out, err = process.communicate(timeout=max(0.01, min(LOOK, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            if ended:
                return Ended(process.returncode, b"", b"")
            if time.monotonic() < until:
                continue
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # whoever left the group may still hold the pipes
                process.communicate(timeout=1)
            raise TimeoutError from None
        return Ended(process.returncode, out, err or b"")


@contextmanager
def given(content: bytes | None) -> Iterator[int]:
    """What a program reads: a file in memory, which it reads as it can, and for which nobody has to wait."""
    if content is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin"), "wb") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()
