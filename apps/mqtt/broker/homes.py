"""Where a client's session is at home in the zone, and how it moves when its client comes to another node.

Each move counts up ``moves``, so that of two copies the later one is known, whatever clocks say. A node that gave a
session up keeps what it gave, marked as moved, in case the answer was lost: until it hears that the session arrived.
Of a node that is away we have copies: it waited with its SUBACK until we had them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from apps.mqtt.broker.session import from_document
from apps.mqtt.disk.session_store import Document, SessionStore
from apps.mqtt.peers import Peer, PeerAway

CLAIM_SECONDS = 2.0  # a copy is older than what the peer itself has, so it is given some time


class Homes:
    def __init__(self, node: str, peers: Mapping[str, Peer], store: SessionStore) -> None:
        self._node = node
        self._peers = peers
        self._store = store
        self._gone: dict[str, Document] = {}  # what this node gave up, as it was
        self._copies: dict[str, dict[str, Document]] = {}  # client: node: document
        for holder, document in store.load_copies():
            self._copies.setdefault(document["client"], {})[holder] = document

    def copied(self, node: str, changes: Sequence[tuple[str, Document | None]]) -> None:
        for client, document in changes:
            if document is not None:
                self._copies.setdefault(client, {})[node] = document
            elif client in self._copies:
                self._copies[client].pop(node, None)

    async def claim(self, client: str, *, clean: bool) -> list[Document]:
        """What the other nodes have of this client's session; they have ended it. Copies stand in for who is away.

        With ``clean`` nobody is to keep anything of it.
        """
        answers = await asyncio.gather(*(self._claim(peer, client, clean) for peer in self._peers.values()))
        return [document for document in answers if document is not None]

    def remember(self, document: Document) -> None:
        """This node gave it up, at some time before it started."""
        self._gone[document["client"]] = document

    def given_up(self, client: str) -> Document | None:
        return self._gone.get(client)

    async def give_up(self, document: Document) -> Document:
        """Another node has the client now: what it is given, once that is on disk here."""
        moved = self._gone[document["client"]] = document | {"moved": True}
        await self._store.keep([(document["client"], moved)])
        return moved

    def forget(self, client: str) -> bool:
        """Whether there was anything to forget."""
        return self._gone.pop(client, None) is not None

    async def arrived(self, changes: Sequence[tuple[str, Document | None]]) -> None:
        """Another node has these on its disk: what we gave up need not be kept any longer."""
        done = [
            client
            for client, document in changes
            if document and client in self._gone and int(document["moves"]) > int(self._gone[client]["moves"])
        ]
        for client in done:
            del self._gone[client]
        await self._store.keep([(client, None) for client in done])

    def over(self, now: int) -> list[str]:
        """Clients whose sessions would have ended by now."""
        return [client for client, document in self._gone.items() if from_document(document).is_over(now)]

    def moves(self, client: str) -> int:
        """How often sessions of this client have moved, as far as it is known; -1: there was none."""
        gone = self._gone.get(client)
        documents = [*self.known(client), *([gone] if gone else [])]
        return max((int(document["moves"]) for document in documents), default=-1)

    def known(self, client: str) -> list[Document]:
        return list(self._copies.get(client, {}).values())

    async def _claim(self, peer: Peer, client: str, clean: bool) -> Document | None:
        query = {"client": client, "node": self._node, "clean": int(clean)}
        try:
            answer: Document | None = (await peer.ask("/peer/claim", query, CLAIM_SECONDS))["session"]
        except (PeerAway, KeyError, TypeError):
            return self._copies.get(client, {}).get(peer.name)
        return answer


def latest(documents: Iterable[Document]) -> Document | None:
    """The one that the session's last move made."""
    return max(documents, key=lambda document: (int(document["moves"]), not document["moved"]), default=None)
