"""The parent that needs nothing but its children: it starts the balancer and serve, and kills a serve that is silent.

It holds no promise and reads no state, so that nothing of a release can bring it down.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from dataclasses import dataclass

from .journal import say
from .node import Node
from .processes import adopt_orphans, kill_descendants, reaped, spawn


@dataclass(slots=True)
class Child:
    """A process that is started again whenever it ends."""

    name: str
    pid: int = 0
    started: float = 0.0
    start_at: float = 0.0
    pause: float = 0.0

    def ended(self, now: float, code: int) -> None:
        self.pause = min(5.0, max(0.2, self.pause * 2)) if now - self.started < 10 else 0.2
        say("child ended", child=self.name, pid=self.pid, code=code, again_in=self.pause)
        self.pid, self.start_at = 0, now + self.pause


class Supervise:
    """Starts the balancer and serve, and kills serve with all it started when it dies or falls silent."""

    def __init__(self, node: Node, program: str) -> None:
        self.program = program  # the file that this is run from
        self.node, self.balancer, self.serve = node, Child("balancer"), Child("serve")
        self.silence = float(node.facts.get("watchdog_seconds", 5))
        self.pulse: int | None = None  # reading end of serve's heartbeat
        self.heard = self.leave_by = 0.0
        self.leaving = self.sweeping = False

    def run(self) -> None:
        adopt_orphans()
        self.node.run.mkdir(parents=True, exist_ok=True)
        (self.node.root / "logs").mkdir(parents=True, exist_ok=True)
        wake, signals = os.pipe()
        for handle in (wake, signals):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave())
        last = time.monotonic()
        while self.step(time.monotonic() - last > 2.0):
            last = time.monotonic()
            watched = [wake] + ([self.pulse] if self.pulse is not None else [])
            for handle in select.select(watched, [], [], 0.05 if self.sweeping else self.silence / 8)[0]:
                with contextlib.suppress(BlockingIOError):
                    if os.read(handle, 4096) and handle == self.pulse:
                        self.heard = time.monotonic()
        self._stop_balancer()

    def step(self, slept: bool) -> bool:
        """One look at the children; False when all is over. ``slept``: we were stopped, so silence means nothing."""
        now = time.monotonic()
        self.heard = now if slept else self.heard
        for pid, code in reaped():
            if pid == self.balancer.pid:
                self.balancer.ended(now, code)
            elif pid == self.serve.pid:
                self.serve.ended(now, code)
                self.sweeping = True
        if self.serve.pid and (now - self.heard > self.silence or (self.leaving and now > self.leave_by)):
            say("watchdog", why=f"serve has been silent for {now - self.heard:.1f} s; it is killed with all it started")
            os.kill(self.serve.pid, signal.SIGKILL)
            self.heard, self.sweeping = now, True
        if self.sweeping and kill_descendants(os.getpid(), {self.balancer.pid}):
            self.sweeping = False
        if (
            not self.balancer.pid
            and self.node.facts.get("balancer")
            and now >= self.balancer.start_at
            and not self.leaving
        ):
            self._start_balancer(now)
        if not self.serve.pid and not self.sweeping:
            if self.leaving:
                return False
            if now >= self.serve.start_at:
                self._start_serve(now)
        return True

    def _start_balancer(self, now: float) -> None:
        out = os.open(
            self.node.root / "logs" / "balancer.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        self.balancer.pid, self.balancer.started = spawn(self.node.facts["balancer"]["argv"], out), now
        os.close(out)

    def _start_serve(self, now: float) -> None:
        if self.pulse is not None:
            os.close(self.pulse)
        self.pulse, beat = os.pipe()
        for handle in (self.pulse, beat):
            os.set_blocking(handle, False)
        argv = [sys.executable, "-I", "-S", self.program, str(self.node.root), "serve", "--heartbeat", str(beat)]
        self.serve.pid, self.serve.started = spawn(argv, 2, death=signal.SIGUSR1, keep=(beat,)), now
        self.heard = now
        os.close(beat)

    def _leave(self) -> None:
        if not self.leaving:
            self.leaving, self.leave_by = True, time.monotonic() + 60
            if self.serve.pid:
                os.kill(self.serve.pid, signal.SIGTERM)

    def _stop_balancer(self) -> None:
        for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            end = time.monotonic() + patience
            while self.balancer.pid and time.monotonic() < end:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.balancer.pid, number)
                if any(pid == self.balancer.pid for pid, _ in reaped()):
                    return
                time.sleep(0.02)
