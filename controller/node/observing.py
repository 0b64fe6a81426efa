"""What a node tells of itself: its status, and one answer with everything that was counted.

Nothing is remembered here: the balancer's weights are read back from it, the application's metrics are fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict

from .application import Application
from .balancer import Balancer
from .counting import EDGES_MS, Events
from .errors import Json
from .journal import boottime
from .node import Node
from .promises import wanted
from .record import Record
from .resources import Resources
from .wires import Loop, http_answer, http_get

VERSION = "1.0.0"


class Observing:
    """Reads what the other parts of serve know."""

    def __init__(
        self, node: Node, boot: str, loop: Loop, record: Record, application: Application, events: Events,
        balancer: Balancer | None,
    ) -> None:  # fmt: skip
        self.node, self.boot, self.loop, self.record = node, boot, loop, record
        self.application, self.events, self.balancer = application, events, balancer
        self.since, self.resources = boottime(), Resources(os.getpid())
        self.metrics_waiters: list[Callable[[str | None], None]] = []

    def status(self) -> Json:
        state, app = self.record.state, self.application.running
        pending = (
            {key: value for key, value in asdict(state.pending).items() if key != "freeze"} if state.pending else None
        )
        running = app.digest if app else None
        switching = running != wanted(state) or bool(app and app.kill_at is not None)
        left = asdict(state.went_back) if state.went_back else None
        known = {
            "running": running, "good": state.good, "previous": state.previous, "pending": pending,
            "frozen": state.frozen, "ready": bool(app and app.ready),
            "ready_since": app.ready_since if app and app.ready else None, "switching": switching,
            "restarts": self.application.restarts, "pid": app.pid if app else None, "generation": state.generation,
            "ended": list(state.ended), "harmful": list(state.harmful), "staged": self.node.staged(), "went_back": left,
        }  # fmt: skip
        facts = {key: self.node.facts.get(key) for key in ("node", "zone", "environment")}
        clocks = {"boot_id": self.boot, "boottime": boottime(), "node_program": VERSION, "since": self.since}
        balancer = self.balancer.status(state.leases) if self.balancer else None
        return facts | clocks | {"apps": {self.node.app: known}, "balancer": balancer}

    def observe(self, done: Callable[[Json], None]) -> None:
        """Status, counts, the application's own metrics and what it holds in one answer."""
        asked = self.application.running

        def answer(metrics: str | None) -> None:
            same = asked is not None and asked is self.application.running and metrics is not None
            dropped = self.balancer.dropped if self.balancer else 0
            counts = {"edges_ms": list(EDGES_MS), "rows": self.events.listed()}
            counts |= {"dropped": dropped, "unread": self.events.unread}
            mine = {"metrics": metrics if same else None, "metrics_of": asked.digest if same and asked else None}
            pid = self.application.running.pid if self.application.running else None
            held = {self.node.app: self.resources.of(pid)}
            done(self.status() | {"events": counts, "samples": list(self.events.samples), "resources": held} | mine)

        if asked is None or asked.kill_at is not None:
            answer(None)
            return
        self.metrics_waiters.append(answer)
        if len(self.metrics_waiters) > 1:
            return

        def fetched(reply: bytes | None) -> None:
            status, _, body = http_answer(reply)
            waiters, self.metrics_waiters = self.metrics_waiters, []
            for waiter in waiters:
                waiter(body.decode("utf-8", "replace") if status == 200 else None)

        host, port, _ = asked.ready_at
        self.loop.ask((host, port), http_get("/metrics", host), 1.0, fetched)
