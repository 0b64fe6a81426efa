"""What the visitor sees of the demo: the list of scenes with the running rollout under it, and the figures at the end.

Draws nothing itself: it hands values to ``controller.faces``. On a terminal the picture is alive; anything else gets
one line per event.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from controller.demo.scenes import SCENES
from controller.demo.stage import Stage


class Show:
    """One run as it is shown. Used by the thread that plays the scenes; a thread of its own redraws."""

    def __init__(self, stage: Stage, plain: bool) -> None:
        self._stage, self._began = stage, time.monotonic()
        self._states = ["coming"] * len(SCENES)
        self._said = [""] * len(SCENES)
        self._started = [0.0] * len(SCENES)
        self._seconds: list[float | None] = [None] * len(SCENES)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, i: int) -> None:
        self._states[i], self._started[i] = "running", time.monotonic()
        self.say(f"{SCENES[i].name} …")

    def done(self, i: int, said: str) -> None:
        self._states[i], self._said[i] = "done", said
        self._seconds[i] = time.monotonic() - self._started[i]
        self.say(f"{SCENES[i].name}: {said} ({self._seconds[i]:.1f} s)")

    def broke(self, i: int, why: str) -> None:
        self._states[i], self._said[i] = "broke", why
        self._seconds[i] = time.monotonic() - self._started[i]
        self.say(f"{SCENES[i].name} DID NOT HOLD: {why}")

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", file=sys.stderr, flush=True)

    def curtain(self, kept: bool) -> None:
        for name, column in self._stage.columns.items():
            print(name, {key: None if value is None else round(value, 2) for key, value in column.items()})
        print("kept" if kept else "not kept")
