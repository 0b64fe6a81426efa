"""The edge application bare: one process of it in a directory of its own, with nothing around it.

``python -m tests.bench.edges WHAT --config FILE`` starts it with another store: ``full`` is the product's own,
``normal`` leaves out the flush to disk at each commit, ``null`` keeps nothing. Everything else is the same code.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apps.mqtt import __main__ as edge_application
from apps.mqtt.disk.store import Arrival, Store, Tally
from infra.local.ports import Ports

ROOT = Path(__file__).parents[2]
NOWHERE = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
FULL, NORMAL, NULL = "full", "normal", "null"


class NormalStore(Store):
    """SQLite without a flush at each commit: what is acknowledged may be gone after a power cut."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._db.execute("PRAGMA synchronous = NORMAL")


class NullStore(Store):
    """Acknowledges and keeps nothing: what parsing, queueing and acknowledging cost alone."""

    def commit(self, batch: Sequence[Arrival]) -> Tally:
        return Tally(committed=len(batch))


STORES = {FULL: Store, NORMAL: NormalStore, NULL: NullStore}


class Edge:
    """A running application while a block lasts. ``ready_after`` is how long its start took."""

    def __init__(self, folder: Path, store: str | None = None, *, mongo_uri: str = NOWHERE, **settings: object) -> None:
        self._folder = folder
        self._mongo_uri, self._settings = mongo_uri, settings
        self._module = ["apps.mqtt"] if store is None else ["tests.bench.edges", store]
        self.mqtt, self.http = free_port(), free_port()
        self.ready_after = 0.0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        config = self._folder / "config.json"
        stated = {
            "environment": "bench", "zone": "BOS", "node": "bos-a", "bind": "127.0.0.1", "release": "none",
            "ports": {"mqtt": self.mqtt, "http": self.http}, "data": str(self._folder / "data"),
            "settings": self._settings, "secrets": {"mongo_uri": self._mongo_uri},
        }  # fmt: skip
        config.write_text(json.dumps(stated))
        argv = [sys.executable, "-m", *self._module, "--config", str(config)]
        began = time.monotonic()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() - began > 20:
                self._process.kill()
                raise RuntimeError(f"The edge application did not start: {(self._folder / 'log').read_text()[-400:]}")
            time.sleep(0.005)
        self.ready_after = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(8)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def metrics(self) -> dict[str, float]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        found = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in found}

    def resident_bytes(self) -> int:
        """Of the serving process and its sync process."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (self.pid, *children))
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _is_ready(self) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self.http, timeout=1)) as connection:
            try:
                connection.request("GET", "/ready")
                return connection.getresponse().status == 200
            except OSError:
                return False


free_port = Ports().take


if __name__ == "__main__":
    edge_application.Store = STORES[sys.argv[1]]  # type: ignore[attr-defined]  # the one seam: its store's class
    sys.exit(edge_application.main(sys.argv[2:]))
