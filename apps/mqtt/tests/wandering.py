"""Clients that go wherever they find a node of their zone, as they do behind a balancer, and never give up."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any

from apps.mqtt.tests.device import Device
from apps.mqtt.tests.running import Edge
from apps.mqtt.wire.packets import Publish, encode

Name = tuple[str, int, int]  # device, epoch, seq
REFUSED_VALUE = 1e9  # a reading as good as any here, which the far store of a test may refuse


def is_refused_far(name: Name) -> bool:
    return name[2] % 97 == 96


class Wanderer(threading.Thread):
    """Connects, works until something breaks, tries the next door: a node of its zone, unless told of other ports."""

    def __init__(
        self, edges: Sequence[Edge], name: str, *, doors: Sequence[int] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(daemon=True)
        self._zone, self.client, self._tls = edges[0].zone, name, tls
        self._doors = doors or [edge.mqtt for edge in edges]
        self.refusals = 0
        self.done = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self.done.is_set():
            turn += 1
            try:
                door = self._doors[turn % len(self._doors)]
                device = Device(door, self.client, zone=self._zone, clean=False, tls=self._tls)
            except OSError:
                time.sleep(0.02)
                continue
            try:
                device.peer.settimeout(2)
                present, code, _ = device.opened()
                self.refusals += code != 0
                assert code == 0
                self.work(device, present)
            except (OSError, AssertionError, ValueError):
                time.sleep(0.02)
            finally:
                device.close()

    def work(self, device: Device, present: bool) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.done.set()
        self.join(20)
        assert not self.is_alive()


class Listener(Wanderer):
    """A subscriber with a session; ``got`` is what it received, as often as it did."""

    def __init__(self, edges: Sequence[Edge], name: str) -> None:
        super().__init__(edges, name)
        self.got: list[Name] = []
        self.presents: list[bool] = []

    def work(self, device: Device, present: bool) -> None:
        self.presents.append(present)
        if not present:
            device.subscribe((device.topic.split("/" + self.client)[0] + "/+/t", 1))
        while not self.done.is_set():
            message = device.delivered()
            said: dict[str, Any] = json.loads(message.payload)
            self.got.append((message.topic.split("/")[2], said["epoch"], said["seq"]))


class Sender(Wanderer):
    """A device that sends each reading until it is acknowledged; now and then it sends one again, or reboots.

    Its clock may be wrong by a day; some of what it sends is poison, which is acknowledged and not counted, and one
    reading in a hundred is what ``is_refused_far`` says.
    """

    def __init__(
        self, edges: Sequence[Edge], name: str, seed: int, *, doors: Sequence[int] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        super().__init__(edges, name, doors=doors, tls=tls)
        self.acknowledged: set[Name] = set()
        self._chance = random.Random(seed)
        self._epoch, self._seq = 1, 0
        self._open: list[int] = []  # sent, and not acknowledged

    def work(self, device: Device, present: bool) -> None:
        while not self.done.is_set():
            if self._chance.random() < 0.02:
                self._epoch, self._seq, self._open = self._epoch + 1, 0, []  # a reboot: what was open is forgotten
            self._open += range(self._seq + 1, self._seq + 1 + (10 - len(self._open)))
            self._seq = max(self._open)
            again = [self._chance.choice(self._open)] if self._chance.random() < 0.2 else []
            for seq in (*self._open, *again):
                device.send(encode(Publish(device.topic, self._reading(seq), 1, seq % 60_000 + 1, dup=seq in again)))
            if self._chance.random() < 0.1:
                device.send(encode(Publish(device.topic, b"poison", 1, 65_000)))
                self._answer(device)
            for _ in (*self._open, *again):
                self._answer(device)
            time.sleep(0.005)

    def _answer(self, device: Device) -> None:
        first, body = device.packet()
        assert first == 0x40
        number = int.from_bytes(body, "big")
        for seq in [seq for seq in self._open if seq % 60_000 + 1 == number]:
            self.acknowledged.add((self.client, self._epoch, seq))
            self._open.remove(seq)

    def _reading(self, seq: int) -> bytes:
        ts = 1_795_500_000_000 + (seq % 3 - 1) * 86_400_000
        value = REFUSED_VALUE if is_refused_far((self.client, self._epoch, seq)) else seq / 2
        return json.dumps({"reading": value, "seq": seq, "epoch": self._epoch, "ts": ts}).encode()
