"""One program, run to its end within a time: what every transport that starts programs needs.

It has a process group of its own, which is killed whole when its time is up. What the end means is its caller's matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass


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
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if heard else subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # whoever left the group may still hold the pipes
            process.communicate(timeout=1)
        raise TimeoutError from None
    return Ended(process.returncode, out, err or b"")
