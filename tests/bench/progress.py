"""What a long run says while it runs: one line per step on stderr, with the seconds since it began."""

from __future__ import annotations

import sys
import time

BEGAN = time.monotonic()


def say(line: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {line}", file=sys.stderr, flush=True)
