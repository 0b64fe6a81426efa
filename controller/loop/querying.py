"""Asking metrics servers what checks of kind ``prometheus`` want to know, in pool threads, every few seconds.

What is made of an answer stands in ``outside``, how a server is spoken to in ``checks/prometheus``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from controller.errors import Refused, Trouble
from controller.judge.samples import Answer
from controller.model import Check, Lane, Rollout
from controller.ports import Clock, Metrics

EVERY = 5.0
"""Seconds between two askings of one check: servers look at a node no more often themselves."""


class Querying:
    """Asks each check again once it was answered; ``heard`` is called in a pool thread."""

    def __init__(
        self, metrics: Metrics, pool: Executor, clock: Clock, heard: Callable[[int, str, str, Answer], None]
    ) -> None:
        self._metrics, self._pool, self._clock, self._heard = metrics, pool, clock, heard
        self._asked_at: dict[tuple[int, str, str], float] = {}
        self._waiting: set[tuple[int, str, str]] = set()

    def ask(self, rollout: Rollout) -> None:
        now = self._clock.now()
        self._asked_at = {key: at for key, at in self._asked_at.items() if key[0] == rollout.number}
        for lane in rollout.lanes:
            for check in (check for check in lane.checks if check.kind == "prometheus"):
                key = rollout.number, lane.app, check.name
                if key not in self._waiting and now - self._asked_at.get(key, float("-inf")) >= EVERY:
                    self._asked_at[key] = now
                    self._waiting.add(key)
                    self._pool.submit(self._ask, rollout, lane, check)

    def _ask(self, rollout: Rollout, lane: Lane, check: Check) -> None:
        """In a pool thread: one check's queries, one after the other."""
        key = rollout.number, lane.app, check.name
        try:
            answer = Answer(self._values(rollout, lane, check))
        except Trouble as trouble:
            answer = Answer(trouble=str(trouble))
        except Exception as broke:  # whatever it is, it has measured no harm, and must be said
            answer = Answer(trouble=f"asking for it broke: {broke!r}")
        self._heard(*key, answer)
        self._waiting.discard(key)

    def _values(self, rollout: Rollout, lane: Lane, check: Check) -> dict[str, dict[str, float]]:
        server = rollout.judge.prometheus
        if not server:
            said = f"{rollout.environment} names no server"
            raise Refused("asking a metrics server", said, "Set judge.prometheus in its file.")
        known = set(lane.nodes)
        found = {}
        for name, query in queries(rollout.environment, lane, check):
            values = self._metrics.values(server, query, check.node_label)
            found[name] = {node: value for node, value in values.items() if node in known}
        return found


def queries(environment: str, lane: Lane, check: Check) -> Iterator[tuple[str, str]]:
    """(key, PromQL) of everything that a check asks, with its placeholders filled in."""
    nodes = "|".join(node.replace(".", r"\\.") for node in lane.nodes)  # in a string of PromQL, as a pattern
    fills = {"environment": environment, "app": lane.app, "nodes": nodes}
    for key in ("query", "query_bad", "query_total"):
        if query := getattr(check, key):
            yield key, re.sub(r"\$(environment|app|nodes)\b", lambda found: fills[found[1]], query)
