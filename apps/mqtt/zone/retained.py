"""What is retained in the zone: the newest of each topic, on whichever node it was published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence

from apps.mqtt.broker.interest import FROM_FAR
from apps.mqtt.peers import Peer, PeerAway
from apps.mqtt.wire.message import Message, from_json


class Retained:
    def __init__(self, own: Callable[[Sequence[str]], list[Message]], peers: Mapping[str, Peer]) -> None:
        self._own = own
        self._peers = peers

    async def matching(self, filters: Sequence[str]) -> list[Message]:
        """One for each topic that a filter matches. A node that is away has no say."""
        found = self._own(filters)
        abroad = [pattern for pattern in filters if not pattern.endswith(FROM_FAR)]
        if abroad:
            for more in await asyncio.gather(*(self._of(peer, abroad) for peer in self._peers.values())):
                found += more
        newest: dict[str, Message] = {}
        for message in found:
            if message.topic not in newest or message.rts > newest[message.topic].rts:
                newest[message.topic] = message
        return [message for message in newest.values() if message.payload]

    async def _of(self, peer: Peer, filters: list[str]) -> list[Message]:
        try:
            answer = await peer.ask("/peer/retained", {"filters": json.dumps(filters)})
            return [from_json(row) for row in answer["retained"]]
        except (PeerAway, KeyError, TypeError, ValueError):
            return []
