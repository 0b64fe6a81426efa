"""Upward: stored readings into the far store, in their order of commit.

What is sent twice is recognised there by its ``_id``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from apps.mqtt.config import Config
from apps.mqtt.disk.copy_store import CopyStore
from apps.mqtt.disk.progress import DeadLetter, ProgressWriter
from apps.mqtt.disk.queries import Reader, Row
from apps.mqtt.log import log
from apps.mqtt.syncing.far import Far, reach

FIRST_BATCH, SMALLEST_BATCH = 500, 50
SLOW_SECONDS = 1.0  # a full batch that is answered faster than this may be followed by a larger one


class Batch:
    """How many readings to send at once: doubled while the far store keeps up, halved when it fails."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.size = min(FIRST_BATCH, largest)

    def answered(self, sent: int, seconds: float) -> None:
        if sent == self.size and seconds < SLOW_SECONDS:
            self.size = min(self.size * 2, self._largest)

    def failed(self) -> None:
        self.size = min(self._largest, max(SMALLEST_BATCH, self.size // 2))


class Up:
    def __init__(self, reader: Reader, progress: ProgressWriter, config: Config) -> None:
        self._reader, self._progress, self._config = reader, progress, config
        self._batch = Batch(config.settings.forward_batch)
        self._far: Far | None = None

    def exchange(self) -> bool:
        """Raises Unreachable."""
        rows = self._reader.page(self._progress.now.cursor, self._batch.size)
        if not rows:
            return False
        began = time.monotonic()
        self._far = self._far or reach(self._config.mongo_uri, self._config.zone)
        refused = self._far.insert(rows)
        self._batch.answered(len(rows), time.monotonic() - began)
        dead = dead_letters(rows, refused)
        for letter in dead:
            log("dead_letter", n=letter.n, why=letter.reason)
        self._progress.advance(rows[-1].n, len(rows) - len(dead), dead)
        return True

    def failed(self) -> None:
        self._progress.count_error()
        self._batch.failed()


class UpForOthers:
    """Readings of a silent node, of which copies are here. What it carried itself is recognised by its ``_id``."""

    def __init__(self, config: Config) -> None:
        self._config, self._copies = config, CopyStore(config.data)
        self._batch = Batch(config.settings.forward_batch)
        self._far: Far | None = None

    def exchange(self) -> bool:
        """Raises Unreachable."""
        node, rows = self._copies.to_carry(self._batch.size)
        if not rows:
            return False
        self._far = self._far or reach(self._config.mongo_uri, self._config.zone)
        for letter in dead_letters(rows, self._far.insert(rows)):
            log("dead_letter_of_another", node=node, id=letter.id.hex(), why=letter.reason)
        self._copies.carried(node, rows[-1].n)
        return True

    def failed(self) -> None:
        self._batch.failed()


def dead_letters(rows: Sequence[Row], refused: dict[int, str]) -> list[DeadLetter]:
    return [
        DeadLetter(row.n, row.id, json.dumps(row.as_json()), refused[index])
        for index, row in enumerate(rows)
        if index in refused
    ]
