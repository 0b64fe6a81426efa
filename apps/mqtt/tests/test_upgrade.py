"""An upgrade and its revert over one data directory: real former releases, from the history of the repository.

What a rollout does to a node is to stop one release and start another on the data that the first wrote, with whatever
the first had not forwarded. Nothing may be lost or doubled in either direction.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.tests.device import Device
from apps.mqtt.tests.running import NOWHERE, ROOT, Edge, Mongod, until
from apps.mqtt.wire.packets import puback

FORMER = {
    "with names side by side": "cb70ef9c14963788ea9412d168166ed9690eaad9",
    "with subscribers": "ad772be8978c8a2168da029b54b6eb2f1d69aca3",
    "before subscribers": "2086360284fbc50431bfa3ed081a73a58ec9a9b1~1",
}
NAMED_OTHERWISE = ("with subscribers", "before subscribers")
"""What was stored by one and is sent again to the other is stored twice: decision 0042 changed a reading's name."""


@pytest.fixture(params=list(FORMER.values()), ids=list(FORMER))
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkout of the application as it was."""
    made = subprocess.run(
        ["git", "archive", request.param, "apps/__init__.py", "apps/mqtt"], cwd=ROOT, capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("This is no clone with the repository's history.")
    (tmp_path / "former").mkdir()
    subprocess.run(["tar", "-x", "-C", str(tmp_path / "former")], input=made.stdout, check=True)
    return tmp_path / "former"


def say(edge: Edge, *seqs: int, **more: Any) -> None:
    device = Device(edge.mqtt, "press-1", zone=edge.zone).connected()
    for packet, seq in enumerate(seqs, 1):
        device.publish(json.dumps({"reading": seq, "seq": seq, **more}).encode(), packet)
        assert device.receive(4) == puback(packet)
    device.close()


def switch(edge: Edge, root: Path, mongo_uri: str) -> None:
    assert edge.stop() == 0
    edge.root = root
    edge.document["secrets"]["mongo_uri"] = mongo_uri
    edge.start()


def test_a_backlog_of_either_release_is_forwarded_by_the_other(
    new_edge: Callable[..., Edge], mongod: Mongod, former: Path, request: pytest.FixtureRequest
) -> None:
    zone = f"U{sum(map(ord, request.node.name))}"
    same_names = not any(f"[{name}]" in request.node.name for name in NAMED_OTHERWISE)
    edge = new_edge(zone=zone, mongo_uri=NOWHERE)
    edge.root = former
    edge.start()
    say(edge, 1, 2, 3)
    switch(edge, ROOT, NOWHERE)  # the upgrade, with a backlog of the former release
    say(edge, 3, 4, 5, 6)
    counts = edge.metrics()
    stored = 6 if same_names else 7
    assert (counts["duplicates"], counts["backlog"], counts["stored"]) == (same_names, stored, stored)
    switch(edge, former, mongod.uri)  # the revert, with a backlog of the newer one; the far store is back
    say(edge, 6, 7)
    until(lambda: edge.metrics()["backlog"] == 0)  # each scrape is held to both laws
    assert edge.metrics()["duplicates"] == same_names
    switch(edge, ROOT, mongod.uri)  # and the next try
    say(edge, 8)
    until(lambda: edge.metrics()["backlog"] == 0)
    expected = sorted([*range(1, 9), *(() if same_names else (3, 6))])
    assert sorted(row["seq"] for row in edge.readings()) == expected
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        far = [document["seq"] for document in client[f"zone_{zone.lower()}"]["readings"].find().sort("seq", 1)]
    assert far == expected


@pytest.mark.parametrize("former", [FORMER[name] for name in NAMED_OTHERWISE], ids=NAMED_OTHERWISE, indirect=True)
def test_a_release_that_knows_no_declared_members_forwards_the_reading_and_keeps_the_rest_on_the_node(
    new_edge: Callable[..., Edge], mongod: Mongod, former: Path, request: pytest.FixtureRequest
) -> None:
    zone = f"V{sum(map(ord, request.node.name))}"
    edge = new_edge(
        zone=zone, mongo_uri=NOWHERE, schema=[{"members": {"reading": {}, "seq": {}, "unit": {"type": "text"}}}]
    )
    edge.start()
    say(edge, 1, unit="C")
    switch(edge, former, mongod.uri)
    until(lambda: edge.metrics()["backlog"] == 0)
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        (document,) = client[f"zone_{zone.lower()}"]["readings"].find()
    assert document["reading"] == 1 and "unit" not in document
    switch(edge, ROOT, mongod.uri)
    assert edge.readings()[0]["more"] == {"unit": "C"}
