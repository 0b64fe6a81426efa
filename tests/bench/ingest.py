"""What the edge application takes in: acknowledged messages a second when saturated, and how long a device waits.

The same process with three stores, in turn: the product's (flushed to disk before each acknowledgement), SQLite without
that flush, and none. A broker that keeps nothing (mosquitto) stands beside them where it is on the machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.edges import FULL, NORMAL, NULL, Edge, free_port
from tests.bench.progress import say
from tests.bench.result import Line, Part, median

SATURATED, STEADY = 2.5, 3.0
"""Seconds of each."""
RATE = 1000
BROKER = "mosquitto"
NAMES = {FULL: "ours", NORMAL: "without the flush", NULL: "no store", BROKER: "mosquitto, keeps nothing"}

Figures = dict[str, list[float]]


def measure(root: Path, runs: int) -> Part:
    part = Part("ingest", f"one edge process, 50 devices, {runs} rounds in turn, medians")
    broker = shutil.which(BROKER)
    kinds = [FULL, NORMAL, NULL, *([BROKER] if broker else [])]
    found: dict[str, Figures] = {kind: {"acked": [], "p50": [], "p99": []} for kind in kinds}
    folder = root / "ingest"
    shutil.rmtree(folder, ignore_errors=True)
    for run in range(1, runs + 1):
        for kind in kinds:
            place = folder / f"{kind}-{run}"
            with mosquitto(broker, place) if kind == BROKER and broker else edge(place, kind) as port:
                flood = publish(port, "flood", SATURATED)
                steady = publish(port, "steady", STEADY)
            found[kind]["acked"].append(flood["acked_per_second"])
            found[kind]["p50"].append(steady["p50"])
            found[kind]["p99"].append(steady["p99"])
            shutil.rmtree(place, ignore_errors=True)
            say(
                f"ingest {run}/{runs}, {NAMES[kind]}: {flood['acked_per_second']:,.0f} acked/s, at {RATE}/s "
                f"PUBACK {steady['p50'] * 1000:.2f} / {steady['p99'] * 1000:.1f} ms"
            )
    peers = [kind for kind in kinds if kind != FULL]

    def line(name: str, says: str, unit: str) -> Line:
        beside = tuple((NAMES[kind], median(found[kind][name])) for kind in peers)
        return Line(name, says, median(found[FULL][name]), unit, beside)

    ratio = [ours / none for ours, none in zip(found[FULL]["acked"], found[NULL]["acked"], strict=True)]
    part.lines += [
        line("acked", "acknowledged a second, saturated", "/s"),
        Line("of_null", "… as a share of what it takes without a store", median(ratio), "%"),
        line("p50", f"PUBACK at {RATE}/s, p50", "s"),
        line("p99", f"PUBACK at {RATE}/s, p99", "s"),
    ]
    part.notes.append("The devices are one process that shares the two cores: a saturated figure is of both together.")
    if broker is None:
        part.notes.append("SKIPPED: mosquitto is not on PATH, so no broker stands beside these figures.")
    return part


@contextmanager
def edge(place: Path, store: str) -> Iterator[int]:
    with Edge(place, store) as started:
        yield started.mqtt


@contextmanager
def mosquitto(program: str, place: Path, more: str = "") -> Iterator[int]:
    """A broker that acknowledges what it keeps nowhere; nobody is subscribed."""
    place.mkdir(parents=True)
    port, config = free_port(), place / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{more}")
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


def publish(port: int, how: str, seconds: float, number: int = RATE, certificates: str = "") -> dict[str, float]:
    """A process of its own plays the devices."""
    argv = [sys.executable, "-m", "tests.bench.publishers", how, str(port), str(seconds), str(number), certificates]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"The devices of the bench ended with {done.returncode}: {done.stderr[-400:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
