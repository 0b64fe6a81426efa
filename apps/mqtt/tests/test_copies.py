"""``ack = "peer"``: a PUBACK says that two nodes have the message on their disks, and what is so while one is away."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.disk import copy_store
from apps.mqtt.disk.copy_store import FILE, CopyStore
from apps.mqtt.peers import Peer
from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import Edge, Mongod, free_port, until
from apps.mqtt.wire.packets import Publish, encode, puback
from apps.mqtt.zone import keeping
from apps.mqtt.zone.keeping import Keeper

Name = tuple[str, int, int]


def pair(new_edge: Callable[..., Edge], **settings: Any) -> tuple[Edge, Edge]:
    first, second = new_edge(node="bos-a", **settings), new_edge(node="bos-b", **settings)
    first.meet(second)
    second.meet(first)
    return first.start(), second.start()


def copies(edge: Edge) -> set[Name]:
    with closing(sqlite3.connect(edge.data / FILE)) as db:
        return set(db.execute("SELECT device, epoch, seq FROM copies WHERE reading IS NOT NULL"))


def test_a_puback_comes_after_the_peer_has_a_copy(new_edge: Callable[..., Edge]) -> None:
    first, second = pair(new_edge, ack="peer")
    device = Device(first.mqtt).connected()
    for seq in range(1, 31):
        device.publish(numbered(seq), seq)
        assert device.receive(4) == puback(seq)
        assert ("d1", 0, seq) in copies(second)
    device.send(encode(Publish("f/BOS/d1/s", b"fine", 1, 31)))
    device.publish(b"garbage", 32)
    assert device.receive(8) == puback(31) + puback(32)
    with closing(sqlite3.connect(second.data / FILE)) as db:
        kept = db.execute("SELECT topic, payload FROM copies WHERE reading IS NULL ORDER BY place").fetchall()
    assert kept == [("f/BOS/d1/s", b"fine"), ("f/BOS/d1/t", b"garbage")]


def test_a_resend_waits_for_its_copy_too(new_edge: Callable[..., Edge]) -> None:
    first, second = pair(new_edge, ack="peer")
    second.kill()
    device = Device(first.mqtt).connected()
    device.publish(numbered(1))
    until(lambda: first.metrics()["committed"] == 1)
    first.kill()  # stored here, nowhere else, and not acknowledged
    first.start()
    again = Device(first.mqtt).connected()
    again.publish(numbered(1), dup=True)
    until(lambda: first.metrics()["duplicates"] == 1)
    assert first.metrics()["copies_pending"] == 1
    second.start()
    assert again.receive(4) == puback(1)
    assert copies(second) == {("d1", 0, 1)}


def test_while_no_peer_is_there_nothing_is_acknowledged_and_readiness_says_why(new_edge: Callable[..., Edge]) -> None:
    first, second = pair(new_edge, ack="peer", max_in_flight=10)
    assert second.stop() == 0
    device = Device(first.mqtt).connected()
    device.send(b"".join(encode(Publish(device.topic, numbered(seq), 1, seq)) for seq in range(1, 101)))
    status, answer = until(lambda: (found := first.get("/ready"))[0] == 503 and found)
    assert status == 503
    assert answer["why"].startswith("No other node of the zone has taken a copy for ")
    counts = first.metrics()
    assert (counts["committed"], counts["puback_total"], counts["copies_pending"]) == (10, 0, 10)
    assert counts["copies_late_seconds"] >= 5
    assert first.get("/live")[0] == 200
    second.start()
    assert device.receive(400) == b"".join(puback(seq) for seq in range(1, 101))
    until(first.is_ready)
    assert first.metrics()["copies_pending"] == 0


def test_without_the_setting_nobody_waits_and_nothing_is_copied(new_edge: Callable[..., Edge]) -> None:
    first, second = pair(new_edge)
    second.kill()
    device = Device(first.mqtt).connected()
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    second.start()
    until(lambda: second.metrics()["peers_reached"] == 1)
    assert copies(second) == set()


def far(mongod: Mongod, zone: str) -> list[Name]:
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        rows = client[f"zone_{zone.lower()}"]["readings"].find()
        return [(row["device"], row["epoch"], row["seq"]) for row in rows]


@pytest.mark.parametrize("fresh", [False, True], ids=["and the node with it", "and the node begins anew"])
def test_what_was_acknowledged_outlives_the_volume_of_its_node(
    new_edge: Callable[..., Edge], mongod: Mongod, fresh: bool
) -> None:
    zone = f"V{int(fresh)}"
    first, second = pair(new_edge, ack="peer", zone=zone, mongo_uri=mongod.uri)
    mongod.stop()
    crowd = Crowd(first.mqtt, zone, devices=4, epoch=1)
    crowd.wait_for(1000)
    first.kill()
    acknowledged = crowd.stop()
    shutil.rmtree(first.data)
    assert acknowledged <= copies(second)
    if fresh:
        first.start()
    mongod.start()
    until(lambda: acknowledged <= set(far(mongod, zone)), 60)
    carried = far(mongod, zone)
    assert len(carried) == len(set(carried))


def test_and_without_copies_it_would_not(new_edge: Callable[..., Edge]) -> None:
    first, second = pair(new_edge)
    crowd = Crowd(first.mqtt, "BOS", devices=2, epoch=1)
    crowd.wait_for(100)
    first.kill()
    acknowledged = crowd.stop()
    shutil.rmtree(first.data)
    assert acknowledged - copies(second) == acknowledged


def test_a_disk_that_takes_nothing_here_delays_what_is_done_for_a_silent_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(copy_store, "BUSY_SECONDS", 0.05)

    async def watch(store: CopyStore, disk: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        keeper = Keeper("a", Peer("b", "127.0.0.1", free_port(), ""), store, thread, retention_days=30)
        disk.execute("BEGIN IMMEDIATE")
        keeping_on = asyncio.create_task(keeper.keep_for_ever())
        await asyncio.sleep(0.5)  # several tries
        assert not keeping_on.done()
        disk.execute("ROLLBACK")
        async with asyncio.timeout(10):
            while disk.execute("SELECT silent FROM stands").fetchone() == (0,):
                await asyncio.sleep(0.02)
        keeping_on.cancel()

    with closing(CopyStore(tmp_path)) as store, closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as disk:
        store.keep("b", {"life": 1, "volume": 5, "upto": 0, "rows": [], "far": 0}, 0)
        with ThreadPoolExecutor(1) as thread:
            asyncio.run(watch(store, disk, thread))


def test_a_copy_goes_once_its_node_says_that_it_is_far(tmp_path: Path) -> None:
    def answer(upto: int, seqs: list[int], head: int, far: int, volume: int = 5) -> dict[str, Any]:
        rows = [
            {"id": f"{volume:02}{seq:02}", "device": "d1", "topic": "t", "payload": "", "rts": 9, "head": head,
             "reading": [1, seq, 0, None, '{"unit": "C"}']}
            for seq in seqs
        ]  # fmt: skip
        return {"life": 1, "volume": volume, "upto": upto, "rows": rows, "far": far}

    with closing(CopyStore(tmp_path)) as store:
        store.keep("a", answer(1, [1, 2], head=2, far=0), 0)
        store.keep("a", answer(2, [3], head=3, far=1), 0)
        assert store.count() == 3  # of the first batch only a part is far
        store.keep("a", answer(3, [4], head=4, far=2), 0)
        assert store.count() == 2
        assert store.to_carry(10) == ("", [])  # it speaks, so it carries them itself
        store.keep("a", answer(1, [1], head=1, far=9, volume=6), 0)
        node, rows = store.to_carry(10)  # another volume: what it says of far says nothing of the last one
        assert (node, [row.seq for row in rows]) == ("a", [3, 4])
        assert {row.more for row in rows} == {'{"unit": "C"}'}
        store.carried("a", rows[-1].n)
        assert store.to_carry(10) == ("", [])
