"""What a checkout's infrastructure program declares, asked of ``python -m infra.declared`` in processes of their own.

Two processes for each checkout, one a core of the smallest machine, the second made of the first; every question is put
once, however many comparisons need its answer, at once or one after the other.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Timer
from types import TracebackType
from typing import IO

from controller.drift.explaining import Ask
from controller.drift.resources import Resources, read
from controller.errors import Refused, Unreachable

SIDE_BY_SIDE, SECONDS = 2, 120.0
LIBRARIES = ("pulumi", "pulumi_aws", "pulumi_mongodbatlas")
RUN = "import gc, runpy; gc.disable(); runpy.run_module('infra.declared', run_name='__main__', alter_sys=True)"
"""``python -m infra.declared``, but what it loads is not looked through for garbage: that is a third of the time."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the two that answer for a checkout; ``process`` is the one that both belong to."""

    process: subprocess.Popen[str]
    asks: IO[str]
    says: IO[str]


class Programs(AbstractContextManager["Programs"]):
    """The programs of any checkouts. Use as a context: its processes end with it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._answers: dict[str, Future[Resources | str]] = {}
        self._asking = Lock()
        self._free: dict[str, SimpleQueue[Worker]] = {}
        self._running: list[Worker] = []
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        for worker in self._running:
            end(worker.process)
            for pipe in (worker.asks, worker.says):
                with suppress(OSError):
                    pipe.close()

    def declare(self, asks: Sequence[Ask]) -> list[Resources | str]:
        """What each question's program declares, or why it cannot. Raises Unreachable, Refused."""
        missing = [name for name in LIBRARIES if find_spec(name) is None]
        if missing:
            said = f"{', '.join(missing)} is not installed"
            raise Refused("running the infrastructure program", said, "Install what it needs: make cloud")
        keys = [json.dumps([ask.checkout, ask.name, ask.table], sort_keys=True, default=str) for ask in asks]
        with self._asking:
            for key, ask in zip(keys, asks, strict=True):
                if ask.checkout not in self._free:
                    self._free[ask.checkout] = self._start(Path(ask.checkout))
                if key not in self._answers:
                    self._answers[key] = self._pool.submit(self._answer, ask)
            waited = [self._answers[key] for key in keys]
        return [one.result() for one in waited]

    def _answer(self, ask: Ask) -> Resources | str:
        free = self._free[ask.checkout]
        worker = free.get()
        timer = Timer(self._seconds, end, (worker.process,))
        timer.start()
        try:
            worker.asks.write(json.dumps({"name": ask.name, "table": ask.table}) + "\n")
            worker.asks.flush()
            line = worker.says.readline()
        except (OSError, ValueError):
            line = ""
        finally:
            timer.cancel()
            free.put(worker)
        if not line:
            said = f"the program of {ask.checkout} ended, or did not answer within {self._seconds:.0f} s"
            raise Unreachable(f"declaring {ask.name}", said, "Run it by hand: python -m infra.declared < /dev/null")
        said_ = json.loads(line)
        return str(said_["error"]) if "error" in said_ else read(said_["resources"])

    def _start(self, checkout: Path) -> SimpleQueue[Worker]:
        """A process, and a twin that it makes of itself when its libraries are loaded: that is half of the work."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(theirs.fileno())],
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": str(checkout), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        assert process.stdin is not None and process.stdout is not None
        with ours:
            twin = Worker(process, ours.makefile("w"), ours.makefile("r"))
        free: SimpleQueue[Worker] = SimpleQueue()
        for worker in (Worker(process, process.stdin, process.stdout), twin):
            self._running.append(worker)
            free.put(worker)
        return free


def end(process: subprocess.Popen[str]) -> None:
    """A process and its twin: neither has anything to lose."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
