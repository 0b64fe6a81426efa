"""The sync process: each direction between this node and the far store, kept going until the process is ended.

``python -m apps.mqtt.syncing.sync --config FILE --parent PID``, started by the application beside the ingest.
Readings go up; commands and configuration come down. A direction is a value: what one exchange does, and how to wait
when there was nothing. What they have in common is here: trying again, waiting longer each time, saying so once.
The process may be killed at any moment: progress is written only after the other side has answered. It ends itself when
its parent is gone, and when this node's disk takes nothing: the parent starts it again, where what is on disk ends.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import select
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from apps.mqtt.config import BadConfig, Config, load
from apps.mqtt.disk.down_store import KINDS, DownStore
from apps.mqtt.disk.progress import ProgressWriter
from apps.mqtt.disk.queries import Reader
from apps.mqtt.log import log
from apps.mqtt.syncing.down import Down
from apps.mqtt.syncing.far import Unreachable
from apps.mqtt.syncing.up import Up, UpForOthers

LOOK_SECONDS = 1.0  # between two looks at the store when nothing wakes us
BACK_OFF_SECONDS = (0.05, 5.0)


@dataclass(frozen=True, slots=True)
class Direction:
    name: str
    exchange: Callable[[], bool]
    """Carry what there is, a bounded part of it: whether there was anything. Raises Unreachable."""
    failed: Callable[[], None]
    """Unreachable was raised: count it, and ask for less next time."""
    idle: Callable[[], None]
    pause: Callable[[float], None]


class BackOff:
    """Seconds to wait before the next try, doubling, with a spread so that zones do not return in step."""

    def __init__(self) -> None:
        self._seconds = BACK_OFF_SECONDS[0]

    def next(self) -> float:
        seconds, self._seconds = self._seconds, min(self._seconds * 2, BACK_OFF_SECONDS[1])
        return seconds * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._seconds = BACK_OFF_SECONDS[0]


def keep_going(direction: Direction) -> None:
    """Runs until the process ends."""
    back_off = BackOff()
    failing = False
    while True:
        try:
            some = direction.exchange()
        except Unreachable as error:
            if not failing:
                log("far_unreachable", direction=direction.name, why=str(error))
            failing = True
            direction.failed()
            direction.pause(back_off.next())
            continue
        if failing:
            log("far_reached", direction=direction.name)
        failing = False
        back_off.reset()
        if not some:
            direction.idle()


def directions(config: Config) -> tuple[Direction, ...]:
    """Up first: it is the one that listens to the parent."""
    up = Up(Reader(config.data), ProgressWriter(config.data), config)
    store = DownStore(config.data)
    downs = [Down(config, kind, store, tell_parent) for kind in KINDS]
    others = UpForOthers(config)
    return (
        Direction("up", up.exchange, up.failed, lambda: wait_for_parent(LOOK_SECONDS), pause),
        Direction("up for others", others.exchange, others.failed, lambda: time.sleep(LOOK_SECONDS), time.sleep),
        *(Direction(down.kind, down.exchange, down.failed, lambda: None, time.sleep) for down in downs),
    )


def in_background(direction: Direction) -> None:
    try:
        keep_going(direction)
    except (sqlite3.Error, OSError) as error:
        disk_fails(direction.name, error)
    except BaseException as error:
        log("defect", direction=direction.name, why=repr(error))
        os._exit(1)  # the parent starts all of it again


def disk_fails(direction: str, error: Exception) -> NoReturn:
    log("sync_cannot_write", direction=direction, why=f"this node's disk: {error}; it begins again at what is there")
    os._exit(1)


def tell_parent() -> None:
    """Something came down and is on disk."""
    with contextlib.suppress(OSError):  # full: it will look anyway; broken: it ended
        os.write(1, b".")


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
    parser = argparse.ArgumentParser(
        prog="python -m apps.mqtt.syncing.sync", description="The sync process of the edge."
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument(
        "--parent", type=int, required=True, help="process id to end with; it holds the other ends of stdin and stdout"
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
    try:
        up, *others = directions(config)
        for other in others:
            threading.Thread(target=in_background, args=(other,), name=other.name, daemon=True).start()
        keep_going(up)
    except (sqlite3.Error, OSError) as error:
        disk_fails("up", error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
