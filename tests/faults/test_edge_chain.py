"""The same fault on what others build and on the edge application: the reader stalls, and who acknowledged dies.

A broker acknowledges what its subscriber has not stored. That it loses messages here shows that such a run can fail;
that the application loses none stands beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import ROOT, Edge, free_port, until
from apps.mqtt.wire.packets import puback
from infra.local.servers import answers

Name = tuple[str, int, int]
ENOUGH = 2_000  # acknowledged while the reader stands still
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 0
"""


@contextmanager
def running(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kept(file: Path) -> set[Name]:
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT topic, payload FROM kept").fetchall()
    said = [(topic.split("/")[2], json.loads(payload)) for topic, payload in rows]
    return {(device, members["epoch"], members["seq"]) for device, members in said}


def test_a_broker_with_a_subscriber_loses_what_it_acknowledged(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    broker = shutil.which("mosquitto")
    if broker is None:
        pytest.skip("mosquitto is not here: install Debian's package of that name to see a broker lose messages.")
    port, config, file = free_port(), tmp_path / "mosquitto.conf", tmp_path / "kept.db"
    said = CONFIG.format(port=port, folder=tmp_path)
    config.write_text(said + "user root\n" if os.getuid() == 0 else said)
    serve, keep = (
        [broker, "-c", str(config)],
        [sys.executable, "-m", "tests.bench.chains", "keep", str(port), str(file)],
    )
    with running(serve, tmp_path / "log") as first:
        until(lambda: answers(port))
        with running(keep, tmp_path / "log") as subscriber:
            until(lambda: is_listening(port, file))
            crowd = Crowd(port, "BOS", devices=4, epoch=1)
            crowd.wait_for(0)
            os.kill(subscriber.pid, signal.SIGSTOP)
            crowd.wait_for(len(crowd.acknowledged) + ENOUGH)
            first.kill()
            acknowledged = crowd.stop()
            with running(serve, tmp_path / "log"):
                os.kill(subscriber.pid, signal.SIGCONT)
                until(lambda: answers(port))
                wait_until_quiet(file)
    lost = acknowledged - kept(file)
    record_property("chain", {"lost": len(lost), "acknowledged": len(acknowledged)})
    assert lost, "a broker that keeps everything would make the comparison worthless"


def wait_until_quiet(file: Path) -> None:
    """Until nothing more has come for a while."""
    count, since = len(kept(file)), time.monotonic()
    while time.monotonic() - since < 3:
        time.sleep(0.1)
        if len(kept(file)) > count:
            count, since = len(kept(file)), time.monotonic()


def is_listening(port: int, file: Path) -> bool:
    """Whether what a device publishes reaches the subscriber's file; what comes before it listens is nobody's loss."""
    device = Device(port, "first").connected()
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    device.close()
    time.sleep(0.05)
    try:
        return file.exists() and bool(kept(file))
    except sqlite3.Error:
        return False  # it is being made


def test_the_application_loses_nothing_by_the_same(tmp_path: Path) -> None:
    edge = Edge(tmp_path).start()
    try:
        crowd = Crowd(edge.mqtt, "BOS", devices=4, epoch=1)
        crowd.wait_for(0)
        stopped = edge.forwarder()
        os.kill(stopped, signal.SIGSTOP)
        crowd.wait_for(len(crowd.acknowledged) + ENOUGH)
        edge.kill()
        os.kill(stopped, signal.SIGKILL)  # stopped, it cannot see that its parent is gone
        acknowledged = crowd.stop()
        edge.start()
        assert acknowledged <= {(row["device"], row["epoch"], row["seq"]) for row in edge.readings()}
    finally:
        edge.kill()
