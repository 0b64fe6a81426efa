"""How long readings stay on the node, and what makes room when the store is nearly full."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.mqtt.disk.layout import FILE
from apps.mqtt.disk.queries import Reader
from apps.mqtt.disk.store import Store, Tally
from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import Edge, Mongod, until
from apps.mqtt.tests.test_store import arrival
from apps.mqtt.wire.packets import puback

DAY_MS = 86_400_000


def filled(directory: Path, arrived: list[int]) -> Store:
    store = Store(directory, "BOS", quarantine_rows=5)
    for seq, rts in enumerate(arrived, 1):
        store.commit([arrival(numbered(seq), rts=rts)])
    return store


@pytest.mark.parametrize(
    ("arrived", "far", "kept"),
    [
        ([1, 2, 3, 9, 9], 5, [4, 5]),  # old and far: gone
        ([1, 2, 3, 9, 9], 2, [3, 4, 5]),  # old, but not far yet: kept
        ([1, 2, 3], 3, []),  # nothing is young
        ([1, 99, 2, 3], 4, [2, 3, 4]),  # the clock was ahead for a while: later, and never out of order
        ([9, 9], 2, [1, 2]),
    ],
)
def test_what_is_old_and_far_goes_in_order(tmp_path: Path, arrived: list[int], far: int, kept: list[int]) -> None:
    store = filled(tmp_path, arrived)
    assert store.trim(before=5, far=far) == len(arrived) - len(kept)
    reader = Reader(tmp_path)
    assert [row.n for row in reader.page(0, 10)] == kept
    latest = reader.latest("d1")
    assert latest is not None
    assert latest.seq == len(arrived)  # the newest reading of a device is never forgotten
    store.close()


def test_numbers_go_on_after_everything_went(tmp_path: Path) -> None:
    store = filled(tmp_path, [1, 2, 3])
    store.trim(before=5, far=3)
    store.close()
    store = Store(tmp_path, "BOS", quarantine_rows=5)
    assert store.commit([arrival(numbered(4))]) == Tally(committed=1)
    reader = Reader(tmp_path)
    assert [row.n for row in reader.page(0, 10)] == [4]
    assert (reader.snapshot(3).stored, reader.snapshot(3).backlog) == (4, 1)
    store.close()


def test_a_node_forgets_what_the_far_store_has_and_keeps_both_laws(
    new_edge: Callable[..., Edge], mongod: Mongod
) -> None:
    edge = new_edge(zone="KEEP", mongo_uri=mongod.uri, retention_days=1).start()
    device = Device(edge.mqtt, zone="KEEP").connected()
    for seq in range(1, 21):
        device.publish(numbered(seq), seq)
        assert device.receive(4) == puback(seq)
    until(lambda: edge.metrics()["backlog"] == 0)
    assert edge.metrics()["trimmed"] == 0
    with sqlite3.connect(edge.data / FILE) as db:
        db.execute("UPDATE readings SET rts = rts - ? WHERE n <= 15", (2 * DAY_MS,))
    until(lambda: edge.metrics()["trimmed"] == 15)
    assert [row["n"] for row in edge.readings()] == [16, 17, 18, 19, 20]
    assert edge.metrics()["stored"] == edge.metrics()["forwarded"] == 20


def test_a_small_store_takes_more_than_it_holds_while_the_far_store_follows(
    new_edge: Callable[..., Edge], mongod: Mongod
) -> None:
    edge = new_edge(zone="SMALL", mongo_uri=mongod.uri, max_store_bytes=400 * 4096).start()
    crowd = Crowd(edge.mqtt, "SMALL", devices=2, epoch=1, window=20)
    until(lambda: edge.metrics()["stored"] > 30_000, 60)  # several times what fits
    acknowledged = crowd.stop()
    until(lambda: edge.metrics()["backlog"] == 0, 60)
    assert edge.metrics()["trimmed"] > 0
    assert len(acknowledged) == edge.metrics()["forwarded"]
    assert edge.is_ready()


def test_alive_is_not_ready(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge().start()
    blocker = sqlite3.connect(edge.data / FILE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    device = Device(edge.mqtt).connected()
    device.publish(numbered(1))
    until(lambda: edge.get("/ready")[0] == 503)
    assert edge.get("/live") == (200, {"live": True, "zone": "BOS"})
    blocker.execute("ROLLBACK")
    until(edge.is_ready)
