"""A flush that fails: nothing is acknowledged by it, and what was written before it is not taken for safe afterwards.

Linux calls pages clean once their flush has failed, so that a later flush succeeds without them. The disk of these
tests does the same, and keeps what really reached it beside each file: a power cut leaves that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.preloaded import FailingDisk, built
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.wire.packets import puback


@pytest.fixture
def edge(new_edge: Callable[..., Edge]) -> Edge:
    return new_edge()


@pytest.fixture
def disk(edge: Edge, tmp_path: Path) -> FailingDisk:
    library = built("failing_disk", tmp_path)
    if library is None:
        pytest.skip("There is no C compiler here (cc), so no disk can be made to fail.")
    disk = FailingDisk(library, tmp_path, edge)
    edge.start()
    return disk


def sent(edge: Edge, *seqs: int) -> Device:
    device = Device(edge.mqtt).connected()
    for seq in seqs:
        device.publish(numbered(seq), seq)
    return device


def one_more_commit_fails(edge: Edge) -> None:
    before = edge.metrics()["commit_errors"]
    until(lambda: edge.metrics()["commit_errors"] > before)


def stored(edge: Edge) -> list[int]:
    return [row["seq"] for row in edge.readings()]


def test_what_was_acknowledged_is_on_the_disk(edge: Edge, disk: FailingDisk) -> None:
    assert sent(edge, 1, 2, 3).receive(12) == puback(1) + puback(2) + puback(3)
    disk.power_cut(edge)
    assert stored(edge.start()) == [1, 2, 3]


def test_a_failed_flush_acknowledges_nothing_and_the_next_try_writes_all_of_it_again(
    edge: Edge, disk: FailingDisk
) -> None:
    assert sent(edge, 1).receive(4) == puback(1)
    disk.fails()
    device = sent(edge, 2, 3)
    status, answer = until(lambda: (found := edge.get("/ready"))[0] == 503 and found)
    assert (status, answer["why"]) == (503, "The store cannot commit: disk I/O error.")
    assert (edge.metrics()["puback_total"], stored(edge)) == (1, [1])
    disk.works()
    assert device.receive(8) == puback(2) + puback(3)
    disk.power_cut(edge)
    assert stored(edge.start()) == [1, 2, 3]


def test_what_came_while_flushes_failed_is_stored_in_its_order(edge: Edge, disk: FailingDisk) -> None:
    device = sent(edge, 1)
    assert device.receive(4) == puback(1)
    disk.fails()
    for first in range(2, 42, 10):
        for seq in range(first, first + 10):
            device.publish(numbered(seq), seq)
        one_more_commit_fails(edge)
    disk.works()
    assert device.receive(160) == b"".join(map(puback, range(2, 42)))
    assert stored(edge) == list(range(1, 42))


def test_what_a_failed_flush_left_behind_is_not_taken_for_safe_by_the_next_process(
    edge: Edge, disk: FailingDisk
) -> None:
    assert sent(edge, 1).receive(4) == puback(1)
    disk.fails()
    sent(edge, 2)
    until(lambda: edge.metrics()["commit_errors"])
    edge.kill()
    disk.works()
    edge.start()  # the message is in its file, and not on the disk
    device = sent(edge)
    device.publish(numbered(2), 2, dup=True)
    assert device.receive(4) == puback(2)
    disk.power_cut(edge)
    assert stored(edge.start()) == [1, 2]


def test_a_disk_that_still_fails_lets_no_process_start(edge: Edge, disk: FailingDisk) -> None:
    assert sent(edge, 1).receive(4) == puback(1)
    edge.kill()
    disk.fails()
    process = edge.spawn()
    assert process.wait(20) == 1
    assert "The store cannot be opened. [Errno 5] Input/output error" in edge.log.read_text()
    disk.works()
    assert stored(edge.start()) == [1]
