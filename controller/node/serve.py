"""Serving: one loop that keeps the state on disk, the process that follows from it, and everyone who asks.

Here the parts meet: ``promises`` decide, ``record`` keeps, ``application`` and ``balancer`` follow, ``answering``
speaks. Monotonic time for processes, boottime for promises.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from typing import NoReturn

from .answering import Answering
from .application import Application
from .balancer import Balancer
from .counting import Events
from .disk import lock
from .errors import Failed, Refused
from .journal import boottime, say
from .node import Node
from .observing import Observing
from .processes import adopt_orphans, kill_descendants, kill_strangers, reaped
from .promises import AppState, Command, candidate_failed, receive, restart, timers, wanted, weights_in_force
from .record import Record
from .wires import Loop


class Serve:
    """One node's loop."""

    def __init__(self, node: Node, heartbeat: int | None) -> None:
        self.node, self.heartbeat, self.parent = node, heartbeat, os.getppid()
        self.loop, self.events, self.boot = Loop(), Events(), node.boot_id()
        self.record = Record(node, self._follow)
        self.application = Application(node, self.loop, self._failed)
        facts = node.facts.get("balancer")
        self.balancer = Balancer(self.loop, facts, self.events) if facts else None
        self.beat_at = self.look_at = self.rotate_at = 0.0
        self.web: socket.socket | None = None
        self.events.drained = lambda server: self.balancer is not None and server in self.balancer.drained
        observing = Observing(
            node, self.boot, self.loop, self.record, self.application, self.events, self.balancer
        )  # fmt: skip
        token = (node.facts.get("observe") or {}).get("token", "")
        self.answering = Answering(observing, self.obey, self.balancer, token)

    # ---- what follows from a state

    def _follow(self, before: AppState, state: AppState) -> None:
        if wanted(before) != wanted(state):
            self.application.start_afresh()
        self._balance()
        self._watch_classes()

    def _balance(self) -> None:
        if self.balancer:
            leases = self.record.state.leases
            self.balancer.wanted = weights_in_force(self.node.base_weights(), leases)
            leased = {server for lease in leases for server, _ in lease.weights}
            self.balancer.drained = frozenset(
                s for s, weight in self.balancer.wanted.items() if weight == 0 and s in leased
            )
            self.look_at = 0.0

    def _watch_classes(self) -> None:
        patterns: list[str] = []
        state = self.record.state
        for digest in (state.good, state.pending.digest if state.pending else None):
            if digest:
                with contextlib.suppress(OSError, ValueError):
                    checks = self.node.manifest(digest)["checks"]
                    patterns += [path for check in checks for path in check.get("paths", ())]
        self.events.use(patterns)

    def _failed(self, digest: str, reason: str, kind: str) -> None:
        """The application failed; if it is the candidate, it is given up."""
        state = self.record.state
        if state.pending and digest == state.pending.digest:
            self.record.adopt(candidate_failed(state, boottime(), reason, kind))

    def obey(self, command: Command) -> None:
        self.application.reap()  # a candidate that is dead already must not be confirmed
        record = self.record
        try:
            with lock(self.node.store / ".choice", "gc is choosing what to remove; ask again."):
                facts = self.node.promise_facts((record.state.good, record.state.previous))
                state = receive(record.state, command, boottime(), self.boot, facts)
                back = command.verb in ("revert", "return")
                if not back:
                    record.commit(state)
        except Refused as refusal:
            if refusal.state:
                record.adopt(refusal.state)
            say("refused", verb=command.verb, token=command.token, kind=refusal.kind, why=refusal.sentence)
            raise
        if back and not record.adopt(state):
            why = "The node goes back, but its disk does not take the record yet; it keeps trying. Ask again."
            raise Failed("disk", why)
        say("obeyed", verb=command.verb, token=command.token, generation=command.generation)
        self.application.drive(wanted(record.state))

    def read_log(self, sock: socket.socket) -> None:
        now = boottime()
        with contextlib.suppress(BlockingIOError):
            for _ in range(500):  # then others have their turn
                self.events.note(sock.recv(1 << 16), now)

    # ---- the loop

    def listen(self) -> list[socket.socket]:
        run = self.node.run
        run.mkdir(parents=True, exist_ok=True)
        control, log = (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        )
        for sock, path, mode in ((control, run / "control.sock", 0o600), (log, run / "log.sock", 0o666)):
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            path.chmod(mode)
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        log.setblocking(False)
        self.loop.serve(control, b"\n", self.answering.command)
        self.loop.watch(log, selectors.EVENT_READ, lambda: self.read_log(log))
        return [control, log]

    def listen_http(self) -> None:
        """Serve observe; if its port is taken, the application runs nevertheless, and this is tried again."""
        observe = self.node.facts.get("observe")
        if not observe or self.web:
            return
        web = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            web.bind((self.node.facts["bind"], observe["port"]))
            self.loop.serve(web, b"\r\n\r\n", self.answering.http)
            self.web = web
        except OSError as problem:
            web.close()
            say("observe not served", port=observe["port"], why=str(problem))

    def run(self) -> None:
        adopt_orphans()
        kill_strangers(self.node.root)
        wake, signals = socket.socketpair()
        for sock in (wake, signals):
            sock.setblocking(False)
        signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: self._orphaned())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self.application, "leaving", True))

        def woken() -> None:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)

        self.loop.watch(wake, selectors.EVENT_READ, woken)
        self.record.adopt(restart(self.record.state, boottime(), self.boot))
        self.node.promise_facts()  # verifies what is staged now, so that no command waits for it
        self._balance()
        self._watch_classes()
        sockets = self.listen()
        say("serving", node=self.node.facts["node"], good=self.record.state.good, boot=self.boot)
        while not (self.application.leaving and self.application.gone):
            self.loop.turn(self.tick())
        for sock in sockets:
            sock.close()

    def tick(self) -> float:
        """Everything that is due; returns how long to wait for the next thing."""
        now, application = time.monotonic(), self.application
        if self.heartbeat is not None:
            self._beat(self.heartbeat, now)
        application.reap()
        state = timers(self.record.state, boottime())
        if state != self.record.state:
            self.record.adopt(state)
        self.record.write_what_is_owed()
        application.drive(wanted(self.record.state))
        application.ask_ready()
        if self.balancer and now >= self.look_at:
            self.look_at = now + (1.0 if self.balancer.up else 0.2)
            self.balancer.look()
        if now >= self.rotate_at:
            self.rotate_at = now + 2.0
            application.rotate_log()
            self.listen_http()
        return self._patience()

    def _beat(self, heartbeat: int, now: float) -> None:
        if os.getppid() != self.parent:
            self._orphaned()
        if now >= self.beat_at:
            self.beat_at = now + float(self.node.facts.get("watchdog_seconds", 5)) / 8
            with contextlib.suppress(OSError):
                os.write(heartbeat, b".")

    def _patience(self) -> float:
        """Short while something moves, up to the next end of a promise, a quarter of a second at most."""
        app, state = self.application.running, self.record.state
        if self.application.leftover or (app and app.kill_at is not None):
            return 0.03
        ends = [lease.until for lease in state.leases]
        if state.pending and not state.frozen:
            ends.append(state.pending.until)
        starting = app is not None and not app.was_ready
        return max(0.001, min([0.1 if starting else 0.25, *(end - boottime() for end in ends)]))

    def _orphaned(self) -> NoReturn:
        """The supervisor is gone: nothing of this node may go on without one."""
        say("orphaned", why="the supervisor died; the application is killed with it")
        for _ in range(200):
            if kill_descendants(os.getpid()):
                break
            for _ in reaped():
                pass
            time.sleep(0.01)
        os._exit(1)
