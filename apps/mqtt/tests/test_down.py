"""From the far store to devices: this zone's commands and configuration, once, whatever dies in between."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from apps.mqtt.disk.down_store import FILE, DownStore, Found, Ignored
from apps.mqtt.disk.queries import Reader
from apps.mqtt.syncing.down import look_at
from apps.mqtt.tests.device import Device
from apps.mqtt.tests.running import Edge, Mongod, until
from apps.mqtt.wire.packets import PingReq, encode

NOW = datetime(2026, 11, 24, tzinfo=UTC)
Far = Database[dict[str, Any]]


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> str:
    return f"D{sum(map(ord, request.node.name))}"


@pytest.fixture
def far(mongod: Mongod, zone: str) -> Iterator[Far]:
    with MongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:
        yield client[f"zone_{zone.lower()}"]


@pytest.fixture
def edge(new_edge: Callable[..., Edge], mongod: Mongod, zone: str, far: Far) -> Edge:
    made = new_edge(zone=zone, mongo_uri=mongod.uri).start()
    follows(made)
    return made


def follows(edge: Edge) -> None:
    """It stands in both streams; what is written before that is read, not streamed."""
    until(lambda: edge.metrics()["down_following"] == 2)


def device(edge: Edge, name: str = "d1") -> Device:
    made = Device(edge.mqtt, name, zone=edge.zone, clean=False)
    assert made.opened()[1] == 0
    assert made.subscribe((f"f/{edge.zone}/{name}/#", 1)) == b"\1"
    return made


def command(zone: str, number: int, device: str = "d1", **more: Any) -> dict[str, Any]:
    return {
        "_id": f"c{number}",
        "_pk": zone,
        "device": device,
        "cmd": "blink",
        "args": {"times": number},
        "rev": number,
    } | more


def heard(device: Device, count: int) -> list[int]:
    return [json.loads(device.delivered().payload)["rev"] for _ in range(count)]


def nothing_comes(device: Device) -> bool:
    device.send(encode(PingReq()))
    return device.packet() == (0xD0, b"")


def test_a_command_reaches_its_device_and_no_other(edge: Edge, far: Far, zone: str) -> None:
    mine, other = device(edge), device(edge, "d2")
    far["commands"].insert_one(command(zone, 1))
    message = mine.delivered()
    assert (message.topic, message.qos) == (f"f/{zone}/d1/cmd", 1)
    assert json.loads(message.payload) == {"id": "c1", "cmd": "blink", "args": {"times": 1}, "rev": 1}
    assert nothing_comes(other)


def test_what_is_not_for_us_is_counted_and_never_published(edge: Edge, far: Far, zone: str) -> None:
    mine = device(edge)
    far["commands"].insert_many([
        command("ELSEWHERE", 1),  # the server does not even send it
        command(zone, 2, expires_at=datetime.now(UTC) - timedelta(seconds=5)),
        command(zone, 3, device="a/b"),
        command(zone, 4, rev="four"),
        command(zone, 5, deleted=True),
        command(zone, 6),
    ])  # fmt: skip
    assert heard(mine, 1) == [6]
    assert nothing_comes(mine)
    assert edge.metrics()["down_ignored"] == 4
    assert edge.metrics()["down_taken"] == 1


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"_pk": "DFW"}, "foreign"),
        ({"_pk": None}, "foreign"),
        ({"device": None}, "unknown_device"),
        ({"device": "#"}, "unknown_device"),
        ({"rev": None}, "no_rev"),
        ({"rev": True}, "no_rev"),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW.replace(tzinfo=None)}, "expired"),
        ({"deleted": True}, "withdrawn"),
    ],
)
def test_why_a_command_is_ignored(document: dict[str, Any], why: str) -> None:
    assert look_at("commands", command("BOS", 1) | document, "BOS", NOW) == Ignored(why)


def test_a_command_waits_for_its_device_and_expires(edge: Edge, far: Far, zone: str) -> None:
    device(edge).close()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    far["commands"].insert_many([command(zone, 1), command(zone, 2, expires_at=soon)])
    until(lambda: edge.metrics()["down_taken"] == 2)
    until(lambda: datetime.now(UTC) > soon)
    back = Device(edge.mqtt, "d1", zone=zone, clean=False)
    assert back.opened()[0] is True
    assert heard(back, 1) == [1]
    assert nothing_comes(back)


def test_configuration_is_retained_and_the_highest_rev_wins(edge: Edge, far: Far, zone: str) -> None:
    config = far["config"]
    config.insert_one({"_id": "d1", "_pk": zone, "device": "d1", "value": {"every": 5}, "rev": 10})
    until(lambda: edge.metrics()["down_taken"] == 1)
    mine = device(edge)
    message = mine.delivered()
    assert (json.loads(message.payload), message.retain) == ({"value": {"every": 5}, "rev": 10}, True)
    config.update_one({"_id": "d1"}, {"$set": {"value": {"every": 9}, "rev": 12}})
    assert heard(mine, 1) == [12]
    config.insert_one({"_id": "late", "_pk": zone, "device": "d1", "value": {"every": 1}, "rev": 11})
    until(lambda: edge.metrics()["down_ignored"] == 1)
    config.update_one({"_id": "d1"}, {"$set": {"deleted": True, "rev": 13}})
    assert mine.delivered().payload == b""
    assert nothing_comes(mine)
    fresh = Device(edge.mqtt, "d1", zone=zone)
    fresh.opened()
    fresh.subscribe((f"f/{zone}/d1/cfg", 1))
    assert nothing_comes(fresh)


@pytest.mark.parametrize("whom", ["sync", "all"])
def test_kill_9_loses_no_command_and_doubles_none(edge: Edge, far: Far, zone: str, whom: str) -> None:
    device(edge).close()
    got: list[int] = []
    for start in (1, 101, 201):
        far["commands"].insert_many([command(zone, number) for number in range(start, start + 50)])
        until(lambda: edge.metrics()["down_taken"] > 0)
        if whom == "sync":
            os.kill(edge.forwarder(), signal.SIGKILL)
        else:
            edge.kill()
        far["commands"].insert_many([command(zone, number) for number in range(start + 50, start + 100)])
        if whom == "all":
            edge.start()
    until(lambda: edge.metrics()["down_taken"] == 300)
    until(lambda: edge.metrics()["pending"] == 0)
    back = Device(edge.mqtt, "d1", zone=zone, clean=False)
    assert back.opened()[0] is True
    got = heard(back, 300)
    assert sorted(got) == list(range(1, 301))
    assert nothing_comes(back)


def test_a_command_for_which_the_disk_has_no_room_comes_once_there_is_some(edge: Edge, far: Far, zone: str) -> None:
    mine = device(edge)
    far["commands"].insert_one(command(zone, 1))
    assert heard(mine, 1) == [1]
    resource.prlimit(edge.forwarder(), resource.RLIMIT_FSIZE, (4096, 4096))  # the next sync process is free of it
    far["commands"].insert_many([command(zone, 2), command(zone, 3)])
    assert heard(mine, 2) == [2, 3]
    assert nothing_comes(mine)
    assert edge.events("sync_cannot_write")
    assert not edge.events("defect")


def test_the_place_is_kept_fresh_while_nothing_happens(edge: Edge, far: Far, zone: str) -> None:
    def token() -> str:
        with sqlite3.connect(edge.data / FILE) as db:
            return str(db.execute("SELECT token FROM places WHERE kind = 'commands'").fetchone()[0])

    before = token()
    far["noise"].insert_one({"this": "is of no concern"})
    until(lambda: token() != before)
    assert edge.metrics()["down_taken"] == 0


def test_data_and_place_change_together(tmp_path: Any) -> None:
    store = DownStore(tmp_path)
    assert store.take("commands", [Found("c1", "d1", 7, "{}", None), Ignored("expired")], {"_data": "1"})
    assert store.place("commands") == ({"_data": "1"}, 7)
    assert not store.take("commands", [Found("c1", "d1", 7, "{}", None)], {"_data": "2"})  # seen before
    with pytest.raises(sqlite3.IntegrityError):
        store.take("commands", [Found("c2", "d1", 8, "{}", None), Found("c3", "d1", None, "{}", None)], {"_data": "3"})  # type: ignore[arg-type]  # broken on purpose
    assert store.place("commands") == ({"_data": "2"}, 7)
    store.forget_place("commands")
    assert store.place("commands") == (None, 7)


def test_what_was_published_long_ago_goes_and_what_may_come_again_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.mqtt.disk.down_store.KEPT_ROWS", 3)
    store = DownStore(tmp_path)
    store.take("config", [Found(name, name, rev, "", None) for name, rev in (("d1", 1), ("d2", 2), ("d1", 3))], None)
    store.take("commands", [Found(f"c{rev}", "d1", rev, "", None) for rev in range(1, 7)], None)
    with sqlite3.connect(tmp_path / FILE) as db:

        def left() -> list[str]:
            return [name for (name,) in db.execute("SELECT name || '@' || rev FROM found ORDER BY n")]

        assert store.trim(0) == 0  # nothing is published yet
        assert store.trim(5) == 3
        assert left() == ["d2@2", "d1@3", "c3@3", "c4@4", "c5@5", "c6@6"]
        assert store.trim(9) == 1
        assert left() == ["d2@2", "d1@3", "c4@4", "c5@5", "c6@6"]
        monkeypatch.setattr("apps.mqtt.disk.down_store.KEPT_ROWS", 0)
        assert store.trim(9) == 2
        assert left() == ["d2@2", "d1@3", "c6@6"]
    assert not store.take("commands", [Found("c6", "d1", 6, "", None)], None)  # read again, and recognised
    assert not store.take("config", [Found("d2", "d2", 2, "", None)], None)


def test_the_sync_process_trims_what_is_published(
    edge: Edge, far: Far, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = "SELECT count(*) FROM found"
    store = DownStore(edge.data)
    store.take("commands", [Found(f"old{rev}", "d9", rev, "{}", None) for rev in range(1, 10_101)], None)
    far["commands"].insert_one(command(zone, 20_000) | {"rev": 20_000})
    until(lambda: edge.metrics()["pending"] == 0 and published(edge) >= 10_101)
    far["commands"].insert_one(command(zone, 20_001) | {"rev": 20_001})
    with sqlite3.connect(edge.data / FILE) as db:
        until(lambda: db.execute(count).fetchone() == (10_000,))


def published(edge: Edge) -> int:
    with closing(Reader(edge.data)) as reader:
        return reader.mark("far")
