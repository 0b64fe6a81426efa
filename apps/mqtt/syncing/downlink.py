"""From what came down to what devices hear: commands on ``…/cmd``, configuration, retained, on ``…/cfg``."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2b

from apps.mqtt.bell import Bell
from apps.mqtt.disk.down_store import DownReader, Taken
from apps.mqtt.disk.store import PASSING, Arrival

PAGE = 200
LOOK_SECONDS = 1.0  # when nobody rings
NEXT_PAGE_SECONDS = 0.01  # devices' messages have their turn between two pages
TOPICS = {"commands": "cmd", "config": "cfg"}


class Downlink:
    def __init__(self, zone: str, reader: DownReader, begin: int, publish: Callable[[Arrival], None]) -> None:
        """``begin`` is the last number that was published, as the store remembers it."""
        self.news = Bell()
        self._zone = zone
        self._reader = reader
        self._last = begin
        self._publish = publish

    async def publish_for_ever(self) -> None:
        while True:
            page = self._reader.after(self._last, PAGE)
            for taken in page:
                self._publish(self._arrival(taken))
                self._last = taken.n
            await self.news.wait(LOOK_SECONDS if len(page) < PAGE else NEXT_PAGE_SECONDS)

    def _arrival(self, taken: Taken) -> Arrival:
        name = blake2b(f"{taken.kind}|{taken.name}|{taken.rev}".encode(), digest_size=12).digest()
        topic = f"f/{self._zone}/{taken.device}/{TOPICS[taken.kind]}"
        return Arrival(
            "", topic, taken.payload.encode(), PASSING, name, int(time.time() * 1000),
            retain=taken.kind == "config", expires=taken.expires, far=taken.n,
        )  # fmt: skip
