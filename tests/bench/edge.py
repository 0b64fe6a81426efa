"""The edge application beside what others build: durable acknowledgements a second, how long devices and readers wait.

Every figure stands beside its peer or its limit from the same run. What happens between the node and the far store is
``edge_far``; the peers themselves are ``chains``.
"""

from __future__ import annotations

import http.client
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from infra.local.servers import ServerMissing, start_mongod
from tests.bench import edge_far
from tests.bench.edges import ROOT, Edge, free_port
from tests.bench.ingest import BROKER, mosquitto, publish
from tests.bench.progress import say
from tests.bench.publishers import DEVICES
from tests.bench.result import Line, Part, high, median, shown
from tests.integration.authority import Authority
from tests.integration.secured import balancer

FLOOD, STEADY, CHAIN, CHAIN_AT_MOST = 2.5, 4.0, 0.5, 15.0
"""Seconds of each; a broker takes much in half a second, and its subscriber long."""
RATE = 3000
HELD = 10_000
READS_A_SECOND = 100

Rates = dict[str, list[float]]


def measure(root: Path, runs: int) -> Part:
    part = Part("edge", f"one edge process and its peers, 50 devices; throughput: medians of {runs} rounds in turn")
    folder = root / "edge"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    try:
        far = start_mongod(folder / "far", "127.0.0.1", port)
    except ServerMissing as missing:
        part.broken = str(missing)
        return part
    uri = f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    try:
        throughput(part, folder, uri, runs)
        secured(part, folder, runs)
        waits(part, folder)
        edge_far.measure(part, folder, far, port)
        connections(part, folder)
    finally:
        far.stop()
    part.notes.append("The devices are one process that shares the two cores: a saturated figure is of both together.")
    return part


def throughput(part: Part, folder: Path, uri: str, runs: int) -> None:
    """Each round takes everybody in turn, so that a noisy minute is everybody's."""
    broker = shutil.which(BROKER)
    rates: Rates = {"ours": [], "broker": [], "chain": [], "single": []}
    for run in range(1, runs + 1):
        with Edge(folder / f"ours-{run}") as edge:
            rates["ours"].append(publish(edge.mqtt, "flood", FLOOD)["acked_per_second"])
        if broker:
            with mosquitto(broker, folder / f"broker-{run}") as port:
                rates["broker"].append(publish(port, "flood", FLOOD)["acked_per_second"])
            rates["chain"].append(kept_by_chain(broker, folder / f"chain-{run}"))
        with peer("insert", uri) as port:
            rates["single"].append(publish(port, "flood", FLOOD)["acked_per_second"])
        say(f"edge {run}/{runs}: " + ", ".join(f"{name} {found[-1]:,.0f}/s" for name, found in rates.items() if found))
    ours = median(rates["ours"])
    part.lines.append(Line("acked", "durable PUBACKs a second, saturated", ours, "/s"))

    def against(name: str, says: str, what: str, least: float, unit: str) -> None:
        if not rates[name]:
            part.notes.append(f"SKIPPED: mosquitto is not on PATH, so nothing is said about {what}.")
            return
        ratio = median([mine / peer for mine, peer in zip(rates["ours"], rates[name], strict=True)])
        part.lines.append(
            Line(f"of_{name}", says, ratio, unit, ((what, f"{median(rates[name]):,.0f} /s"),), at_least=least)
        )

    against("broker", "… of a broker that keeps nothing", "mosquitto, in memory", 0.5, "%")
    against("chain", "… times a broker with a subscriber that stores", "mosquitto + paho + SQLite", 5, "")
    against("single", "… times one insert for each message", "mongod, journaled", 20, "")


def kept_by_chain(broker: str, folder: Path) -> float:
    """What the subscriber has on disk a second, from the first message until it has them all, or for a while."""
    limits = "max_queued_messages 0\nmax_inflight_messages 1000\n"
    with (
        mosquitto(broker, folder, limits) as port,
        peer("keep", str(folder / "kept.db"), port),
        closing(sqlite3.connect(folder / "kept.db")) as db,
    ):
        began, last = time.monotonic(), -1
        publish(port, "flood", CHAIN)
        while kept(db) > last and time.monotonic() - began < CHAIN_AT_MOST:
            last = kept(db)
            time.sleep(0.5)
        return kept(db) / (time.monotonic() - began)


def kept(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(rowid), 0) FROM kept").fetchone()[0])


@contextmanager
def peer(what: str, where: str, port: int = 0) -> Iterator[int]:
    """A peer of ``chains`` while a block lasts; the port that devices go to."""
    listens = port or free_port()
    argv = [sys.executable, "-m", "tests.bench.chains", what, str(listens), where]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        time.sleep(1.5)
        yield listens
    finally:
        process.kill()
        process.wait()


def secured(part: Part, folder: Path, runs: int) -> None:
    """The same devices directly, and with certificates through the platform's balancer."""
    authority = Authority(folder / "authority")
    for number in range(DEVICES):
        authority.device(f"d{number}")
    ratios, plain, behind = [], [], []
    for run in range(1, runs + 1):
        with Edge(folder / f"secured-{run}") as edge:
            plain.append(publish(edge.mqtt, "flood", FLOOD)["acked_per_second"])
            fronts = {"mqtt": free_port(), "http": free_port()}
            with balancer(folder, authority.folder, edge.mqtt, edge.http, fronts):
                came = publish(fronts["mqtt"], "flood", FLOOD, certificates=str(authority.folder))
            behind.append(came["acked_per_second"])
        ratios.append(behind[-1] / plain[-1])
    beside = (("directly", f"{median(plain):,.0f} /s"), ("with certificates", f"{median(behind):,.0f} /s"))
    part.lines.append(Line("secured", "behind mutual TLS, of without", median(ratios), "%", beside, at_least=0.8))
    part.notes.append(
        "Behind TLS the devices encrypt as well, in Python and on the same two cores, and so does HAProxy."
    )


def waits(part: Part, folder: Path) -> None:
    """How long a device waits for its PUBACK and a reader for the newest reading, while messages come at a rate."""
    with Edge(folder / "waits") as edge:
        reading = Reading(edge.http)
        publish(edge.mqtt, "steady", 1.0, RATE)  # so that there is something to read
        reading.start()
        steady = publish(edge.mqtt, "steady", STEADY, RATE)
        reading.done.set()
        reading.join()
    flush = fdatasync(folder)
    beside = (("one fdatasync", shown(flush, "s")), ("PUBACK", shown(steady["p50"], "s")))
    part.lines += [
        Line("p50_of_sync", f"PUBACK at {RATE}/s, p50, in fdatasyncs", steady["p50"] / flush, "", beside, at_most=10),
        Line("p99", f"PUBACK at {RATE}/s, p99", steady["p99"], "s", (), at_most=0.05),
        Line("latest_p99", f"newest reading over HTTP at {RATE}/s, p99", high(reading.took, 0.99), "s",
             (("p50", median(reading.took)), ("reads", f"{len(reading.took)}")), at_most=0.005),
    ]  # fmt: skip


class Reading(threading.Thread):
    """Asks for the newest reading of a device again and again."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []
        self.done = threading.Event()
        self._port = port

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            while not self.done.wait(1 / READS_A_SECOND):
                began = time.monotonic()
                connection.request("GET", "/v1/devices/d1/latest")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.took.append(time.monotonic() - began)


def fdatasync(folder: Path) -> float:
    """The median of writing one page to this disk for good."""
    took = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(300):
            file.seek(0)
            file.write(os.urandom(4096))
            began = time.monotonic()
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - began)
    return median(took)


def connections(part: Part, folder: Path) -> None:
    """So many devices at once, connected directly."""
    with Edge(folder / "held", max_connections=HELD + 100) as edge:
        before = edge.resident_bytes()
        found = publish(edge.mqtt, "hold", 2.0, HELD)
        beside = (
            ("connected within", shown(found["connect_seconds"], "s")),
            ("memory before", shown(before / 1e6, "MB")),
        )
    part.lines.append(
        Line("held", "direct connections held, each answered in the end", found["held"], "", beside, at_least=HELD)
    )
