"""What the node program says of itself: one line per transition on stderr, stamped with the node's own clock."""

from __future__ import annotations

import contextlib
import json
import sys
import time


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(event: str, **fields: object) -> None:
    """One line per transition, on stderr."""
    with contextlib.suppress(OSError):
        print(json.dumps({"event": event, "boottime": round(boottime(), 3)} | fields), file=sys.stderr, flush=True)
