"""Doing what was decided: each node gets its actions one after the other, all nodes side by side.

A node that is slow or silent delays nobody else. What is asked of a busy node is dropped, because the next decision
asks for whatever is still missing; nothing is queued that could grow old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from controller.errors import Trouble
from controller.model import Action, NodeView, Stage
from controller.ports import Clock, Fleet

PATIENCE = 5.0
"""Seconds before an action that failed on a node is asked of it again, unless it leads toward last good."""

Heard = Callable[[Action, NodeView | Trouble | None], None]


class Acting:
    """Runs actions in a pool and tells ``heard`` of each answer, from a pool thread."""

    def __init__(self, fleet: Fleet, pool: Executor, clock: Clock, heard: Heard) -> None:
        self._fleet, self._pool, self._clock, self._heard = fleet, pool, clock, heard
        self._lock = threading.Lock()
        self._busy: set[tuple[str, bool]] = set()
        self._failed_at: dict[Action, float] = {}

    def ask(self, actions: Iterable[Action], generation: int) -> None:
        """Start what can start now; copying bits has a way of its own, so that it never delays a command."""
        by_way: dict[tuple[str, bool], list[Action]] = {}
        for action in actions:
            by_way.setdefault((action.node, isinstance(action, Stage)), []).append(action)
        for way, asked in by_way.items():
            with self._lock:
                due = [action for action in asked if self._due(action)]
                if not due or way in self._busy:
                    continue
                self._busy.add(way)
            self._pool.submit(self._do, way, due, generation)

    def _due(self, action: Action) -> bool:
        failed_at = self._failed_at.get(action)
        return failed_at is None or not isinstance(action, Stage) or self._clock.now() - failed_at > PATIENCE

    def _do(self, way: tuple[str, bool], actions: list[Action], generation: int) -> None:
        """One node's actions in order; the first that fails ends them, since the rest may have needed it."""
        try:
            for action in actions:
                try:
                    answer: NodeView | Trouble | None = self._fleet.act(action, generation)
                except Trouble as trouble:
                    answer = trouble
                    with self._lock:
                        self._failed_at[action] = self._clock.now()
                if not isinstance(answer, Trouble):
                    with self._lock:
                        self._failed_at.pop(action, None)
                self._heard(action, answer)
                if isinstance(answer, Trouble):
                    return
        finally:
            with self._lock:
                self._busy.discard(way)
