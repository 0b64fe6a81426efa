"""A synthetic device's whole round: PUBACK, edge, far store and a command back; or the leg on which it ended."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from apps.mqtt.tests.running import NOWHERE, ROOT, Edge, Mongod, until


def whole(edge: Edge, uri: str, folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    (folder / "far").write_text(uri + "\n")
    argv = [sys.executable, "-m", "apps.mqtt.probe", "--port", str(edge.mqtt), "--http", str(edge.http)]
    done = subprocess.run(
        [*argv, "--far", str(folder / "far"), *more], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.count("\n") == 1, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_round_ends_at_the_device_again_and_each_leg_has_its_time(
    new_edge: Callable[..., Edge], mongod: Mongod, tmp_path: Path
) -> None:
    edge = new_edge(zone="R1", mongo_uri=mongod.uri).start()
    until(lambda: edge.metrics()["down_following"] == 2)
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        far = client["zone_r1"]
        far["commands"].insert_one({"_id": "theirs", "_pk": "R1", "device": "press-1", "rev": 41, "cmd": "stop"})
        for number in (1, 2):
            rc, said = whole(edge, mongod.uri, tmp_path, "--device", "probe-7")
            assert (rc, said["ok"]) == (0, True), said
            assert all(said[leg] >= 0 for leg in ("puback_ms", "read_ms", "far_ms", "command_ms"))
            ours = list(far["commands"].find({"cmd": "probe"}))
            assert [(each["_id"], each["rev"]) for each in ours] == [("probe-command-probe-7", 41 + number)]
        assert far["readings"].count_documents({"device": "probe-7"}) == 2
        assert far["commands"].find_one({"_id": "theirs"}) is not None


def test_a_reading_that_never_arrives_is_the_leg_that_is_named(
    new_edge: Callable[..., Edge], mongod: Mongod, tmp_path: Path
) -> None:
    edge = new_edge(zone="R2", mongo_uri=NOWHERE).start()
    rc, said = whole(edge, mongod.uri, tmp_path, "--within", "6")
    assert (rc, said["ok"]) == (1, False)
    assert said["why"].startswith("the reading is at the edge, but did not reach the far store: ")


def test_a_command_that_the_far_store_refuses_is_said(
    new_edge: Callable[..., Edge], mongod: Mongod, tmp_path: Path
) -> None:
    edge = new_edge(zone="R3", mongo_uri=mongod.uri).start()
    until(lambda: edge.metrics()["down_following"] == 2)
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        far = client["zone_r3"]
        far.create_collection("commands", validator={"cmd": {"$ne": "probe"}})
    rc, said = whole(edge, mongod.uri, tmp_path)
    assert rc == 1
    assert said["why"].startswith("the far store does not answer as it should: WriteError: Document failed validation")


def test_a_node_that_does_not_follow_its_commands_is_found_out(
    new_edge: Callable[..., Edge], mongod: Mongod, tmp_path: Path
) -> None:
    """It forwards, and hears nothing: its commands are followed elsewhere."""
    edge = new_edge(zone="R5", mongo_uri=mongod.uri).start()
    until(lambda: edge.metrics()["down_following"] == 2)
    with MongoClient[dict[str, Any]](mongod.uri) as client:  # a command from the future: all of now are behind it
        client["zone_r5"]["commands"].insert_one({"_id": "probe-command-p", "_pk": "R5", "device": "p2", "rev": 7})
        until(lambda: edge.metrics()["down_taken"] == 1)
        edge.stop()
        with sqlite3.connect(edge.data / "readings.db") as db:
            db.execute("INSERT OR REPLACE INTO marks VALUES ('far', 1000)")
    edge.start()
    rc, said = whole(edge, mongod.uri, tmp_path, "--device", "p", "--within", "8")
    assert rc == 1
    assert said["why"].startswith("the reading is in the far store, but no command came back: ")


def test_a_far_store_that_is_away_is_said(new_edge: Callable[..., Edge], tmp_path: Path) -> None:
    edge = new_edge(zone="R4").start()
    rc, said = whole(edge, NOWHERE, tmp_path, "--within", "6")
    assert rc == 1
    assert said["why"].startswith("the far store does not answer as it should: ServerSelectionTimeoutError")


def test_without_an_address_the_probe_goes_no_further_and_needs_no_driver() -> None:
    script = "import sys, apps.mqtt.probe; print([name for name in ('pymongo', 'bson') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_that_is_not_there_is_said(edge: Edge, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "apps.mqtt.probe", "--port", str(edge.mqtt), "--http", str(edge.http)]
    done = subprocess.run(
        [*argv, "--far", str(tmp_path / "none")], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
