"""A mosquitto that stands beside a machine and bridges to the edge: what a plant has already need not change.

A bridge is a device, by the id that it connects with, or a watcher. Its own notices are not of this zone, so it is told
to keep them to itself, as docs/devices.md says.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, free_port, until
from apps.mqtt.wire.packets import Publish, encode, puback

CONFIG = """
listener {local} 127.0.0.1
allow_anonymous true
connection edge
address 127.0.0.1:{edge}
remote_clientid {client}
{spoken}
notifications false
cleansession false
restart_timeout 1
{topic}
"""
V311 = "bridge_protocol_version mqttv311"  # it first says in its version that it is a bridge, and is refused once
PLAIN = f"{V311}\ntry_private false"
V5 = "bridge_protocol_version mqttv50"
Bridge = Callable[[Edge, str, str], int]


@pytest.fixture(params=[PLAIN, V5], ids=["3.1.1", "5"])
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bridge]:
    """Starts a mosquitto that bridges as this client, these topics; the port for those behind it."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # Debian puts it there
    mosquitto = shutil.which("mosquitto", path=path)
    if mosquitto is None:
        pytest.skip("mosquitto is not here: install Debian's package of that name to see it bridge.")
    running: list[subprocess.Popen[bytes]] = []

    def start(edge: Edge, client: str, topic: str) -> int:
        port, config = free_port(), tmp_path / "mosquitto.conf"
        config.write_text(CONFIG.format(local=port, edge=edge.mqtt, client=client, spoken=request.param, topic=topic))
        running.append(subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL))
        until(lambda: answers(port))
        return port

    yield start
    for process in running:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_bridge_carries_a_machine_s_readings_over_a_crash_of_the_edge(edge: Edge, bridge: Bridge) -> None:
    port = bridge(edge, "d1", "topic t out 1 plant/ f/BOS/d1/")
    machine = Device(port, "machine").connected()
    for seq in range(1, 201):
        if seq == 101:
            until(lambda: edge.metrics()["committed"] >= 20)
            edge.kill()
        machine.send(encode(Publish("plant/t", numbered(seq), 1, seq)))
        assert machine.receive(4) == puback(seq)  # of mosquitto, which keeps it for the bridge
    edge.start()
    until(lambda: len(edge.readings()) == 200)
    assert [row["seq"] for row in edge.readings()] == list(range(1, 201))


@pytest.mark.parametrize("bridge", [V311, PLAIN, V5], ids=["3.1.1 that says it is one", "3.1.1", "5"], indirect=True)
def test_a_bridge_that_watches_brings_the_zone_to_those_behind_it(edge: Edge, bridge: Bridge) -> None:
    port = bridge(edge, "watch-bridge", "topic # in 1 plant/ f/BOS/")
    eye = Device(port, "eye")
    eye.opened()
    assert eye.subscribe(("plant/#", 1)) == b"\1"
    until(lambda: edge.metrics()["subscriptions"] == 1)
    device = Device(edge.mqtt).connected()
    for seq in range(1, 51):
        device.publish(numbered(seq), seq)
    heard = [eye.delivered() for _ in range(50)]
    assert [(message.topic, message.payload) for message in heard] == [
        ("plant/d1/t", numbered(seq)) for seq in range(1, 51)
    ]


def test_a_bridge_speaks_for_no_other_device(edge: Edge, bridge: Bridge) -> None:
    port = bridge(edge, "d1", "topic t out 1 plant/ f/BOS/d2/")
    machine = Device(port, "machine").connected()
    machine.send(encode(Publish("plant/t", numbered(1), 1, 1)))
    assert machine.receive(4) == puback(1)
    until(lambda: edge.metrics()["refused"] >= 1)
    assert edge.readings() == []
