"""From the edge into a real far store: everything, once, whatever dies in between."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from apps.mqtt.disk.progress import FILE
from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import Edge, Mongod, until
from apps.mqtt.wire.packets import puback

Documents = MongoClient[dict[str, Any]]


@pytest.fixture(scope="module")
def far(mongod: Mongod) -> Iterator[Documents]:
    with Documents(mongod.uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> str:
    """Each test is a zone of its own, and so has a database of its own."""
    return f"Z{sum(map(ord, request.node.name))}"


@pytest.fixture
def database(far: Documents, zone: str) -> Database[dict[str, Any]]:
    return far[f"zone_{zone.lower()}"]


def names(database: Database[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(found["device"], found["epoch"], found["seq"]) for found in database["readings"].find()]


def all_is_far(edge: Edge) -> bool:
    counts = edge.metrics()
    return counts["backlog"] == 0 and counts["stored"] > 0


def publish(edge: Edge, *payloads: bytes) -> None:
    device = Device(edge.mqtt, zone=edge.zone).connected()
    for packet_id, payload in enumerate(payloads, 1):
        device.publish(payload, packet_id)
        assert device.receive(4) == puback(packet_id)
    device.close()


def test_a_reading_arrives_with_all_that_it_said(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, b'{"reading": 21.5, "seq": 7, "epoch": 3, "ts": 1795499692651}', b"-42")
    until(lambda: all_is_far(edge))
    told, bare = database["readings"].find().sort("rts")
    rows = edge.readings()
    assert told == {
        "_id": ObjectId(rows[0]["id"]), "_pk": zone, "device": "d1", "epoch": 3, "seq": 7, "reading": 21.5,
        "ts": datetime.fromtimestamp(1795499692.651, UTC), "rts": told["rts"],
    }  # fmt: skip
    assert round(told["rts"].timestamp() * 1000) == rows[0]["rts"]
    assert (bare["reading"], bare["seq"], bare["epoch"], bare["ts"]) == (-42, None, None, None)
    counts = edge.metrics()
    assert (counts["forwarded"], counts["dead_letter"], counts["oldest_unsynced_age_seconds"]) == (2, 0, 0)


def test_kills_of_ingest_and_forwarder_under_load_lose_and_double_nothing(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    edge = new_edge(zone=zone, mongo_uri=mongod.uri)
    acknowledged: set[tuple[str, int, int]] = set()
    for epoch in range(2):
        edge.start()
        crowd = Crowd(edge.mqtt, zone, devices=4, epoch=epoch)
        crowd.wait_for(1500)
        os.kill(edge.forwarder(), signal.SIGKILL)
        crowd.wait_for(3000)
        until(lambda: edge.metrics()["forwarded"] > 0)
        edge.kill()
        acknowledged |= crowd.stop()
    edge.start()
    until(lambda: all_is_far(edge))
    arrived = names(database)
    assert len(arrived) == len(set(arrived)) == edge.metrics()["stored"] == edge.metrics()["forwarded"]
    assert acknowledged <= set(arrived)


def test_an_absent_far_store_stops_nothing_and_is_caught_up_with(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, numbered(0))
    until(lambda: all_is_far(edge))
    mongod.stop(signal.SIGKILL)
    try:
        crowd = Crowd(edge.mqtt, zone, devices=2, epoch=1)
        crowd.wait_for(2000)
        acknowledged = crowd.stop()
        counts = until(lambda: (now := edge.metrics())["far_errors"] > 0 and now)
        assert counts["forwarded"] == 1
        assert counts["backlog"] >= 2000
        assert counts["oldest_unsynced_age_seconds"] > 0
        assert edge.is_ready()
    finally:
        mongod.start()
    until(lambda: all_is_far(edge), 40)
    arrived = names(database)
    assert len(arrived) == len(set(arrived))
    assert set(arrived) == acknowledged | {("d1", 0, 0)}
    assert edge.events("far_unreachable")
    assert edge.events("far_reached")


def test_a_disk_without_room_ends_the_sync_process_with_a_sentence_and_the_next_one_goes_on(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, numbered(0))
    until(lambda: all_is_far(edge))
    resource.prlimit(edge.forwarder(), resource.RLIMIT_FSIZE, (4096, 4096))  # of each of its files
    publish(edge, *(numbered(seq) for seq in range(1, 50)))
    until(lambda: all_is_far(edge))
    line, *_ = edge.events("sync_cannot_write")
    assert (line["direction"], line["why"][:18]) == ("up", "this node's disk: ")
    assert len(edge.events("forwarder_ended")) == 1
    assert sorted(names(database)) == [("d1", 0, seq) for seq in range(50)]


def test_what_was_sent_before_is_recognised(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, *(numbered(seq) for seq in range(200)))
    until(lambda: all_is_far(edge))
    assert edge.stop() == 0
    for left_over in edge.data.glob(FILE + "*"):  # the forwarder's memory is gone: all is sent again
        left_over.unlink()
    edge.start()
    until(lambda: all_is_far(edge))
    assert edge.metrics()["forwarded"] == 200
    assert sorted(names(database)) == [("d1", 0, seq) for seq in range(200)]


def test_what_the_far_store_refuses_is_kept_aside_and_the_rest_goes_on(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    database.create_collection("readings", validator={"reading": {"$lt": 1000}})
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, *(numbered(seq, 5000 if seq in (3, 77) else seq) for seq in range(100)), b"42")
    until(lambda: all_is_far(edge))
    counts = edge.metrics()
    assert (counts["stored"], counts["forwarded"], counts["dead_letter"]) == (101, 99, 2)
    assert database["readings"].count_documents({}) == 99
    with sqlite3.connect(edge.data / FILE) as progress:
        letters = progress.execute("SELECT n, document, reason FROM dead_letters ORDER BY n").fetchall()
    assert [n for n, _, _ in letters] == [4, 78]
    assert '"reading": 5000' in letters[0][1]
    assert letters[0][2].startswith("121: ")


def test_a_far_store_that_refuses_every_write_makes_no_dead_letters(
    new_edge: Callable[..., Edge], mongod: Mongod, zone: str, database: Database[dict[str, Any]]
) -> None:
    database.create_collection("elsewhere")
    database.command("create", "readings", viewOn="elsewhere", pipeline=[])  # a view: every write is refused as a whole
    edge = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    publish(edge, *(numbered(seq) for seq in range(20)))
    until(lambda: edge.metrics()["far_errors"] >= 3)
    counts = edge.metrics()
    assert (counts["dead_letter"], counts["forwarded"], counts["backlog"]) == (0, 0, 20)
    assert edge.is_ready()
    database.drop_collection("readings")
    until(lambda: all_is_far(edge))
    assert len(names(database)) == 20
