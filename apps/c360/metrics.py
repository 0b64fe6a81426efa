"""What this process counts, and the text in which it says so.

Here: request counts, latency histograms, the law of orders, Prometheus text. Not here: who counts (``web``).
Everything runs on one event loop and nothing below awaits, so one text is one consistent snapshot: in every
scrape ``orders_received = orders_stored + orders_duplicate + orders_refused + orders_failed + orders_pending``.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["stored", "duplicate", "refused", "failed"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

_OUTCOMES: dict[Outcome, str] = {
    "stored": "Orders written.",
    "duplicate": "Orders that were stored before.",
    "refused": "Orders whose sender must change them.",
    "failed": "Orders that could not be written; their sender was told to send them again.",
}


class Settling:
    """One received order on its way to its outcome; an order nobody settles has failed."""

    outcome: Outcome = "failed"


@dataclass(slots=True)
class OrderCounts:
    """How many orders came in, and what became of each."""

    received: int = 0
    pending: int = 0
    settled: Counter[Outcome] = field(default_factory=Counter)

    @contextmanager
    def receive(self) -> Iterator[Settling]:
        """Count one order in, and out again under its outcome however the block ends."""
        self.received += 1
        self.pending += 1
        settling = Settling()
        try:
            yield settling
        finally:
            self.pending -= 1
            self.settled[settling.outcome] += 1


@dataclass(slots=True)
class Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class Metrics:
    """All counters of one process."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.orders = OrderCounts()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._latency: dict[str, Histogram] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one finished request. ``route`` is a template, never a path: paths are without number."""
        self._requests[route, method if method in METHODS else "OTHER", status] += 1
        self._latency.setdefault(route, Histogram()).observe(seconds)

    def text(self, ready: bool) -> str:
        """All counters in Prometheus' text format."""
        release = self.release.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines = _head("release_info", "gauge", "The release this process runs.")
        lines.append(f'release_info{{release="{release}"}} 1')
        lines += [*_head("ready", "gauge", "Whether this process would answer /ready with 200."), f"ready {int(ready)}"]
        lines += _orders(self.orders)
        lines += _head("http_requests_total", "counter", "Answered requests by route, method and status.")
        for (route, method, status), count in sorted(self._requests.items()):
            lines.append(f'http_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}')
        lines += _head("http_request_seconds", "histogram", "Time from a request to the end of its answer, by route.")
        for route, histogram in sorted(self._latency.items()):
            lines += _histogram(route, histogram)
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _orders(orders: OrderCounts) -> list[str]:
    lines = _head("orders_received", "counter", "Orders posted to this process.")
    lines.append(f"orders_received {orders.received}")
    for outcome, about in _OUTCOMES.items():
        lines += [*_head(f"orders_{outcome}", "counter", about), f"orders_{outcome} {orders.settled[outcome]}"]
    return [*lines, *_head("orders_pending", "gauge", "Orders being written now."), f"orders_pending {orders.pending}"]


def _histogram(route: str, histogram: Histogram) -> list[str]:
    lines, below = [], 0
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], histogram.counts, strict=True):
        below += count
        lines.append(f'http_request_seconds_bucket{{route="{route}",le="{bound}"}} {below}')
    lines.append(f'http_request_seconds_sum{{route="{route}"}} {histogram.sum:.6f}')
    lines.append(f'http_request_seconds_count{{route="{route}"}} {below}')
    return lines
