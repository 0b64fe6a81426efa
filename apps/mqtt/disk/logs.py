"""A log of messages as sessions read it: where it ends now, and pages of it. Here, the logs of this node."""

from __future__ import annotations

from typing import Protocol

from apps.mqtt.disk.queries import LOGS, Reader
from apps.mqtt.wire.message import Message


class Log(Protocol):
    """``head`` is the last place whose message has been offered to every session that is not behind."""

    name: str
    head: int

    async def page(self, after: int, limit: int) -> tuple[list[Message], int]:
        """Messages after a place, and the place up to which these are all; that is ``after`` when nobody can tell."""


class OwnLog:
    def __init__(self, node: str, log: str, reader: Reader) -> None:
        self.name = f"{node}/{log}"
        self._log = log
        self._reader = reader
        self.head = reader.head(log)

    async def page(self, after: int, limit: int) -> tuple[list[Message], int]:
        messages = [m for m in self._reader.published(self._log, after, limit) if m.n <= self.head]
        return messages, messages[-1].n if messages else max(after, self.head)


def own_logs(node: str, reader: Reader) -> list[OwnLog]:
    return [OwnLog(node, log, reader) for log in LOGS]
