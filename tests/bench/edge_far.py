"""The edge application and its far store: what arrives there, how soon, and what an outage of it costs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient, WriteConcern

from apps.mqtt.tests.device import Device
from infra.local.servers import Server, start_mongod
from tests.bench.edges import ROOT, Edge
from tests.bench.ingest import publish
from tests.bench.progress import say
from tests.bench.result import Line, Part, high, median

FLOOD, STEADY, OUTAGE = 3.0, 4.0, 8.0
"""Seconds of each."""
RATE, SLOW_RATE = 3000, 1000
BATCH = 5000
COMMANDS = 100
MB = 1_000_000
Client = MongoClient[dict[str, Any]]


def measure(part: Part, folder: Path, far: Server, port: int) -> None:
    uri = f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    with Client(uri) as client, Edge(folder / "to-far", mongo_uri=uri) as edge:
        until(lambda: edge.metrics()["down_following"] == 2)
        lag(part, edge, client)
        commands(part, edge, client)
        end_to_end(part, edge, client)
    with Edge(folder / "outage", mongo_uri=uri) as edge:
        until(lambda: edge.metrics()["down_following"] == 2)
        outage(part, edge, far, folder, port)


def lag(part: Part, edge: Edge, client: Client) -> None:
    """From a device's own clock to when the far store tells of the reading, which it does once a majority has it."""
    came: list[float] = []
    done = threading.Event()

    def watch() -> None:
        with client["zone_bos"]["readings"].watch(max_await_time_ms=100) as stream:
            opened.set()
            while not done.is_set():
                change = stream.try_next()
                if change is not None:
                    stamped = change["fullDocument"]["ts"].replace(tzinfo=UTC)
                    came.append((datetime.now(UTC) - stamped).total_seconds())

    opened = threading.Event()
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    opened.wait(10)
    publish(edge.mqtt, "steady", STEADY, SLOW_RATE)
    until(lambda: edge.metrics()["backlog"] == 0)
    time.sleep(0.5)
    done.set()
    watching.join()
    part.lines.append(
        Line("lag_p50", f"device → far store at {SLOW_RATE}/s, p50", median(came), "s",
             (("p99", high(came, 0.99)), ("readings", f"{len(came):,}")), at_most=0.02)
    )  # fmt: skip


def commands(part: Part, edge: Edge, client: Client) -> None:
    """From before a command is written in the far store to when its device has it."""
    device = Device(edge.mqtt, "d-commanded")
    device.opened()
    device.subscribe(("f/BOS/d-commanded/cmd", 1))
    took = []
    for number in range(COMMANDS):
        document = {"_id": f"bench-{number}", "_pk": "BOS", "device": "d-commanded", "cmd": "blink", "rev": number + 1}
        began = time.monotonic()
        client["zone_bos"]["commands"].insert_one(document)
        device.delivered()
        took.append(time.monotonic() - began)
        time.sleep(0.02)
    device.close()
    beside = (("p99", high(took, 0.99)), ("commands", f"{COMMANDS}"))
    part.lines.append(Line("down_p50", "far store → device, p50", median(took), "s", beside, at_most=0.02))


def end_to_end(part: Part, edge: Edge, client: Client) -> None:
    """Saturated by devices until all is far; and what the far store takes from a client that does nothing else."""
    readings = client["zone_bos"]["readings"]
    before = readings.estimated_document_count()
    with publishing(edge.mqtt, "flood", FLOOD, RATE):
        until(lambda: readings.estimated_document_count() > before)
        began = time.monotonic()
        until(lambda: edge.metrics()["connected"] == 0, 60)
    until(lambda: edge.metrics()["backlog"] == 0, 120)
    carried = (readings.estimated_document_count() - before) / (time.monotonic() - began)
    resident = edge.resident_bytes()
    raw = raw_inserts(client)
    say(f"edge: {carried:,.0f}/s end to end, insert_many alone {raw:,.0f}/s, {resident / MB:.0f} MB")
    part.lines += [
        Line("end_to_end", "device → far store, saturated, of its insert_many", carried / raw, "%",
             (("carried", f"{carried:,.0f} /s"), ("insert_many, majority, alone", f"{raw:,.0f} /s")), at_least=0.6),
        Line("resident", "memory of serving and sync process afterwards", resident / MB, "MB", (), at_most=150),
    ]  # fmt: skip


def raw_inserts(client: Client) -> float:
    collection = client["bench"].get_collection("raw", write_concern=WriteConcern(w="majority"))
    now, sent, began = datetime.now(UTC), 0, time.monotonic()
    while time.monotonic() - began < FLOOD:
        collection.insert_many(
            [{"_pk": "BOS", "device": f"d{n % 50}", "epoch": 1, "seq": n, "reading": 21.5, "ts": now, "rts": now}
             for n in range(sent, sent + BATCH)], ordered=False,
        )  # fmt: skip
        sent += BATCH
    return sent / (time.monotonic() - began)


def outage(part: Part, edge: Edge, far: Server, folder: Path, port: int) -> None:
    """The far store is gone for a while and comes back, and devices go on all the time."""
    before = publish(edge.mqtt, "steady", STEADY, RATE)
    until(lambda: edge.metrics()["backlog"] == 0)
    far.stop()
    during = publish(edge.mqtt, "steady", OUTAGE, RATE)
    with publishing(edge.mqtt, "steady", STEADY * 2, RATE):
        again = start_mongod(folder / "far", "127.0.0.1", port)
        try:
            first = edge.metrics()
            until(lambda: edge.metrics()["forwarded"] > first["forwarded"])
            began, backlog = time.monotonic(), edge.metrics()["backlog"]
            until(lambda: edge.metrics()["backlog"] < RATE / 10, 60)
            last = edge.metrics()
            drained = (last["forwarded"] - first["forwarded"]) / (time.monotonic() - began)
        finally:
            again.stop()
    part.lines += [
        Line("drain", f"drained after an outage, of what came meanwhile ({RATE}/s)", drained / RATE, "",
             (("drained", f"{drained:,.0f} /s"), ("backlog", f"{backlog:,.0f}")), at_least=5),
        Line("outage_p99", "PUBACK p99 during the outage, of before", during["p99"] / before["p99"], "",
             (("before", before["p99"]), ("during", during["p99"])), at_most=2),
    ]  # fmt: skip


@contextmanager
def publishing(port: int, how: str, seconds: float, rate: int) -> Iterator[None]:
    """Devices that publish while a block lasts, and to their end."""
    argv = [sys.executable, "-m", "tests.bench.publishers", how, str(port), str(seconds), str(rate)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
        process.wait(seconds + 60)
    finally:
        process.kill()
        process.wait()


def until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"what the bench waited for did not come true within {seconds:g} s")
        time.sleep(0.02)
