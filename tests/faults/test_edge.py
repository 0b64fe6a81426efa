"""Seeded fault runs of one zone of the edge application: what was acknowledged is far, once, and subscribers have it.

Two nodes, a far store, devices that wander, repeat themselves, reboot and send poison, a subscriber that wanders too;
one fault after the other, drawn by the seed. ``--long`` plays 25 seeds of 8 faults each, else two seeds; and then a cut
that is longer than what the far store remembers.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.device import Device
from apps.mqtt.tests.running import Edge, Mongod, replica_set, until
from apps.mqtt.tests.wandering import Listener, Sender
from apps.mqtt.wire.packets import PingReq, encode

SEEDS = range(25)
FAULTS = 8


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS if metafunc.config.getoption("--long") else SEEDS[:2])


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with replica_set(tmp_path_factory.mktemp("mongod"), signal.SIGKILL) as server:
        yield server


class Zone:
    """Two nodes of a zone, and the ways to hurt them. Each way leaves everything running again."""

    def __init__(self, folder: Path, name: str, mongod: Mongod) -> None:
        self.mongod = mongod
        self.edges = []
        for node in ("a", "b"):
            (folder / node).mkdir()
            self.edges.append(Edge(folder / node, zone=name, node=node, mongo_uri=mongod.uri))
        for edge in self.edges:
            edge.meet(*self.edges)
            edge.start()
        self.faults: dict[str, Callable[[Edge], None]] = {
            "kill ingest": self.kill_ingest,
            "stop ingest": self.stop_ingest,
            "end ingest": self.end_ingest,
            "kill sync": self.kill_sync,
            "stop sync": self.stop_sync,
            "kill far": self.kill_far,
            "stop far": self.stop_far,
            "disk hangs": self.hang_disk,
            "disk full": self.fill_disk,
            "restart both": self.restart_both,
        }

    def kill_ingest(self, edge: Edge) -> None:
        edge.kill()
        edge.start()

    def end_ingest(self, edge: Edge) -> None:
        assert edge.stop() == 0
        edge.start()

    def restart_both(self, edge: Edge) -> None:
        for each in self.edges:
            each.kill()
        for each in self.edges:
            each.start()

    def stop_ingest(self, edge: Edge) -> None:
        assert edge.process is not None
        _stop_for_a_while(edge.process.pid)

    def kill_sync(self, edge: Edge) -> None:
        os.kill(edge.forwarder(), signal.SIGKILL)

    def stop_sync(self, edge: Edge) -> None:
        _stop_for_a_while(edge.forwarder())

    def kill_far(self, edge: Edge) -> None:
        self.mongod.stop(signal.SIGKILL)
        self.mongod.start()

    def stop_far(self, edge: Edge) -> None:
        _stop_for_a_while(self.mongod.pid)

    def hang_disk(self, edge: Edge) -> None:
        with closing(sqlite3.connect(edge.data / FILE, isolation_level=None, timeout=20)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            time.sleep(1)
            blocker.execute("ROLLBACK")

    def fill_disk(self, edge: Edge) -> None:
        """No file of the process may grow for a while."""
        assert edge.process is not None
        former = resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        time.sleep(1)
        resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, former)

    def close(self) -> None:
        for edge in self.edges:
            if not edge.ended():
                edge.kill()


def _stop_for_a_while(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)


def test_nothing_acknowledged_is_lost_or_doubled_whatever_dies(tmp_path: Path, mongod: Mongod, seed: int) -> None:
    chance = random.Random(seed)
    zone = Zone(tmp_path, f"F{seed}", mongod)
    senders = [Sender(zone.edges, f"d{number}", seed * 100 + number) for number in range(4)]
    listener = Listener(zone.edges, "watch-1")
    played: list[str] = []
    try:
        listener.start()
        until(lambda: sum(edge.metrics()["subscriptions"] for edge in zone.edges) >= 1)
        for sender in senders:
            sender.start()
        for _ in range(FAULTS):
            fault, edge = chance.choice(sorted(zone.faults)), chance.choice(zone.edges)
            played.append(f"{fault} {edge.document['node']}")
            before = sum(len(sender.acknowledged) for sender in senders)
            until(lambda before=before: sum(len(s.acknowledged) for s in senders) > before + 50, 60)  # type: ignore[misc]  # bound now
            zone.faults[fault](edge)
        for sender in senders:
            sender.stop()
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        until(lambda: all(edge.is_ready() and edge.metrics()["backlog"] == 0 for edge in zone.edges), 90)
        with MongoClient[dict[str, Any]](mongod.uri) as client:
            rows = client[f"zone_f{seed}"]["readings"].find()
            far = [(row["device"], row["epoch"], row["seq"]) for row in rows]
        assert len(far) == len(set(far)), (seed, played)
        assert acknowledged <= set(far), (seed, played, sorted(acknowledged - set(far))[:5])
        until(lambda: acknowledged <= set(listener.got), 60)
        for edge in zone.edges:
            assert edge.metrics()["dead_letter"] == 0  # metrics() holds both laws
            assert not edge.events("defect"), (seed, played)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, after {', '.join(played)}: {error}") from error
    finally:
        for each in (*senders, listener):
            each.done.set()
        zone.close()


def test_a_cut_that_is_longer_than_the_oplog_is_made_up_for_by_reading_again_from_the_last_rev(
    tmp_path: Path, mongod: Mongod, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("It takes a minute until the far store forgets; --long waits for it.")
    edge = Edge(tmp_path, zone="CUT", mongo_uri=mongod.uri).start()
    client = MongoClient[dict[str, Any]](mongod.uri)
    try:
        far_forgets(edge, client)
    finally:
        client.close()
        edge.kill()


def far_forgets(edge: Edge, client: MongoClient[dict[str, Any]]) -> None:
    zone, far = edge.zone, client["zone_cut"]
    until(lambda: edge.metrics()["down_following"] == 2)
    mine = device(edge)
    far["commands"].insert_many([command(zone, number) for number in (1, 2)])
    assert heard(mine, 2) == [1, 2]
    assert nothing_comes(mine)  # and both are acknowledged
    assert edge.stop() == 0
    far["commands"].insert_many([command(zone, number) for number in (3, 4)])
    oplog = client["local"]["oplog.rs"]
    (first,) = oplog.find().sort("$natural").limit(1)

    def rolled_over() -> bool:
        far["noise"].insert_many({"noise": "x" * 12_000_000} for _ in range(3))
        return oplog.find_one({"ts": first["ts"]}) is None

    until(rolled_over, 60)
    far.drop_collection("noise")
    edge.start()
    until(lambda: edge.metrics()["down_taken"] == 4)
    assert edge.metrics()["down_reread"] >= 1
    assert {"commands"} <= {line["direction"] for line in edge.events("history_lost")}
    back = Device(edge.mqtt, "d1", zone=zone, clean=False)
    back.opened()
    assert heard(back, 2) == [3, 4]
    assert nothing_comes(back)


def device(edge: Edge) -> Device:
    made = Device(edge.mqtt, "d1", zone=edge.zone, clean=False)
    assert made.opened()[1] == 0
    assert made.subscribe((f"f/{edge.zone}/d1/#", 1)) == b"\1"
    return made


def command(zone: str, number: int) -> dict[str, Any]:
    return {"_id": f"c{number}", "_pk": zone, "device": "d1", "cmd": "blink", "args": None, "rev": number}


def heard(device: Device, count: int) -> list[int]:
    return [json.loads(device.delivered().payload)["rev"] for _ in range(count)]


def nothing_comes(device: Device) -> bool:
    device.send(encode(PingReq()))
    return device.packet() == (0xD0, b"")
