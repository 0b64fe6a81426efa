"""What tests break on a node: its room, its processes, its power."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.node_site import alive
from tests.integration.small import Place, wait


@contextmanager
def no_room(place: Place, *nodes: str) -> Iterator[None]:
    """These nodes keep more of their disk free than there is."""
    files = [place.root(node) / "node.json" for node in nodes]
    before = [file.read_text() for file in files]
    for file, text in zip(files, before, strict=True):
        file.write_text(json.dumps(json.loads(text) | {"reserve_bytes": 1 << 60}))
    try:
        yield
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)


def supervisor(place: Place, node: str) -> int:
    return place.small.platform.servers[f"{place.name}/{node}"].process.pid


def children(pid: int) -> dict[str, int]:
    """The supervisor's own children, the balancer and the node program, by what they are."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found["serve" if b"serve" in words else "haproxy"] = int(child)
    return found


def power_cycle(place: Place, node: str) -> None:
    """Everything of the node stops at once, and it comes up with another boot id."""
    keeper, running = supervisor(place, node), place.node(node)["pid"]
    pids = [keeper, *children(keeper).values(), *([running] if running else [])]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that nobody learns of another's end
        for pid in pids:
            os.kill(pid, number)
    place.small.platform.servers[f"{place.name}/{node}"].process.wait()
    wait("it is dark", lambda: not any(map(alive, pids)))
    facts, boot = place.root(node) / "node.json", place.root(node) / "boot_id"
    boot.write_text(str(uuid.uuid4()))
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"boot_id_file": str(boot)}))
    place.small.platform.start_node(place.name, node)
