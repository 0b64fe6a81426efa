"""Watching a rollout from outside: what nodes, balancers and processes are, asked of themselves ten times a second.

Nothing comes from the controller. For each canary: the promise on its disk, the release that answers on its own port,
the weight and the sessions that each balancer of its zone has for it, and the releases that have a process on this
machine. Times are boot time, the clock of ledgers and promises.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.outputs import NodeOutput
from tests.bench.world import World

EVERY = 0.1
RELEASE = re.compile(rb"/store/releases/([0-9a-f]{64})/")


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Glance:
    """One canary at one time. ``at`` is when everything had been asked."""

    at: float
    node: str
    promised: str | None
    promised_at: float
    """When its disk got to say so."""
    ready: str | None
    """The release that answers ready on the node's own port."""
    weight: int
    sessions: int
    """Both over all balancers of the zone: the highest weight, and MQTT sessions together."""
    processes: frozenset[str]
    """Releases that have a process, on any node of this world."""


class Witness:
    """Glances at every canary while a block runs."""

    def __init__(self, world: World) -> None:
        self.glances: list[Glance] = []
        self._nodes = [world.nodes[name] for name in world.canaries]
        self._root = str(world.root).encode()
        self._balancers = {name: balancer_socket(node) for name, node in world.nodes.items()}
        self._zones = {node.name: [n.name for n in world.nodes.values() if n.zone == node.zone] for node in self._nodes}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def first(self, node: str, holds: Callable[[Glance], bool], after: float = 0.0) -> Glance | None:
        """The first glance at ``node`` after a time for which ``holds`` is true."""
        return next((g for g in list(self.glances) if g.node == node and g.at > after and holds(g)), None)

    def last(self, holds: Callable[[Glance], bool]) -> Glance | None:
        return next((g for g in reversed(self.glances) if holds(g)), None)

    def _watch(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            rows = {name: server_rows(path) for name, path in self._balancers.items()}
            alive = processes(self._root)
            for node in self._nodes:
                promised, promised_at = promise(Path(node.root, "state.json"))
                ready = ready_release(node.listens["http"])
                seen = [rows[peer][server] for peer in self._zones[node.name] for server in rows[peer]
                        if server.endswith(f"/{node.name}")]  # fmt: skip
                weight = max((weight for weight, _ in seen), default=0)
                sessions = sum(rows[peer].get(f"mqtt/{node.name}", (0, 0))[1] for peer in self._zones[node.name])
                glance = Glance(boottime(), node.name, promised, promised_at, ready, weight, sessions, alive)
                self.glances.append(glance)
            self._over.wait(max(0.0, EVERY - (time.monotonic() - began)))


def balancer_socket(node: NodeOutput) -> Path:
    return Path(json.loads(Path(node.root, "node.json").read_text())["balancer"]["socket"])


def ask_balancer(path: Path, words: str) -> str:
    """HAProxy's answer on its runtime socket; empty when it gives none."""
    try:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(1)
            admin.connect(str(path))
            admin.sendall(words.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    except OSError:
        return ""


def server_rows(path: Path) -> dict[str, tuple[int, int]]:
    """``backend/server`` to its weight and its sessions."""
    names, *lines = (line.split(",") for line in ask_balancer(path, "show stat -1 4 -1").splitlines() or [""])
    rows = [dict(zip(names, line, strict=False)) for line in lines if len(line) > 10]
    return {f"{row['# pxname']}/{row['svname']}": (int(row["weight"] or 0), int(row["scur"] or 0)) for row in rows}


def promise(path: Path) -> tuple[str | None, float]:
    """The release that a node's disk promises to leave again, and since when (boot time)."""
    try:
        written, known = path.stat().st_mtime, json.loads(path.read_text())
    except (OSError, ValueError):
        return None, 0.0
    pending = known["apps"].get("mqtt", {}).get("pending")
    return (pending["digest"] if pending else None), written - time.time() + boottime()


def ready_release(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 0.5) as peer:
            peer.sendall(b"GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            said = b"".join(iter(lambda: peer.recv(4096), b"")).decode("latin-1")
    except OSError:
        return None
    found = re.search(r"^x-release: *(\S+)", said, re.IGNORECASE | re.MULTILINE)
    return found[1] if found and " 200 " in said.partition("\r\n")[0] else None


def processes(root: bytes) -> frozenset[str]:
    """The releases, as digests, that any process of a node under ``root`` runs."""
    found = set()
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                command = (place / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if root in command and (match := RELEASE.search(command)):
                found.add(f"sha256:{match[1].decode()}")
    return frozenset(found)
