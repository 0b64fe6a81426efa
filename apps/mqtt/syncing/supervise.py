"""The sync process as a child: started, started again when it ends, told of new readings, ended with us.

Neither its death nor the far store's absence reaches the ingest. The pipe to it says two things: a byte means that
something was committed, its end means that the parent is gone. A byte from it means that something came down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from apps.mqtt.log import log

RESTART_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS = 30.0  # a child that lived this long starts the back-off anew


class Forwarder:
    def __init__(self, config: Path, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._argv = (
            sys.executable,
            "-m",
            "apps.mqtt.syncing.sync",
            "--config",
            str(config),
            "--parent",
            str(os.getpid()),
        )
        self._child: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None
        self._starts = 0

    def state(self) -> tuple[bool, int]:
        """Whether it runs, and how often it was started again."""
        return self._child is not None and self._child.returncode is None, max(0, self._starts - 1)

    def wake(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):  # full: it will look anyway; broken: it ended
                os.write(self._pipe, b".")

    async def keep_running(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            began = time.monotonic()
            code = await self._run_once()
            failures = 0 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            log("forwarder_ended", code=code, why="it is started again; readings wait in the store")
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS)) - 1])

    async def _run_once(self) -> int:
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        try:
            self._child = await asyncio.create_subprocess_exec(*self._argv, stdin=ours, stdout=asyncio.subprocess.PIPE)
            self._pipe = theirs
            self._starts += 1
            assert self._child.stdout is not None
            while await self._child.stdout.read(65_536):
                self._on_news()
            return await self._child.wait()
        finally:
            self._pipe = None
            os.close(ours)
            os.close(theirs)

    async def stop(self, within: float) -> None:
        """End the child; what it had not finished is sent again by the next one, and recognised by its id."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            async with asyncio.timeout(within):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
