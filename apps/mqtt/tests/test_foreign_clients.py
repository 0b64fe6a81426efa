"""Clients that others wrote: paho in both versions, mosquitto's command line tools."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until

V311, V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5


@pytest.fixture(params=[V311, V5], ids=["3.1.1", "5"])
def version(request: pytest.FixtureRequest) -> Iterator[MQTTProtocolVersion]:
    yield request.param


def client(edge: Edge, name: str, version: MQTTProtocolVersion, *, keep: bool = False) -> paho.Client:
    if version == V311:
        made = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=not keep, protocol=version)
        made.connect("127.0.0.1", edge.mqtt)
    else:
        made = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=version)
        told = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        told.SessionExpiryInterval = 300 if keep else 0
        made.connect("127.0.0.1", edge.mqtt, clean_start=not keep, properties=told)
    made.loop_start()
    until(made.is_connected)
    return made


def test_paho_publishes_and_subscribes(edge: Edge, version: MQTTProtocolVersion) -> None:
    heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
    ready: queue.Queue[bool] = queue.Queue()
    eye = client(edge, "watch-paho", version)
    eye.on_message = lambda _c, _u, message: heard.put(message)
    eye.on_subscribe = lambda *_: ready.put(True)
    eye.subscribe("f/BOS/+/t", options=SubscribeOptions(qos=1)) if version == V5 else eye.subscribe("f/BOS/+/t", 1)
    assert ready.get(timeout=20)
    device = client(edge, "press-7", version)
    for seq in range(200):
        device.publish("f/BOS/press-7/t", numbered(seq), qos=1)
    got = [heard.get(timeout=20) for _ in range(200)]
    assert [json.loads(message.payload)["seq"] for message in got] == list(range(200))
    assert {(message.topic, message.qos, message.retain) for message in got} == {("f/BOS/press-7/t", 1, False)}
    for each in (eye, device):
        each.disconnect()
        each.loop_stop()


def test_paho_s_session_brings_what_it_missed(edge: Edge, version: MQTTProtocolVersion) -> None:
    ready: queue.Queue[bool] = queue.Queue()
    eye = client(edge, "watch-paho", version, keep=True)
    eye.on_subscribe = lambda *_: ready.put(True)
    eye.subscribe("f/BOS/#", 1)
    assert ready.get(timeout=20)
    eye.disconnect()
    eye.loop_stop()
    device = Device(edge.mqtt).connected()
    for seq in range(1, 51):
        device.publish(numbered(seq), seq)
    assert len(device.receive(200)) == 200
    heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
    again = paho.Client(
        CallbackAPIVersion.VERSION2, "watch-paho", protocol=version, clean_session=None if version == V5 else False
    )
    again.on_message = lambda _c, _u, message: heard.put(message)
    if version == V5:
        again.connect("127.0.0.1", edge.mqtt, clean_start=False)
    else:
        again.connect("127.0.0.1", edge.mqtt)
    again.loop_start()
    assert [json.loads(heard.get(timeout=20).payload)["seq"] for _ in range(50)] == list(range(1, 51))
    again.disconnect()
    again.loop_stop()


@pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="mosquitto's clients are not here.")
@pytest.mark.parametrize("spoken", ["311", "5"])
def test_mosquitto_s_clients_publish_and_subscribe(edge: Edge, spoken: str) -> None:
    where = ["-h", "127.0.0.1", "-p", str(edge.mqtt), "-V", spoken]
    argv = ["mosquitto_sub", *where, "-i", "watch-m", "-t", "f/BOS/#", "-q", "1", "-C", "5", "-F", "%t %q %p"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as eye:
        until(lambda: edge.metrics()["subscriptions"] == 1)
        lines = "".join(numbered(seq).decode() + "\n" for seq in range(5))
        done = subprocess.run(
            ["mosquitto_pub", *where, "-i", "d1", "-t", "f/BOS/d1/t", "-q", "1", "-l"],
            input=lines, text=True, timeout=20, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        heard, _ = eye.communicate(timeout=20)
    assert heard.splitlines() == [f"f/BOS/d1/t 1 {numbered(seq).decode()}" for seq in range(5)]


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto's clients are not here.")
def test_mosquitto_pub_reads_why_it_is_refused(shared: Edge) -> None:
    done = subprocess.run(
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(shared.mqtt), "-V", "5", "-i", "d1", "-t", "f/BOS/d2/t",
         "-q", "1", "-m", "1"], text=True, timeout=20, capture_output=True, check=False,
    )  # fmt: skip
    assert "Not authorized" in done.stdout + done.stderr
