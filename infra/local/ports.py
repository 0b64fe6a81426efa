"""Ports of loopback for the platform on one machine: free, and left alone by other platforms and by the system.

A port that an application leaves while it restarts may not be taken by anybody meanwhile. So ports lie below the range
from which the system takes the source ports of connections, in blocks; a platform holds a lock on its blocks as long
as it lives.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import TextIO

from infra.local.servers import HOST

BLOCK = 100
FIRST, LAST = 12_000, 32_000


class NoPortsLeft(Exception):
    """There are not enough free ports; the message says where they were looked for."""


class Ports:
    """Free ports, one after the other. Close it when what listens on them has ended."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir(), f"turnabout-ports-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._held: list[TextIO] = []
        self._free: list[int] = []
        self._blocks = list(range(FIRST, min(LAST, _first_source_port()), BLOCK))
        random.shuffle(self._blocks)

    def take(self) -> int:
        while not self._free:
            self._hold_a_block()
        return self._free.pop()

    def close(self) -> None:
        for lock in self._held:
            lock.close()
        self._held.clear()

    def _hold_a_block(self) -> None:
        if not self._blocks:
            raise NoPortsLeft(
                f"No free ports are left between {FIRST} and {LAST}; take down a platform that you no longer need."
            )
        first = self._blocks.pop()
        lock = (self._folder / str(first)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return
        self._held.append(lock)
        self._free = [port for port in range(first + BLOCK - 1, first - 1, -1) if _is_free(port)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _first_source_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return LAST
