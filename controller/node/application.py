"""The application's process: brought nearer to what is wanted, asked whether it is ready, ended with all it forked.

Monotonic time. Which digest is wanted follows from the promises; what a failure means is told to ``failed``, which
knows whether the release was a candidate.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import logs
from .disk import write_whole
from .errors import Json, Refused
from .journal import boottime, say
from .node import Node
from .processes import kill_descendants, reaped, spawn
from .wires import Loop, http_answer, http_get

Failure = Callable[[str, str, str], None]
"""digest, reason, and its kind: exit, unready or start"""


@dataclass(slots=True)
class Running:
    """The application's present process."""

    digest: str
    pid: int
    stop_seconds: float
    ready_at: tuple[str, int, str]  # host, port, path
    log_from: int  # where this process's words begin in the log
    started: float
    ready: bool = False
    ready_since: float | None = None  # boottime
    was_ready: bool = False
    failures: int = 0
    failing_since: float = 0.0
    kill_at: float | None = None  # being stopped; killed at this time


class Application:
    """What runs now, and what is left of what ran before."""

    def __init__(self, node: Node, loop: Loop, failed: Failure) -> None:
        self.node, self.loop, self.failed = node, loop, failed
        self.running: Running | None = None
        self.leftover = False  # processes of the last application may still live
        self.leaving = False
        self.asking_ready = False
        self.restarts, self.pause = 0, 0.0
        self.start_at = self.ready_at = 0.0

    @property
    def gone(self) -> bool:
        return not self.running and not self.leftover

    def start_afresh(self) -> None:
        """Something else is wanted: how the last one fared delays nothing."""
        self.pause, self.start_at = 0.0, 0.0

    def reap(self) -> None:
        for pid, code in reaped():
            if self.running and pid == self.running.pid:
                self._exited(self.running, code)

    def _exited(self, app: Running, code: int) -> None:
        self.running, self.leftover = None, True
        if app.kill_at is not None or self.leaving:  # whoever ends a whole control group ends it too: no crash
            say("stopped", digest=app.digest, code=code)
            return
        how = f"ended by signal {-code}" if code < 0 else f"exited with code {code}"
        words = logs.last_words(self.node.log, app.log_from)
        say("exited", digest=app.digest, code=code, last=words)
        self.restarts += 1
        self.pause = min(5.0, max(0.2, self.pause * 2)) if time.monotonic() - app.started < 10 else 0.2
        self.start_at = time.monotonic() + self.pause
        self.failed(app.digest, f"the candidate {how}" + (f": {words}" if words else ""), "exit")

    def drive(self, wanted: str | None) -> None:
        """Bring the process nearer to what is wanted. The old one is wholly gone before the new one opens the data."""
        now, app = time.monotonic(), self.running
        want = None if self.leaving else wanted
        if app and app.digest != want and app.kill_at is None:
            say("stopping", digest=app.digest, pid=app.pid)
            app.kill_at, app.ready = now + app.stop_seconds, False
            with contextlib.suppress(ProcessLookupError):
                os.kill(app.pid, signal.SIGTERM)
        if app and app.kill_at is not None and now >= app.kill_at:
            kill_descendants(os.getpid())
        if not app and self.leftover:  # what the first process leaves behind has no right to stay
            self.leftover = not kill_descendants(os.getpid())
        if not app and not self.leftover and want and now >= self.start_at:
            self._start(want)

    def _start(self, digest: str) -> None:
        try:
            self.running = self._spawn(self.node.manifest(digest))
            self.ready_at = 0.0
            say("started", digest=digest, pid=self.running.pid)
        except (OSError, ValueError, KeyError, Refused) as problem:
            say("not started", digest=digest, why=str(problem))
            self.pause = min(5.0, max(0.2, self.pause * 2))
            self.start_at = time.monotonic() + self.pause
            self.failed(digest, f"the candidate could not be started: {problem}", "start")

    def _spawn(self, manifest: Json) -> Running:
        node, place = self.node, self.node.release(manifest["release"])
        for directory in (node.root / "data" / manifest["data"], node.log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        config, content = place / "config.json", node.app_config(manifest)
        if not config.exists() or config.read_bytes() != content:
            with contextlib.suppress(OSError):  # on a full disk the one from stage time must do
                write_whole(config, content, 0o600)
        url = urlsplit(node.fill(manifest["ready"], manifest))
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        out = os.open(node.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            begin = os.lseek(out, 0, os.SEEK_END)
            argv, env = node.argv(manifest["start"], manifest), node.surroundings(manifest)
            pid = spawn(argv, out, env=env, cwd=place / "tree")
        finally:
            os.close(out)
        logs.keep_starts(node.log, [*logs.starts(node.log), (begin, manifest["release"])])
        stop, where = float(manifest["stop_seconds"]), (url.hostname or node.facts["bind"], url.port or 80, path)
        return Running(manifest["release"], pid, stop, where, begin, time.monotonic())

    def ask_ready(self) -> None:
        app = self.running
        if app is None or app.kill_at is not None or self.asking_ready or time.monotonic() < self.ready_at:
            return
        host, port, path = app.ready_at
        self.asking_ready = True

        def answered(answer: bytes | None) -> None:
            self.asking_ready = False
            now = time.monotonic()
            status, headers, _ = http_answer(answer)
            ready = status == 200 and headers.get("x-release", app.digest) == app.digest
            starting = not app.was_ready and now - app.started < 60
            self.ready_at = now + (0.1 if starting and not ready else 1.0)
            if app is self.running and app.kill_at is None:
                self._ready(app, ready, now)

        self.loop.ask((host, port), http_get(path, host), 1.0, answered)

    def _ready(self, app: Running, ready: bool, now: float) -> None:
        if ready != app.ready:
            say("ready" if ready else "unready", digest=app.digest, pid=app.pid)
            app.ready_since = boottime() if ready else None
        app.ready = ready
        app.was_ready = app.was_ready or ready
        app.failures = 0 if ready else app.failures + 1
        if app.failures == 1:
            app.failing_since = now
        if app.was_ready and app.failures >= 3 and now - app.failing_since >= 5:
            deaf = f"the candidate had been ready and was not for {now - app.failing_since:.0f} s"
            self.failed(app.digest, deaf, "unready")

    def rotate_log(self) -> None:
        if logs.rotate(self.node.log) and self.running:
            self.running.log_from = 0
