"""What a checkout's infrastructure program declares, asked of ``python -m infra.declared`` in processes of their own.

Two processes for each checkout, one a core of the smallest machine; every question is put once, however many
comparisons need its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from types import TracebackType

from controller.drift.explaining import Ask
from controller.drift.resources import Resources, read
from controller.errors import Refused, Unreachable

SIDE_BY_SIDE, SECONDS = 2, 120.0
LIBRARIES = ("pulumi", "pulumi_aws", "pulumi_mongodbatlas")


class Programs(AbstractContextManager["Programs"]):
    """The programs of any checkouts. Use as a context: its processes end with it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._answers: dict[str, Resources | str] = {}
        self._free: dict[str, SimpleQueue[subprocess.Popen[str] | None]] = {}
        self._running: list[subprocess.Popen[str]] = []
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()
        for process in self._running:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe and pipe.close()

    def declare(self, asks: Sequence[Ask]) -> list[Resources | str]:
        """What each question's program declares, or why it cannot. Raises Unreachable, Refused."""
        missing = [name for name in LIBRARIES if find_spec(name) is None]
        if missing:
            said = f"{', '.join(missing)} is not installed"
            raise Refused("running the infrastructure program", said, "Install what it needs: make cloud")
        keys = [json.dumps([ask.checkout, ask.name, ask.table], sort_keys=True, default=str) for ask in asks]
        new = {key: ask for key, ask in zip(keys, asks, strict=True) if key not in self._answers}
        for ask in new.values():
            self._free.setdefault(ask.checkout, workers())
        self._answers |= dict(zip(new, self._pool.map(self._answer, new.values()), strict=True))
        return [self._answers[key] for key in keys]

    def _answer(self, ask: Ask) -> Resources | str:
        free = self._free[ask.checkout]
        process = free.get() or self._start(Path(ask.checkout))
        timer = Timer(self._seconds, process.kill)
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps({"name": ask.name, "table": ask.table}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
            free.put(process if process.poll() is None else None)
        if not line:
            said = f"the program of {ask.checkout} ended, or did not answer within {self._seconds:.0f} s"
            raise Unreachable(f"declaring {ask.name}", said, "Run it by hand: python -m infra.declared < /dev/null")
        said_ = json.loads(line)
        return str(said_["error"]) if "error" in said_ else read(said_["resources"])

    def _start(self, checkout: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.declared"],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout), "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._running.append(process)
        return process


def workers() -> SimpleQueue[subprocess.Popen[str] | None]:
    """Places for processes, empty until somebody needs one."""
    places: SimpleQueue[subprocess.Popen[str] | None] = SimpleQueue()
    for _ in range(SIDE_BY_SIDE):
        places.put(None)
    return places
