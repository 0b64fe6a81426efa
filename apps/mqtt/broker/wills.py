"""Last wills: published when a connection ended without a goodbye, or a while later unless its client is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from apps.mqtt.disk.store import PASSING, Arrival
from apps.mqtt.wire.message import expiry, kept_properties
from apps.mqtt.wire.packets import Will


class Wills:
    def __init__(self, publish: Callable[[Arrival], None]) -> None:
        self._publish = publish
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def promise(self, client: str, will: Will, delay: float) -> None:
        if delay <= 0:
            self._execute(client, will)
            return
        self.revoke(client)
        self._waiting[client] = asyncio.get_running_loop().call_later(delay, self._execute, client, will)

    def revoke(self, client: str) -> None:
        """The client is back in time."""
        timer = self._waiting.pop(client, None)
        if timer is not None:
            timer.cancel()

    def _execute(self, client: str, will: Will) -> None:
        self._waiting.pop(client, None)
        now = int(time.time() * 1000)
        self._publish(
            Arrival(client, will.topic, will.payload, PASSING, None, now, min(will.qos, 1), will.retain,
                    kept_properties(will.properties), expiry(will.properties, now))
        )  # fmt: skip
