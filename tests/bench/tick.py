"""How long judging one tick takes: a fleet of 200 nodes with ten checks, through the real ``look`` and ``verdict``.

Counted in processor time of this thread, so that other work on the machine is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

from controller.judge.samples import Cell, Counts, Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import Check, Lane
from tests.bench.judges import release

NODES, ZONES, LOOKS = 200, 10, 60
NAMES = tuple(f"n{i}" for i in range(NODES))
PATHS = tuple(f"/p{i}" for i in range(5))
CHECKS = (
    *(Check(f"errors {path}", "share", paths=(path,)) for path in PATHS),
    *(Check(f"slow {path}", "slower_than_control_p95", paths=(path,)) for path in PATHS[:3]),
    Check("silence", "missing_events", events="committed", per="connected_seconds"),
    Check("stored", "conservation", law="received = stored + refused"),
)
LANE = Lane(
    "app", release("c"), release("b"),
    {f"z{zone}": NAMES[zone * NODES // ZONES : (zone + 1) * NODES // ZONES] for zone in range(ZONES)},
    (NAMES[:: NODES // ZONES // 2],), ("http",), CHECKS, slow_above_ms=100.0,
)  # fmt: skip


def ticks() -> list[float]:
    """Seconds of processor time, look by look, of a watch on a busy fleet."""
    state, taken = Judgement(), []
    for sample in samples(Random(1)):
        began = time.thread_time()
        state = look(state, LANE, sample)
        verdict((LANE,), {"app": state}, Terms(0.01, 0.0, sample.at, sample.at == LOOKS))
        taken.append(time.thread_time() - began)
    return taken


def samples(random: Random) -> Iterator[Sample]:
    canaries, controls = LANE.canaries, LANE.controls
    for second in range(1, LOOKS + 1):
        cells = tuple(
            Cell(zone, path, counts(10, random), counts(90, random), 1, 4) for zone in LANE.zones for path in PATHS
        )
        metrics = {node: own(second, random) for node in NAMES}
        yield Sample(
            "app", float(second), cells, {node: metrics[node] for node in canaries},
            {node: metrics[node] for node in controls}, dict.fromkeys(NAMES, 1.0),
        )  # fmt: skip


def counts(events: int, random: Random) -> Counts:
    bad = sum(random.random() < 0.01 for _ in range(events))
    return Counts(events, bad, events, bad)


def own(second: int, random: Random) -> dict[str, float]:
    received = 50.0 * second
    return {
        "committed": received + random.randrange(5),
        "connected_seconds": received,
        "received": received,
        "stored": received - 1,
        "refused": 1.0,
    }
