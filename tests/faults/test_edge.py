"""Seeded fault runs of one zone of the edge application: what was acknowledged is far, once, and subscribers have it.

Two nodes with a balancer before each, a far store, devices that wander, repeat themselves, reboot and send poison, half
of them with certificates, a subscriber that wanders too; one fault after the other, drawn by the seed, every second one
with ``ack = "peer"``. ``--long`` plays 200 seeds, else a few; and then a cut that is longer than what the far store
remembers. The faults themselves are in ``edge_zone``.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.disk.progress import FILE
from apps.mqtt.tests.device import Device
from apps.mqtt.tests.preloaded import built
from apps.mqtt.tests.running import Edge, Mongod, replica_set, until
from apps.mqtt.tests.wandering import REFUSED_VALUE, Listener, Name, Sender, is_refused_far
from apps.mqtt.wire.packets import PingReq, encode
from infra.local.servers import ServerMissing, find_haproxy
from tests.faults.edge_zone import Around, Zone, running_zone
from tests.integration.authority import Authority

SEEDS = range(200)
FEW = range(4)
FAULTS = 3
DEVICES = 4
ACKS = ("node", "peer")
REFUSES = {"reading": {"$lt": REFUSED_VALUE}}
Far = MongoClient[dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS if metafunc.config.getoption("--long") else FEW)


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with replica_set(tmp_path_factory.mktemp("mongod"), signal.SIGKILL) as server:
        yield server


@pytest.fixture(scope="module")
def around(mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Around:
    try:
        find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    made = tmp_path_factory.mktemp("around")
    return Around(mongod, Authority(made / "authority"), built("failing_disk", made), built("wrong_clock", made))


def devices(zone: Zone, seed: int) -> list[Sender]:
    """Every second one has a certificate and comes by the balancers."""

    def device(number: int) -> Sender:
        name, chance = f"d{number}", seed * 100 + number
        if number % 2 == 0:
            return Sender(zone.edges, name, chance)
        return Sender(zone.edges, name, chance, doors=zone.doors, tls=zone.certificate(name))

    return [device(number) for number in range(DEVICES)]


def test_nothing_acknowledged_is_lost_or_doubled_whatever_dies(
    tmp_path: Path, around: Around, seed: int, record_property: Callable[[str, object], None]
) -> None:
    name, played = f"F{seed}", list[str]()
    with Far(around.mongod.uri) as client, running_zone(tmp_path, name, ACKS[seed % 2], around) as zone:
        far = client[f"zone_{name.lower()}"].create_collection("readings", validator=REFUSES)
        senders, listener = devices(zone, seed), Listener(zone.edges, "watch-1")
        zone.revoked = senders[-1]
        try:
            listener.start()
            until(lambda: sum(edge.metrics()["subscriptions"] for edge in zone.edges) >= 1)
            play(zone, senders, random.Random(seed), played)
            acknowledged = set().union(*(sender.acknowledged for sender in senders))
            until(lambda: all(edge.is_ready() and edge.metrics()["backlog"] == 0 for edge in zone.edges), 90)
            arrived, aside = [named(row) for row in far.find()], {name for edge in zone.edges for name in refused(edge)}
            lost, doubled = acknowledged - set(arrived) - aside, len(arrived) - len(set(arrived))
            counts = {"acknowledged": len(acknowledged), "lost": len(lost), "doubled": doubled, "refused": len(aside)}
            record_property("edge run", counts | {"faults": len(played)})
            assert (sorted(lost), doubled) == ([], 0)
            assert {name for name in aside if not is_refused_far(name)} == aside & set(arrived) == set()
            until(lambda: acknowledged <= set(listener.got), 60)
            for edge in zone.edges:
                assert edge.metrics()["dead_letter"] == len(refused(edge))  # metrics() holds both laws
                assert not edge.events("defect")
        except Exception as error:
            raise AssertionError(f"seed {seed}, after {', '.join(played)}: {error!r}") from error
        finally:
            for each in (*senders, listener):
                each.done.set()


def play(zone: Zone, senders: list[Sender], chance: random.Random, played: list[str]) -> None:
    """Fault after fault, each after messages that were acknowledged since the last."""
    for sender in senders:
        sender.start()
    go_on(senders)
    for _ in range(FAULTS):
        fault, edge = chance.choice(sorted(zone.faults)), chance.choice(zone.edges)
        played.append(f"{fault} {edge.document['node']}")
        zone.faults[fault](edge)
        go_on(senders)
    for sender in senders:
        sender.stop()


def go_on(senders: list[Sender]) -> None:
    before = sum(len(sender.acknowledged) for sender in senders)
    until(lambda: sum(len(sender.acknowledged) for sender in senders) > before + 50, 60)


def named(said: Mapping[str, Any]) -> Name:
    return said["device"], said["epoch"], said["seq"]


def refused(edge: Edge) -> list[Name]:
    """What this node has in its dead letters."""
    with closing(sqlite3.connect(edge.data / FILE)) as db:
        return [named(json.loads(document)) for (document,) in db.execute("SELECT document FROM dead_letters")]


def test_a_cut_that_is_longer_than_the_oplog_is_made_up_for_by_reading_again_from_the_last_rev(
    tmp_path: Path, mongod: Mongod, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("It takes a minute until the far store forgets; --long waits for it.")
    edge = Edge(tmp_path, zone="CUT", mongo_uri=mongod.uri).start()
    client = Far(mongod.uri)
    try:
        far_forgets(edge, client)
    finally:
        client.close()
        edge.kill()


def far_forgets(edge: Edge, client: Far) -> None:
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
