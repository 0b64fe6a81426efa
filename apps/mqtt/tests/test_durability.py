"""What a PUBACK promises, tried with kills, stops, stalls and full disks on the running application."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import ROOT, Edge, until
from apps.mqtt.wire.packets import Publish, connack, encode, puback


def stored(edge: Edge) -> list[tuple[str, int, int]]:
    return [(row["device"], row["epoch"], row["seq"]) for row in edge.readings()]


def test_kill_9_under_load_loses_nothing_acknowledged(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge()
    acknowledged: set[tuple[str, int, int]] = set()
    for epoch in range(3):
        edge.start()
        crowd = Crowd(edge.mqtt, "BOS", devices=4, epoch=epoch)
        crowd.wait_for(2000)
        edge.kill()
        acknowledged |= crowd.stop()
    edge.start()
    rows = stored(edge)
    assert len(rows) == len(set(rows))
    assert acknowledged <= set(rows)
    assert [row["n"] for row in edge.readings()] == list(range(1, len(rows) + 1))


def test_both_laws_hold_in_every_scrape_under_load(edge: Edge) -> None:
    crowd = Crowd(edge.mqtt, "BOS", devices=4, epoch=1)
    crowd.wait_for(0)
    scrapes = [edge.metrics() for _ in range(60)]  # metrics() asserts both laws
    acknowledged = crowd.stop()
    assert any(scrape["pending"] for scrape in scrapes)
    assert edge.metrics()["committed"] == len(acknowledged) == edge.metrics()["stored"]


def test_a_stop_under_load_acknowledges_all_that_it_took(edge: Edge) -> None:
    crowd = Crowd(edge.mqtt, "BOS", devices=4, epoch=1)
    crowd.wait_for(1000)
    assert edge.stop() == 0
    acknowledged = crowd.stop()
    (line,) = edge.events("stopped")
    assert line["publishes_received"] == line["puback_total"]
    assert not edge.events("stopped_with_pending")
    edge.start()
    assert set(stored(edge)) == acknowledged  # not one stored without its PUBACK arriving, and none the other way


def test_a_stop_answers_what_it_took_and_closes_cleanly_over_what_it_did_not_read(
    new_edge: Callable[..., Edge],
) -> None:
    edge = new_edge(max_in_flight=10).start()
    assert edge.process is not None
    device = Device(edge.mqtt).connected()
    blocker = sqlite3.connect(edge.data / FILE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    device.send(b"".join(encode(Publish(device.topic, numbered(seq), 1, seq)) for seq in range(1, 5001)))
    until(lambda: edge.metrics()["pending"] == 10)
    edge.process.terminate()
    until(lambda: edge.events("stopping"))
    blocker.execute("ROLLBACK")
    assert device.receive(40) == b"".join(puback(seq) for seq in range(1, 11))
    assert device.peer.recv(1) == b""  # an end, not a reset that could destroy a PUBACK on its way
    device.close()
    assert edge.process.wait(10) == 0
    edge.start()
    assert [row["seq"] for row in edge.readings()] == list(range(1, 11))


def test_while_the_store_cannot_commit_nothing_is_acknowledged_and_then_everything(
    new_edge: Callable[..., Edge],
) -> None:
    edge = new_edge(max_in_flight=10).start()
    device = Device(edge.mqtt).connected()
    device.publish(numbered(0), 1)
    assert device.receive(4) == puback(1)
    blocker = sqlite3.connect(edge.data / FILE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # what a hanging disk looks like from inside
    device.send(b"".join(encode(Publish(device.topic, numbered(seq), 1, seq + 1)) for seq in range(1, 501)))
    status, answer = until(lambda: (found := edge.get("/ready"))[0] == 503 and found)
    assert (status, answer["ready"]) == (503, False)
    assert answer["why"]
    counts = edge.metrics()
    assert (counts["committed"], counts["puback_total"]) == (1, 1)
    assert counts["pending"] == 10  # the bound: the other 490 wait in the socket
    assert edge.get("/v1/devices/d1/latest")[1]["seq"] == 0  # reads go on
    assert Device(edge.mqtt, "d2").receive(4) == connack(3)
    blocker.execute("ROLLBACK")
    assert device.receive(4 * 500) == b"".join(puback(seq + 1) for seq in range(1, 501))
    until(edge.is_ready)
    assert edge.metrics()["stored"] == 501


def test_a_full_store_acknowledges_nothing_more_and_keeps_serving(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(max_store_bytes=60 * 4096).start()
    crowd = Crowd(edge.mqtt, "BOS", devices=2, epoch=1)
    until(lambda: edge.get("/ready")[0] == 503)
    assert "full" in edge.get("/ready")[1]["why"]
    counts = edge.metrics()
    time.sleep(0.5)  # long enough for several more tries
    later = edge.metrics()
    assert later["commit_errors"] > counts["commit_errors"]
    assert (later["committed"], later["puback_total"]) == (counts["committed"], counts["puback_total"])
    assert later["pending"] > 0
    assert edge.get("/v1/devices/d0/latest")[0] == 200
    assert edge.stop() == 0  # it does not hang on what it cannot commit
    acknowledged = crowd.stop()
    assert edge.events("stopped_with_pending")
    edge.document["settings"] = {}
    edge.start()
    assert acknowledged <= set(stored(edge))


def test_a_file_size_limit_of_the_system_is_a_full_disk_too(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge()
    edge.process = edge.spawn(sys.executable, "-c", LIMITED)
    until(edge.is_ready)
    crowd = Crowd(edge.mqtt, "BOS", devices=2, epoch=1)
    until(lambda: edge.get("/ready")[0] == 503)
    counts = edge.metrics()
    assert counts["commit_errors"] > 0
    assert edge.get("/v1/devices/d0/latest")[0] == 200
    edge.kill()
    acknowledged = crowd.stop()
    edge.start()
    assert acknowledged <= set(stored(edge))


LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_flush_comes_before_the_puback(new_edge: Callable[..., Edge], tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here: install it to see the order of fdatasync and PUBACK.")
    trace = tmp_path / "trace"
    edge = new_edge()
    edge.process = edge.spawn(
        "strace", "-f", "-xx", "-s", "8", "-e", "trace=fdatasync,fsync,write,writev,sendto,sendmsg", "-o", str(trace)
    )
    until(edge.is_ready)
    device = Device(edge.mqtt).connected()
    for packet_id in range(1, 21):
        device.publish(numbered(packet_id), packet_id)
        assert device.receive(4) == puback(packet_id)
    (tracer_child,) = Path(f"/proc/{edge.process.pid}/task/{edge.process.pid}/children").read_text().split()
    os.kill(int(tracer_child), signal.SIGTERM)
    assert edge.process.wait(20) == 0
    flush, answer = r"f(?:data)?sync(?:\(\d+\)| resumed>\)) += 0", r"\\x40\\x02\\x00\\x[0-9a-f]{2}"
    flushed, pubacks = False, 0
    for step in re.findall(f"{flush}|{answer}", trace.read_text()):
        if step.startswith("f"):
            flushed = True
        else:
            assert flushed, f"PUBACK {pubacks + 1} left before a flush"
            flushed, pubacks = False, pubacks + 1
    assert pubacks == 20


def test_a_second_process_on_the_same_directory_is_refused(edge: Edge) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "apps.mqtt", "--config", str(edge.config)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"Another process uses {edge.data}; stop it before this one is started." in second.stderr
    assert edge.is_ready()


def test_a_file_beside_the_store_that_is_no_database_stops_the_start_with_a_sentence(edge: Edge) -> None:
    assert edge.stop() == 0
    (edge.data / "sessions.db").write_bytes(b"no database" * 500)
    assert edge.spawn().wait(20) == 1
    said = edge.log.read_text()
    assert f"What is kept beside the store in {edge.data} cannot be opened: file is not a database. Make" in said
    assert "Traceback" not in said


def test_kill_9_takes_the_forwarder_along_even_a_stopped_one(edge: Edge) -> None:
    child = edge.forwarder()
    until((edge.data / "forward.db").exists)  # it is at work
    os.kill(child, signal.SIGSTOP)
    edge.kill()
    until(lambda: not Path(f"/proc/{child}").exists())


def test_the_forwarder_ends_when_its_pipe_does(edge: Edge) -> None:
    assert edge.stop() == 0
    argv = [sys.executable, "-m", "apps.mqtt.syncing.sync", "--config", str(edge.config), "--parent", str(os.getpid())]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE) as forwarder:
        assert forwarder.stdin is not None
        forwarder.stdin.write(b".")
        forwarder.stdin.close()
        assert forwarder.wait(20) == 0


def test_the_forwarder_ends_when_its_parent_is_gone_before_it_looks(edge: Edge) -> None:
    argv = [sys.executable, "-m", "apps.mqtt.syncing.sync", "--config", str(edge.config), "--parent", "1"]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("address", "why"), [("mongodb://", "InvalidURI"), ("mongodb://127.0.0.1:99999", "ValueError")]
)
def test_an_address_that_is_none_is_counted_and_stops_nothing(
    new_edge: Callable[..., Edge], address: str, why: str
) -> None:
    edge = new_edge(mongo_uri=address).start()
    device = Device(edge.mqtt).connected()
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    counts = until(lambda: (now := edge.metrics())["far_errors"] >= 2 and now)
    assert (counts["backlog"], counts["forwarder_restarts"]) == (1, 0)
    assert edge.is_ready()
    (line,) = [line for line in edge.events("far_unreachable") if line["direction"] == "up"]
    assert line["why"].startswith(why)


def test_the_death_of_the_forwarder_does_not_reach_the_ingest(edge: Edge) -> None:
    device = Device(edge.mqtt).connected()
    first = edge.forwarder()
    os.kill(first, signal.SIGKILL)
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    until(lambda: (now := edge.metrics())["forwarder_restarts"] == 1 and now["forwarder_running"] == 1)
    assert edge.forwarder() != first
    assert edge.is_ready()
    last = edge.forwarder()
    assert edge.stop() == 0
    assert not Path(f"/proc/{last}").exists()
