"""Devices with certificates, through the platform's balancer into the edge application."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from apps.mqtt.tests.device import numbered
from apps.mqtt.tests.running import Edge, free_port, until
from infra.local.servers import ServerMissing, find_haproxy
from tests.integration.authority import Authority
from tests.integration.secured import balancer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    edge = Edge(tmp_path_factory.mktemp("edge"), certificates="required").start()
    yield edge
    edge.kill()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, authority: Authority, edge: Edge) -> Iterator[int]:
    try:
        find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    fronts = {"mqtt": free_port(), "http": free_port()}
    with balancer(tmp_path_factory.mktemp("balancer"), authority.folder, edge.mqtt, edge.http, fronts):
        yield fronts["mqtt"]


class Sending:
    """A paho client that publishes without end, and counts what was acknowledged."""

    def __init__(self, authority: Authority, port: int, name: str, certificate: str = "") -> None:
        self.name, self.acknowledged, self.losses = name, 0, 0
        self._client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        mine = authority.device(certificate or name)
        self._client.tls_set(
            str(authority.folder / "ca.pem"), str(mine), str(mine), tls_version=ssl.PROTOCOL_TLS_CLIENT
        )
        self._client.on_publish = self._published
        self._client.on_disconnect = self._lost
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _published(self, *_: object) -> None:
        self.acknowledged += 1

    def _lost(self, *_: object) -> None:
        self.losses += 1

    def _send(self) -> None:
        seq = 0
        while not self._done.wait(0.01):
            if self._client.is_connected():
                self._client.publish(f"f/BOS/{self.name}/t", numbered(seq := seq + 1), 1)

    def stop(self) -> None:
        self._done.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


def test_a_device_whose_certificate_is_revoked_in_flight_goes_and_no_other_notices(
    authority: Authority, edge: Edge, front: int
) -> None:
    senders = [Sending(authority, front, f"press-{number}") for number in range(3)]
    try:
        until(lambda: all(sender.acknowledged > 20 for sender in senders))
        (edge.data / "denied").write_text("press-1  # its key was copied\n")
        until(lambda: senders[1].losses)
        until(lambda: edge.metrics()["connected"] == 2)
        lost, others = senders[1].acknowledged, [senders[0].acknowledged, senders[2].acknowledged]
        until(lambda: all(now.acknowledged > then + 50 for now, then in zip(senders[::2], others, strict=True)))
        until(lambda: any("press-1 is on the list" in line["why"] for line in edge.events("connect_refused")))
        assert senders[1].acknowledged == lost
        assert [sender.losses for sender in senders[::2]] == [0, 0]
        stored = [row["device"] for row in edge.readings()]
        assert {sender.name: stored.count(sender.name) >= sender.acknowledged for sender in senders} == {
            "press-0": True, "press-1": True, "press-2": True,
        }  # fmt: skip
    finally:
        for sender in senders:
            sender.stop()
        (edge.data / "denied").unlink(missing_ok=True)


def test_mosquitto_s_client_comes_with_its_certificate_and_only_as_itself(
    authority: Authority, edge: Edge, front: int
) -> None:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not here: install Debian's mosquitto-clients.")
    mine = str(authority.device("lathe-1"))

    def publish(client: str) -> int:
        argv = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(front), "-i", client, "-q", "1", "-m", "42"]
        argv += ["-t", f"f/BOS/{client}/t", "--cafile", str(authority.folder / "ca.pem"), "--cert", mine, "--key", mine]
        return subprocess.run(argv, capture_output=True, timeout=20, check=False).returncode

    assert publish("lathe-1") == 0
    assert publish("lathe-2") != 0
    assert [row["reading"] for row in edge.readings() if row["device"].startswith("lathe")] == [42]


def test_past_the_balancer_nobody_comes_in(edge: Edge, tmp_path: Path) -> None:
    client = Client(CallbackAPIVersion.VERSION2, "press-9")
    codes: list[str] = []
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: codes.append(str(reason))
    client.connect("127.0.0.1", edge.mqtt)
    deadline = time.monotonic() + 10
    while not codes and time.monotonic() < deadline:
        client.loop(0.1)
    assert codes == ["Not authorized"]
