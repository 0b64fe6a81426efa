"""A zone's devices after a drain: all that belong to a server go back to it, whichever balancer they came through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

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
                rows = (f"mqtt,{name},{weight},0,{self.state(name)}" for name, weight in self.weights.items())
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
    assert not any(words.startswith("shutdown session 0x") for words in haproxy.said), "it cannot take them yet"
    haproxy.up = True
    balancer.look()
    balancer.look()
    assert [words for words in haproxy.said if words.startswith("shutdown session 0x")] == ["shutdown session 0x2"]
