"""The sync process: carries stored readings to the far store, in their order of commit, until it is ended.

``python -m apps.mqtt.forward --config FILE --parent PID``, started by the application beside the ingest.
It may be killed at any moment: progress is written only after the far store has answered for a majority, and what is
sent twice is recognised there by its ``_id``. It ends itself when its parent is gone.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from apps.mqtt.config import BadConfig, Config, load
from apps.mqtt.far import Far, Unreachable, reach
from apps.mqtt.log import log
from apps.mqtt.progress import DeadLetter, ProgressWriter
from apps.mqtt.queries import Reader, Row

FIRST_BATCH, SMALLEST_BATCH = 500, 50
SLOW_SECONDS = 1.0  # a full batch that is answered faster than this may be followed by a larger one
LOOK_SECONDS = 1.0  # between two looks at the store when nothing wakes us
BACK_OFF_SECONDS = (0.05, 5.0)


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


class BackOff:
    """Seconds to wait before the next try, doubling, with a spread so that zones do not return in step."""

    def __init__(self) -> None:
        self._seconds = BACK_OFF_SECONDS[0]

    def next(self) -> float:
        seconds, self._seconds = self._seconds, min(self._seconds * 2, BACK_OFF_SECONDS[1])
        return seconds * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._seconds = BACK_OFF_SECONDS[0]


def forward(reader: Reader, progress: ProgressWriter, config: Config) -> None:
    """Runs until the process ends."""
    batch = Batch(config.settings.forward_batch)
    back_off = BackOff()
    failing = False
    far: Far | None = None
    while True:
        rows = reader.page(progress.now.cursor, batch.size)
        if not rows:
            wait_for_parent(LOOK_SECONDS)
            continue
        began = time.monotonic()
        try:
            far = far or reach(config.mongo_uri, config.zone)
            refused = far.insert(rows)
        except Unreachable as error:
            if not failing:
                log("far_unreachable", why=str(error), cursor=progress.now.cursor)
            failing = True
            progress.count_error()
            batch.failed()
            pause(back_off.next())
            continue
        if failing:
            log("far_reached", cursor=progress.now.cursor)
        failing = False
        back_off.reset()
        batch.answered(len(rows), time.monotonic() - began)
        dead = dead_letters(rows, refused)
        for letter in dead:
            log("dead_letter", n=letter.n, why=letter.reason)
        progress.advance(rows[-1].n, len(rows) - len(dead), dead)


def dead_letters(rows: Sequence[Row], refused: dict[int, str]) -> list[DeadLetter]:
    return [
        DeadLetter(row.n, row.id, json.dumps({**asdict(row), "id": row.id.hex()}), refused[index])
        for index, row in enumerate(rows)
        if index in refused
    ]


def wait_for_parent(seconds: float) -> None:
    """Return when the parent tells of a commit, at the latest after ``seconds``; end when it is gone."""
    if select.select((0,), (), (), seconds)[0] and not os.read(0, 65_536):
        sys.exit(0)


def pause(seconds: float) -> None:
    """Wait that long, commits or not; end when the parent is gone."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        wait_for_parent(left)


def die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, even while it waits for the far store or is stopped."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # nothing to put in order: see the top of this file


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.mqtt.forward", description="The sync process of the edge.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument(
        "--parent", type=int, required=True, help="process id to end with; it holds the other end of stdin"
    )
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end_at_once)
    signal.signal(signal.SIGINT, end_at_once)
    die_with(asked.parent)
    try:
        config = load(asked.config)
    except BadConfig as error:
        print(error, file=sys.stderr)
        return 2
    forward(Reader(config.data), ProgressWriter(config.data), config)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
