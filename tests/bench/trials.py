"""Many watches of one shape of traffic, before all three judges: how often each reverts, and when.

Each watch has its own seed, so that the answer does not depend on how the work is shared among processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

from tests.bench.judges import Said, lane, mann_whitney, ours, series, threshold
from tests.bench.traces import trace
from tests.bench.traffic import Traffic

JUDGES = ("ours", "threshold", "Mann-Whitney")
PEERS = (threshold, mann_whitney)
WORKERS = 2
CHUNK = 100


@dataclass(frozen=True, slots=True)
class Trials:
    """What the judges made of ``runs`` watches: the product's answers, and the second at which each peer reverts."""

    runs: int
    said: tuple[Said, ...]
    peers: tuple[tuple[int | None, ...], ...]
    since: int = 0

    def share(self, judge: int) -> float:
        """How often a judge reverts."""
        return len(self.seconds(judge)) / self.runs

    def seconds(self, judge: int) -> tuple[int, ...]:
        """When it does, from when the harm began."""
        at = [said.second for said in self.said] if judge == 0 else self.peers[judge - 1]
        return tuple(second - self.since for second in at if second is not None)


def tried(traffic: Traffic, runs: int, pool: ProcessPoolExecutor | None = None) -> Trials:
    chunks = [range(begin, min(begin + CHUNK, runs)) for begin in range(0, runs, CHUNK)]
    share = pool.map if pool is not None else map
    answers = [answer for chunk in share(watches, [traffic] * len(chunks), chunks) for answer in chunk]
    since = traffic.harm.since if traffic.harm is not None else 0
    return Trials(runs, tuple(a[0] for a in answers), tuple(zip(*(a[1] for a in answers), strict=True)), since)


def watches(traffic: Traffic, numbers: Iterable[int]) -> list[tuple[Said, tuple[int | None, ...]]]:
    return [watched(traffic, number) for number in numbers]


def watched(traffic: Traffic, number: int) -> tuple[Said, tuple[int | None, ...]]:
    """One watch: the product's answer, and each peer's to any of the checks."""
    seen = list(trace(traffic, Random(1_000_003 * traffic.seed + number)))
    given = [(series(seen, check, traffic.once_per), check) for check in traffic.checks]
    answers = [[peer(seconds, check) for seconds, check in given] for peer in PEERS]
    first = tuple(min((at for at in said if at is not None), default=None) for said in answers)
    return ours(seen, lane(traffic.checks, traffic.once_per, traffic.reports_every)), first
