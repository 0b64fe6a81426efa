"""What the ingest counts, and how counts are written for Prometheus. Changed by the event loop alone.

The law ``publishes_received = committed + duplicates + quarantined + refused + pending`` holds whenever the loop is
between two steps; all five start at 0 with the process.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)


@dataclass(slots=True)
class Histogram:
    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        lines, so_far = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            so_far += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {so_far}')
        return [*lines, f"{name}_sum {self.total}", f"{name}_count {so_far}"]


@dataclass(slots=True)
class Counters:
    publishes_received: int = 0
    committed: int = 0
    duplicates: int = 0
    quarantined: int = 0
    refused: int = 0
    puback_total: int = 0
    connects_accepted: int = 0
    connects_refused: int = 0
    protocol_errors: int = 0
    commit_errors: int = 0
    trimmed: int = 0
    commit_latency_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_size: Histogram = field(default_factory=lambda: Histogram(SIZES))

    def lines(self) -> list[str]:
        lines: list[str] = []
        for name in Counters.__slots__:
            value = getattr(self, name)
            lines += value.lines(name) if isinstance(value, Histogram) else sample(name, "counter", value)
        return lines


def sample(name: str, kind: str, value: float) -> list[str]:
    return [f"# TYPE {name} {kind}", f"{name} {value}"]
