"""One line per transition: JSON on stderr for machines, or a plain line where a person watches the controller."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO


class LogNotifier:
    """Writes what the loop says, from any thread, one whole line at a time."""

    def __init__(self, utc: Callable[[], float], stream: TextIO = sys.stderr, as_json: bool = True) -> None:
        self._utc, self._stream, self._as_json = utc, stream, as_json

    def tell(self, environment: str, event: str, sentence: str, fields: Mapping[str, Any]) -> None:
        at = datetime.fromtimestamp(self._utc(), UTC)
        if self._as_json:
            line = json.dumps(
                {"at": at.isoformat(timespec="milliseconds"), "environment": environment, "event": event,
                 "why": sentence, **fields},
                ensure_ascii=False,
            )  # fmt: skip
        else:
            line = f"{at:%H:%M:%S}.{at.microsecond // 100000} {environment} {event:11} {sentence}"
        self._stream.write(line + "\n")
        self._stream.flush()
