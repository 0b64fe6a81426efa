"""What processes hold, read of a real tree of processes, and as a controller reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.errors import Unreachable
from controller.fleets.answers import telemetry
from controller.node import resources
from controller.node.resources import Resources, held_by, together, tree

# A parent with a thread and two sockets, and a child of that thread with a file; each says when it holds them.
PARENT = """
import socket, subprocess, sys, threading, time
pair = socket.socketpair()
child = "import sys, time; held = open(sys.executable, 'rb'); print('held', flush=True); time.sleep(600)"
def below():
    subprocess.run([sys.executable, "-I", "-S", "-c", child])
threading.Thread(target=below).start()
time.sleep(600)
"""


@pytest.fixture
def parent() -> Iterator[int]:
    argv = [sys.executable, "-I", "-S", "-c", PARENT]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        below = tree(process.pid)
        try:
            yield process.pid
        finally:
            for pid in below:
                os.kill(pid, 9)


def test_what_a_tree_of_processes_holds_is_added_up(parent: int) -> None:
    own, below = tree(parent)
    held = together([own, below])
    assert (own, held["threads"], held["sockets"]) == (parent, 3, 2)
    assert held_by(below)["open_files"] == 4, "in, out, error and the one it opened"
    assert held["open_files"] == held_by(own)["open_files"] + 4
    assert held["rss_bytes"] > 4 << 20


def test_the_application_is_all_that_is_below_its_keeper(parent: int) -> None:
    below = tree(parent)[1]
    assert Resources(parent).of(below) == held_by(below)


def test_it_is_not_looked_at_twice_in_a_second_nor_for_more_than_a_hundredth_of_the_time(
    parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 100.05, 100.9, 104.9, 105.0, 105.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    looks = iter([1, 2])
    monkeypatch.setattr(resources, "together", lambda pids: {"threads": next(looks)})
    seen = Resources(parent)
    first = seen.of(parent)  # took 0.05 s: not again for 5 s
    assert seen.of(parent) == first
    assert seen.of(parent) == first
    assert seen.of(parent) != first


def test_what_does_not_run_holds_nothing(parent: int) -> None:
    seen = Resources(parent)
    assert seen.of(tree(parent)[1]) != {}
    assert seen.of(None) == {}
    assert held_by(2**22 + 1) == {"rss_bytes": 0, "open_files": 0, "threads": 0, "sockets": 0}


ANSWER: dict[str, Any] = {
    "node": "bos-a", "boot_id": "b", "boottime": 5.0, "since": 1.0, "apps": {},
    "balancer": {"up": False, "weights": {}}, "events": {"edges_ms": [1], "rows": []},
}  # fmt: skip


def test_a_controller_reads_what_its_application_holds() -> None:
    held = {"mqtt": {"rss_bytes": 7, "sockets": 2}, "other": {"rss_bytes": 1}}
    assert telemetry(ANSWER | {"resources": held}, "bos-a", "mqtt", 0.0).resources == {"rss_bytes": 7.0, "sockets": 2.0}
    assert telemetry(ANSWER, "bos-a", "mqtt", 0.0).resources == {}
    with pytest.raises(Unreachable):
        telemetry(ANSWER | {"resources": {"mqtt": 3}}, "bos-a", "mqtt", 0.0)
