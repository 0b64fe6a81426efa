"""The lines of ``docs/devices.md``, run as a reader would: openssl, mosquitto and its clients, paho, TLS at HAProxy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.config import Settings
from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import ROOT, Edge, Mongod, free_port, replica_set, until
from apps.mqtt.wire.packets import Publish, encode, puback
from infra.local.servers import ServerMissing, find_haproxy

PAGE = (ROOT / "docs" / "devices.md").read_text()
CLOUD = (ROOT / "docs" / "cloud.md").read_text()
BEFORE = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen mqtt
    bind 127.0.0.1:{port} ssl crt {made}/server.pem ca-file {made}/ca.pem verify required
    server edge 127.0.0.1:{mqtt}
"""


def block(word: str, language: str = "bash") -> str:
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in text]
    return str(found)


def bash(lines: str, folder: Path, **told: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in told.items()}}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", lines], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def latest(edge: Edge) -> float:
    return float(edge.get("/v1/devices/press-0001/latest")[1]["reading"])


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    edge = Edge(tmp_path_factory.mktemp("edge")).start()
    yield edge
    edge.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority and a zone's certificate as the cloud's page makes them, and the device's as this page does."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    folder = tmp_path_factory.mktemp("certificates")
    (authority,) = [text for text in re.findall(r"```bash\n(.*?)```", CLOUD, re.DOTALL) if "ca.pem" in text]
    bash(authority.replace("bos.prod.example.com", "localhost"), folder)
    for left in folder.glob("press-0001.*"):
        left.unlink()
    assert "press-0001.crt: OK" in bash(block("openssl req"), folder)
    return folder


@pytest.fixture(scope="module")
def front(edge: Edge, made: Path) -> Iterator[int]:
    """The port of a HAProxy that asks for certificates."""
    try:
        haproxy = find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    port = free_port()
    (made / "haproxy.cfg").write_text(BEFORE.format(port=port, made=made, mqtt=edge.mqtt))
    balancer = subprocess.Popen([haproxy, "-db", "-f", str(made / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        balancer.kill()
        balancer.wait()


def _listens(port: int) -> bool:
    try:
        Device(port, connect=False).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto's clients are not here.")
def test_mosquitto_pub_publishes_and_curl_reads(edge: Edge, tmp_path: Path) -> None:
    bash(block("61.5"), tmp_path, EDGE="127.0.0.1", PORT=edge.mqtt)
    assert latest(edge) == 61.5
    if shutil.which("curl"):
        told = json.loads(bash(block("curl"), tmp_path, EDGE="127.0.0.1", HTTP=edge.http))
        assert (told["device"], told["reading"]) == ("press-0001", 61.5)


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto's clients are not here.")
def test_mosquitto_pub_publishes_with_its_certificate(edge: Edge, made: Path, front: int) -> None:
    bash(block("62.5", "bash tls"), made, EDGE="localhost", PORT=front)
    assert latest(edge) == 62.5


@pytest.mark.parametrize("tls", ["", "1"], ids=["plain", "tls"])
def test_paho_s_example_publishes(edge: Edge, request: pytest.FixtureRequest, tmp_path: Path, tls: str) -> None:
    folder: Path = request.getfixturevalue("made") if tls else tmp_path
    port: int = request.getfixturevalue("front") if tls else edge.mqtt
    before = edge.metrics()["committed"]
    told = os.environ | {"EDGE": "localhost" if tls else "127.0.0.1", "PORT": str(port), "TLS": tls}
    code = block("paho.mqtt", "python")
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=told, timeout=60, check=True)
    assert edge.metrics()["committed"] == before + 10
    assert latest(edge) == 61.0


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[tuple[Edge, Mongod, Callable[[], int]]]:
    """An edge with its far store, and what starts the page's mosquitto before it, each time anew: a machine's port."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")  # Debian puts it there
    if mosquitto is None:
        pytest.skip("mosquitto is not here: install Debian's package of that name to see it bridge.")
    (tmp_path / "edge").mkdir()
    port, running = free_port(), list[subprocess.Popen[bytes]]()
    with replica_set(tmp_path / "mongod") as far:
        edge = Edge(tmp_path / "edge", mongo_uri=far.uri)
        ours = [f"listener {port} 127.0.0.1", "allow_anonymous true", f"persistence_location {tmp_path}/"]
        ours += ["user root"] if os.getuid() == 0 else []
        page = block("connection press-0001", "conf").replace("192.0.2.10:1883", f"127.0.0.1:{edge.mqtt}")
        config = tmp_path / "mosquitto.conf"
        config.write_text("\n".join([*ours, page, "restart_timeout 1", ""]))

        def start() -> int:
            for former in running:
                former.terminate()
                assert former.wait(20) == 0
            running[:] = [subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL)]
            until(lambda: _listens(port))
            return port

        try:
            yield edge.start(), far, start
        finally:
            for process in running:
                process.kill()
                process.wait()
            edge.kill()


def machine(port: int) -> Device:
    made = Device(port, "machine", clean=False)
    made.opened()
    return made


def test_the_bridge_of_the_page_brings_readings_out_over_its_own_stop_and_commands_in(
    bridge: tuple[Edge, Mongod, Callable[[], int]],
) -> None:
    edge, far, start = bridge
    press = machine(start())
    assert press.subscribe(("plant/press-0001/cmd", 1)) == b"\1"
    until(lambda: edge.metrics()["subscriptions"] == 1)
    with MongoClient[dict[str, Any]](far.uri) as client:
        told = {"_id": "c1", "_pk": "BOS", "device": "press-0001", "cmd": "slow down", "args": None, "rev": 1}
        client["zone_bos"]["commands"].insert_one(told)
    message = press.delivered()
    assert (message.topic, json.loads(message.payload)["cmd"]) == ("plant/press-0001/cmd", "slow down")
    edge.kill()
    for seq in range(1, 51):
        press.send(encode(Publish("plant/press-0001/t", numbered(seq), 1, seq)))
        assert press.receive(4) == puback(seq)  # of mosquitto, which alone has it
    start()
    edge.start()
    until(lambda: len(edge.readings()) == 50)
    assert [(row["device"], row["seq"]) for row in edge.readings()] == [("press-0001", seq) for seq in range(1, 51)]


def test_the_factory_of_the_page_runs(edge: Edge, tmp_path: Path) -> None:
    told = bash(block("infra.local.factory"), tmp_path, EDGE="127.0.0.1", PORT=edge.mqtt)
    assert re.search(r"waiting +0 ", told)


def test_the_limits_are_those_of_the_application() -> None:
    page = PAGE.split("## Limits")[1].split("\n## ")[0]
    named = dict(re.findall(r"\(`(\w+)`\) \| (\d+)", page))
    assert len(named) >= 5
    assert {name: str(getattr(Settings(), name)) for name in named} == named
