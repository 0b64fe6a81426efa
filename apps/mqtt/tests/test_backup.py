"""A copy of a running node, and a node that comes back from it: nothing unseen by anybody, nothing half-done."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.backup import BEYOND, MANIFEST
from apps.mqtt.disk.layout import FILE, SCHEMA
from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import ROOT, Edge, Mongod, until
from apps.mqtt.tests.test_zone import Events
from apps.mqtt.wire.packets import puback


def backup(edge: Edge, *words: str, rc: int = 0) -> dict[str, Any] | str:
    argv = [sys.executable, "-m", "apps.mqtt.backup", *words, "--config", str(edge.config)]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == rc, done.stderr
    if rc:
        return done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def saved(edge: Edge, folder: Path) -> Path:
    found = backup(edge, "save", "--to", str(folder))
    assert isinstance(found, dict)
    return Path(found["saved"])


def say(edge: Edge, *seqs: int, name: str = "d1") -> None:
    device = Device(edge.mqtt, name).connected()
    for packet, seq in enumerate(seqs, 1):
        device.publish(numbered(seq, seq), packet)
        assert device.receive(4) == puback(packet)
    device.close()


def test_a_copy_taken_under_load_has_all_that_was_acknowledged_before_it_and_holds_together(
    new_edge: Callable[..., Edge], mongod: Mongod, tmp_path: Path
) -> None:
    edge = new_edge(zone="BK1", mongo_uri=mongod.uri).start()
    crowd = Crowd(edge.mqtt, "BK1", devices=4, epoch=1)
    crowd.wait_for(2_000)
    before = set(crowd.acknowledged)
    copy = saved(edge, tmp_path / "copies")
    crowd.stop()
    edge.kill()
    shutil.rmtree(edge.data)
    assert backup(edge, "restore", "--from", str(copy)) == {"restored": str(edge.data), "former": None}
    edge.start()  # whose scrapes are held to both laws
    found = [(row["device"], row["epoch"], row["seq"]) for row in edge.readings()]
    assert before <= set(found) and len(found) == len(set(found))
    until(lambda: edge.metrics()["backlog"] == 0)
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        far = {(d["device"], d["epoch"], d["seq"]) for d in client["zone_bk1"]["readings"].find({}, {"_id": 0})}
    assert before <= far


def test_who_was_ahead_of_the_copy_misses_nothing_that_comes_after_it(two: tuple[Edge, Edge], tmp_path: Path) -> None:
    first, second = two
    eye = Device(second.mqtt, "watch-1").connected()
    eye.subscribe(("f/BOS/d1/t", 1))
    events = Events(first)
    say(first, 1, 2, 3)
    copy = saved(first, tmp_path / "copies")
    say(first, 4, 5, 6, 7, 8)
    heard = {json.loads(eye.delivered().payload)["seq"] for _ in range(8)}
    assert heard == {events.next()[1]["seq"] for _ in range(8)} == set(range(1, 9))
    assert events.last is not None
    first.kill()
    shutil.rmtree(first.data)
    backup(first, "restore", "--from", str(copy))
    first.start()
    until(lambda: first.metrics()["peers_reached"] == second.metrics()["peers_reached"] == 1)
    say(first, 9, 10)  # fewer than were lost: by their numbers alone they would be old news
    after: list[int] = []
    while not {9, 10} <= set(after):
        after.append(json.loads(eye.delivered().payload)["seq"])
    assert set(after) <= {1, 2, 3, 9, 10}  # what was not far yet may come a second time
    again = Events(first, last=events.last)
    later: list[int] = []
    while not {9, 10} <= set(later):
        later.append(again.next()[1]["seq"])
    assert first.metrics()["stored"] == BEYOND + 5


def test_a_node_that_lost_nothing_is_restored_only_when_it_is_stopped_and_older(edge: Edge, tmp_path: Path) -> None:
    say(edge, 1)
    copy = saved(edge, tmp_path / "copies")
    say(edge, 2)
    refused = backup(edge, "restore", "--from", str(copy), rc=1)
    assert f"A process uses {edge.data}; stop the application before" in refused
    assert edge.stop() == 0
    refused = backup(edge, "restore", "--from", str(copy), rc=1)
    assert "holds 2 readings and the copy 1: it is newer. If it is to go all the same, move it away first." in refused
    with sqlite3.connect(edge.data / FILE) as db:
        assert db.execute("SELECT count(*) FROM readings").fetchone() == (2,)
    newer = saved(edge, tmp_path / "copies2")
    found = backup(edge, "restore", "--from", str(newer))
    assert isinstance(found, dict) and (Path(found["former"]) / FILE).exists()
    edge.start()
    assert [row["seq"] for row in edge.readings()] == [1, 2]
    edge.kill()


def test_a_copy_that_is_not_whole_is_refused_and_nothing_is_touched(edge: Edge, tmp_path: Path) -> None:
    say(edge, 1)
    copy = saved(edge, tmp_path / "copies")
    edge.kill()
    shutil.rmtree(edge.data)
    told = json.loads((copy / MANIFEST).read_text())
    raw = (copy / FILE).read_bytes()
    (copy / FILE).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert f"{copy / FILE} is not as it was saved" in backup(edge, "restore", "--from", str(copy), rc=1)
    (copy / FILE).write_bytes(raw)
    for change, words in (
        ({"zone": "DFW"}, "is of node bos-a in zone DFW, and this is bos-a in BOS."),
        ({"node": "bos-b"}, "is of node bos-b in zone BOS, and this is bos-a in BOS."),
        ({"data_version": 9}, "has data version 9; restore it with a release that reads 9."),
    ):
        (copy / MANIFEST).write_text(json.dumps(told | change))
        assert words in backup(edge, "restore", "--from", str(copy), rc=1)
    (copy / MANIFEST).unlink()
    assert "it is no copy, or one that was cut off." in backup(edge, "restore", "--from", str(copy), rc=1)
    assert not edge.data.exists()


def test_a_copy_of_an_older_release_comes_back_and_is_another_volume(edge: Edge, tmp_path: Path) -> None:
    edge.kill()
    shutil.rmtree(edge.data)
    edge.data.mkdir()
    with sqlite3.connect(edge.data / FILE) as db:
        db.executescript(f"{SCHEMA} PRAGMA user_version = 1; INSERT INTO about VALUES ('BOS');")
        db.execute("INSERT INTO readings VALUES (1, x'000102030405060708090a0b', 'd1', 0, 1, 7, NULL, 1000)")
        db.execute("UPDATE totals SET stored = 1")
        db.execute("CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
        db.execute("INSERT INTO marks VALUES ('volume', 7)")
    copy = saved(edge, tmp_path / "copies")
    backup(edge, "restore", "--from", str(copy))
    edge.start()
    say(edge, 2)
    assert [(row["seq"], row["n"]) for row in edge.readings()] == [(1, BEYOND + 1), (2, BEYOND + 2)]
    assert edge.metrics()["backlog"] == 2
    with sqlite3.connect(edge.data / FILE) as db:
        assert db.execute("SELECT value FROM marks WHERE name = 'volume'").fetchone() != (7,)


def test_a_disk_that_is_full_leaves_no_copy_and_a_sentence(edge: Edge, tmp_path: Path) -> None:
    say(edge, *range(1, 200))
    words = f"ulimit -f 8; exec {sys.executable} -m apps.mqtt.backup save --to {tmp_path / 'c'} --config {edge.config}"
    done = subprocess.run(
        ["bash", "-c", words], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "The copy could not be saved: " in done.stderr and "Nothing was changed." in done.stderr
    assert list((tmp_path / "c").iterdir()) == []
    say(edge, 200)


def test_saving_keeps_nobody_waiting(edge: Edge, tmp_path: Path) -> None:
    crowd = Crowd(edge.mqtt, "BOS", devices=2, epoch=1)
    crowd.wait_for(500)
    done = threading.Event()

    def save_again() -> None:
        for number in range(3):
            saved(edge, tmp_path / str(number))
        done.set()

    saving = threading.Thread(target=save_again)
    saving.start()
    rounds = 0
    while not done.is_set():  # while copies are made, messages go on being acknowledged
        crowd.wait_for(len(crowd.acknowledged) + 1)
        rounds += 1
    saving.join()
    assert rounds > 3
    crowd.stop()
    assert edge.metrics()["commit_errors"] == 0


@pytest.mark.parametrize("words", [("save", "--to", "x"), ("restore", "--from", "x")])
def test_a_configuration_that_is_none_ends_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    edge = Edge(tmp_path)
    assert "cannot be read" in str(backup(edge, *words, rc=2))
