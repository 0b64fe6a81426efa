"""Rules applied to what arrives on this node: alerts, published and retained on ``f/{zone}/{device}/alert/{rule}``.

An alert that stands is retained, so a node that starts knows what it had raised. Of a device that went to another node,
that node speaks: silence is raised by the one that heard it last, and none is raised while a peer that might have heard
it has not answered, unless that takes as long again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable

from apps.mqtt.disk.queries import Latest
from apps.mqtt.disk.store import PASSING, Arrival
from apps.mqtt.log import log
from apps.mqtt.readings.reading import Reading
from apps.mqtt.readings.rules import Change, Devices, Rule, of_kind
from apps.mqtt.wire.message import Message

PUBLISHER = "$alerts"  # no client can be called so
TICK_SECONDS = 0.5
LEVEL = "alert"

Elsewhere = Callable[[str], Awaitable[tuple[int | None, bool]]]
"""When another node heard of a device last (milliseconds), and whether all of them answered."""


class Alerts:
    def __init__(
        self, zone: str, rules: tuple[Rule, ...], publish: Callable[[Arrival], None],
        elsewhere: Elsewhere, retained: Iterable[Message], heard: Iterable[Latest],
    ) -> None:  # fmt: skip
        self._zone = zone
        self._publish = publish
        self._elsewhere = elsewhere
        self._devices = Devices(rules)
        self._silence = of_kind(rules, "silence")
        self._heard = {latest.device: latest.rts for latest in heard} if self._silence else {}
        known = {rule.name for rule in rules}
        for message in retained:
            levels = message.topic.split("/")
            if levels[3:4] == [LEVEL] and levels[4] in known and json.loads(message.payload or b"{}").get("raised"):
                self._devices.raised.add((levels[4], levels[2]))

    @property
    def standing(self) -> int:
        return len(self._devices.raised)

    def stands(self, rule: str, device: str) -> bool:
        return (rule, device) in self._devices.raised

    def look(self, kept: Iterable[Arrival]) -> None:
        """These are new, and on disk."""
        if not self._devices.rules:
            return
        for arrival in kept:
            assert isinstance(arrival.content, Reading)
            if self._silence:
                self._heard[arrival.device] = arrival.rts
            for change in self._devices.look(arrival.device, arrival.content.value, arrival.rts):
                self._tell(change, arrival.rts)

    async def listen_for_silence(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = int(time.time() * 1000)
            for rule in self._silence:
                quiet = [d for d, at in self._heard.items() if now - at >= rule.limit * 1000 and rule.concerns(d)]
                for device in quiet:
                    if (rule.name, device) not in self._devices.raised:
                        await self._is_silent(rule, device, now)

    async def _is_silent(self, rule: Rule, device: str, now: int) -> None:
        here = self._heard[device]
        there, all_answered = await self._elsewhere(device)
        if there is not None and there > here:
            if self._heard.get(device) == here:
                del self._heard[device]  # it is the other node's now
            return
        seconds = (now - here) / 1000
        if not all_answered and seconds < 2 * rule.limit:
            return
        if self._heard.get(device) == here:
            for change in self._devices.silent(rule, device, seconds):
                self._tell(change, now)

    def _tell(self, change: Change, at: int) -> None:
        log("alert", rule=change.rule.name, device=change.device, raised=change.is_raised, why=change.why)
        rule = change.rule.name
        said = {"rule": rule, "device": change.device, "raised": change.is_raised, "why": change.why, "at": at}
        topic = f"f/{self._zone}/{change.device}/{LEVEL}/{change.rule.name}"
        self._publish(Arrival(PUBLISHER, topic, json.dumps(said).encode(), PASSING, None, at, retain=True))
