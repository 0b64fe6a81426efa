"""One JSON object per line on stderr. Here: the format. Not here: what is worth a line."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """``record.fields``, where given with ``extra``, become keys of the line."""

    def __init__(self, standing: dict[str, str]) -> None:
        super().__init__()
        self._standing = standing

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "log": record.name,
            "said": record.getMessage(),
            **self._standing,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json_lines(**standing: str) -> None:
    """Send every log of the process to stderr, ``standing`` fields on each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(standing))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
