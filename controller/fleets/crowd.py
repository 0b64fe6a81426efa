"""Synthetic users: a paced stream of requests through the fleets' own balancers.

They come from outside the candidate, through the same doors as everybody, and the balancers count them like everybody;
nothing they are answered is looked at here. One thread for each application, paced, open loop: a slow answer makes the
next request late by no more than its own time.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import count

from controller.model import Synthetic
from infra.outputs import Outputs

TIMEOUT = 2.0
CLIENTS = 1000
"""Names the requests go by: one that failed does not count for a while, and each request is to count by itself."""


class SyntheticCrowd:
    """The synthetic users of one environment."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._walkers: dict[str, Walker] = {}

    def drive(self, wanted: Mapping[str, tuple[Synthetic, float]]) -> None:
        for app in [*self._walkers]:
            if app not in wanted:
                self._walkers.pop(app).stop()
        for app, (where, rate) in wanted.items():
            nodes = [node for node in self._outputs.nodes if node.app == app]
            fronts = [node.fronts[where.port] for node in nodes if where.port in node.fronts]
            if not fronts or not where.paths or rate <= 0:
                continue
            walker = self._walkers.get(app)
            if walker is None:
                self._walkers[app] = Walker(app, fronts, where.paths, rate)
            else:
                walker.goes(where.paths, rate)


class Walker:
    """Asks one application's paths in turn, at one front after the other."""

    def __init__(self, app: str, fronts: Sequence[str], paths: Sequence[str], rate: float) -> None:
        self._app, self._fronts = app, fronts
        self._paths, self._rate = paths, rate
        self._stopped, self._told = False, threading.Event()
        self._connections: dict[str, http.client.HTTPConnection] = {}
        threading.Thread(target=self._walk, name=f"synthetic {app}", daemon=True).start()

    def goes(self, paths: Sequence[str], rate: float) -> None:
        """From now on; who waits for a next request that is far away does not wait for it."""
        changed, self._paths, self._rate = rate != self._rate, paths, rate
        if changed:
            self._told.set()

    def stop(self) -> None:
        self._stopped = True
        self._told.set()

    def _walk(self) -> None:
        due = time.monotonic()
        for n in count():
            while not self._stopped and self._told.wait(max(0.0, due - time.monotonic())):
                self._told.clear()
                due = min(due, time.monotonic() + 1 / self._rate)
            if self._stopped:
                break
            due = max(due, time.monotonic() - 1.0) + 1 / self._rate
            self._ask(self._fronts[n % len(self._fronts)], self._paths[n % len(self._paths)], n % CLIENTS)
        for connection in self._connections.values():
            connection.close()

    def _ask(self, front: str, path: str, client: int) -> None:
        connection = self._connections.get(front)
        if connection is None:
            host, _, port = front.rpartition(":")
            connection = self._connections[front] = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers={"X-Client-Id": f"synthetic-{self._app}-{client}"})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the balancer has counted it; the next request opens the connection again
