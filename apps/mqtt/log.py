"""The log: one JSON object per line on stderr, at most a few of one event per second.

What devices send decides how often some lines would be written, so a flood is cut and the number of lines left out
is named in the next one.
"""

from __future__ import annotations

import json
import sys
import time

LINES_PER_SECOND = 10

_windows: dict[str, list[int]] = {}  # event: [second, lines in it, lines left out]


def log(event: str, **fields: object) -> None:
    window = _windows.setdefault(event, [0, 0, 0])
    now = time.time()
    if window[0] != int(now):
        window[0], window[1] = int(now), 0
    if window[1] >= LINES_PER_SECOND:
        window[2] += 1
        return
    window[1] += 1
    if window[2]:
        fields["left_out"], window[2] = window[2], 0
    line = json.dumps({"at": round(now, 3), "event": event, **fields}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads the log any more; devices must be served all the same
