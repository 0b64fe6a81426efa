"""Devices after a drain or a death: all that belong to a server go back to it, whichever balancer they came through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from controller.node import balancer as balancer_module
from controller.node.balancer import Balancer
from controller.node.counting import Events
from controller.node.journal import boottime
from controller.node.wires import Loop

FACTS = {"socket": "/none", "backends": {"mqtt": {"mode": "tcp"}, "http": {"mode": "http"}}}


class Haproxy:
    """HAProxy's runtime socket by hand: two servers of one backend, their weights, and sessions by source."""

    def __init__(self) -> None:
        self.weights = {"bos-a": 100, "bos-b": 100}
        self.sessions: dict[str, str] = {}
        self.on = {"bos-a": 0, "bos-b": 0}
        self.up = True
        self.said: list[str] = []

    def ask(self, address: Path, words: bytes, seconds: float, done: Callable[[bytes | None], None]) -> None:
        answers = [self.answer(one) for one in words.decode().strip().split(";")]
        done("\n".join(answers).encode())

    def answer(self, words: str) -> str:
        self.said.append(words)
        match words.split():
            case ["show", "info"]:
                return "Pid: 7\nUptime_sec: 1"
            case ["show", "stat", *_]:
                rows = (f"mqtt,{name},{self.weights[name]},{on},{self.state(name)}" for name, on in self.on.items())
                return "# pxname,svname,weight,scur,status\n" + "\n".join(rows)
            case ["set", "weight", server, weight]:
                self.weights[server.partition("/")[2]] = int(weight)
            case ["show", "sess"]:
                return "\n".join(f"{known}: proto=tcpv4 src={source} x" for known, source in self.sessions.items())
        return ""

    def state(self, name: str) -> str:
        return "DOWN" if name == "bos-a" and not self.up else "UP"


def test_whoever_came_during_a_drain_reconnects_after_it_and_nobody_else() -> None:
    haproxy, events = Haproxy(), Events()
    balancer = Balancer(cast("Loop", haproxy), FACTS, events)
    balancer.wanted = {"mqtt/bos-a": 0, "mqtt/bos-b": 100}
    events.note(b"tcp|mqtt|bos-b|10.0.0.1:1|1|--|long there|start|", boottime() - 60)
    balancer.look()
    assert haproxy.weights["bos-a"] == 0
    # Thrown off another balancer of the zone: this one has never seen it before.
    events.note(b"tcp|mqtt|bos-b|10.0.0.2:1|1|--|displaced|start|", boottime())
    haproxy.sessions = {"0x1": "10.0.0.1:1", "0x2": "10.0.0.2:1"}
    balancer.wanted, haproxy.up = {"mqtt/bos-a": 100, "mqtt/bos-b": 100}, False
    balancer.look()
    assert shut(haproxy) == [], "it cannot take them yet"
    haproxy.up = True
    balancer.look()
    balancer.look()
    assert shut(haproxy) == ["shutdown session 0x2"]


def test_devices_of_a_server_that_died_come_back_once_it_is_sure_to_be_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(balancer_module, "boottime", lambda: now)
    haproxy, events = Haproxy(), Events()
    balancer = Balancer(cast("Loop", haproxy), FACTS, events)
    balancer.wanted = {"mqtt/bos-a": 100, "mqtt/bos-b": 100}
    events.note(b"tcp|mqtt|bos-a|10.0.0.1:1|1|--|d1|start|", now)
    events.note(b"tcp|mqtt|bos-b|10.0.0.2:1|1|--|long there|start|", now - 60)
    haproxy.on = {"bos-a": 1, "bos-b": 1}
    balancer.look()
    now += 1  # its process dies; the device is elsewhere before HAProxy's checks have noticed anything
    events.note(b"tcp|mqtt|bos-a|10.0.0.1:1|1|SD|d1|end|", now)
    events.note(b"tcp|mqtt|bos-b|10.0.0.1:2|1|--|d1|start|", now)
    haproxy.on, haproxy.sessions = {"bos-a": 0, "bos-b": 2}, {"0x1": "10.0.0.1:2", "0x2": "10.0.0.2:1"}
    balancer.look()
    assert shut(haproxy) == []
    now += Balancer.SURE
    balancer.look()
    balancer.look()
    assert shut(haproxy) == ["shutdown session 0x1"]


def shut(haproxy: Haproxy) -> list[str]:
    return [words for words in haproxy.said if words.startswith("shutdown session 0x")]
