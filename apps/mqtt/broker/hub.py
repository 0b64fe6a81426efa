"""Which client gets what: sessions opened and closed, messages of the logs offered to those who asked for them.

The sessions of this node meet the logs here. What a session does with a message is in ``session``; what clients may
ask for, in ``access``; how a log is read, in ``logs``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from apps.mqtt.broker.access import Access
from apps.mqtt.broker.homes import Homes, latest
from apps.mqtt.broker.interest import Interest
from apps.mqtt.broker.session import QOS, Limits, Outlet, Session, from_document
from apps.mqtt.broker.subscribing import MOST_QOS, Asked, answer
from apps.mqtt.disk.logs import Log
from apps.mqtt.disk.session_store import Document, SessionStore
from apps.mqtt.log import log
from apps.mqtt.wire import reasons
from apps.mqtt.wire.message import Message
from apps.mqtt.wire.topics import Tree

PAGE = 64
KEEP_EVERY_SECONDS = 1.0


async def _nobody_has_to(change: int) -> None:
    """Alone in its zone, nobody has to have a copy."""


class Hub:
    """All sessions of this node. Lives in one event loop."""

    def __init__(
        self,
        access: Access,
        store: SessionStore,
        homes: Homes,
        retained: Callable[[Sequence[str]], Awaitable[list[Message]]],
    ) -> None:
        self.homes = homes
        self.logs: dict[str, Log] = {}
        self.sessions: dict[str, Session] = {}
        self.interest = Interest(lambda: self.sessions.values())
        self.copied: Callable[[int], Awaitable[None]] = _nobody_has_to
        self._access = access
        self._store = store
        self._retained = retained
        self._tree: Tree[Session] = Tree()  # of connected sessions: the others read the logs when they come
        self._tasks: set[asyncio.Task[None]] = set()
        for document in store.load():
            if document["moved"]:
                self.homes.remember(document)
            else:
                self.sessions[document["client"]] = from_document(document)

    def add_log(self, new: Log) -> None:
        self.logs[new.name] = new

    @property
    def subscriptions(self) -> int:
        return sum(len(session.subscriptions) for session in self.sessions.values())

    # -- coming and going --------------------------------------------------------------------------------------

    async def open(
        self, client: str, outlet: Outlet, limits: Limits, *, clean: bool, expiry: int
    ) -> tuple[Session, bool]:
        """The client's session, attached, and whether it was there before. Raises sqlite3.Error."""
        found = await self._find(client, clean=clean)
        former = self.sessions.get(client)
        session = found or Session(client)
        if found is None:
            session.moves = 1 + self.homes.moves(client)
        gone = self.homes.forget(client)
        if former is not None and former is not session:
            self._leave_tree(former)
        session.attach(outlet, limits, expiry)
        self.sessions[client] = session
        for pattern in session.subscriptions:
            self._tree.add(pattern, session)
        if session.subscriptions:
            self.interest.grew()
        if expiry:
            await self._keep(session)
        elif former is not None or gone:
            await self._store.keep([(client, None)])
        return session, found is not None

    async def _find(self, client: str, *, clean: bool) -> Session | None:
        """The session to go on with, wherever in the zone it is; all others of this client have ended."""
        known = self.homes.known(client)
        others = await self.homes.claim(client, clean=clean) if not clean or known else []
        if clean:
            return None
        own = self.sessions.get(client)
        mine = [own.document(self._heads())] if own is not None and not own.is_over(_now()) else []
        gone = self.homes.given_up(client)
        best = latest([*mine, *others, *([gone] if gone else [])])
        if best is None:
            return None
        if mine and best is mine[0]:
            return own
        session = from_document(best)
        session.moves += 1
        return None if session.is_over(_now()) else session

    async def give_up(self, client: str, node: str, *, clean: bool) -> Document | None:
        """Another node has the client now. Durable before it is told, and told again if it asks again."""
        session = self.sessions.pop(client, None)
        if clean and (self.homes.forget(client) or session is not None):
            await self._store.keep([(client, None)])
        if session is None:
            return self.homes.given_up(client)
        outlet = session.outlet
        if outlet is not None:
            self._leave_tree(session)
            session.detach(self._heads())
            outlet.taken_over()
        log("session_moved", client=client, to=node)
        return None if clean or not session.expiry else await self.homes.give_up(session.document(self._heads()))

    def resume(self, session: Session) -> None:
        """After the CONNACK: what it has not had."""
        session.send_again()
        self.go_on(session)

    def close(self, session: Session, outlet: Outlet) -> None:
        """Its connection ended. Without an expiry, so does the session."""
        if session.outlet is not outlet:
            return  # another connection has taken it over
        self._leave_tree(session)
        session.detach(self._heads())
        if self.sessions.get(session.client) is not session:
            return  # a clean start has replaced it
        if session.expiry:
            self._spawn(self._keep_in_the_end(session))
        else:
            del self.sessions[session.client]

    async def stop(self) -> None:
        for session in list(self.sessions.values()):
            if session.outlet is not None:
                self.close(session, session.outlet)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- subscriptions -----------------------------------------------------------------------------------------

    async def subscribe(self, session: Session, filters: Sequence[tuple[str, int]]) -> bytes:
        """The code for each filter, once they are on disk; then what is retained follows by ``give_retained``."""
        codes = bytearray()
        for pattern, options in filters:
            codes.append(code := answer(self._access, session, pattern, options))
            if code <= MOST_QOS:
                session.subscriptions[pattern] = options & ~QOS | code
                self._tree.add(pattern, session)
        self.interest.grew()
        if session.expiry:
            await self.copied(await self._keep(session))
        return bytes(codes)

    async def give_retained(self, session: Session, asked: Sequence[Asked]) -> None:
        wanted = [each.pattern for each in asked if each.wants_retained]
        if not wanted or session.outlet is None:
            return
        for message in await self._retained(wanted):
            if session.outlet is not None:
                session.give_retained(message)

    async def unsubscribe(self, session: Session, filters: Sequence[str]) -> bytes:
        codes = bytearray()
        for pattern in filters:
            there = session.subscriptions.pop(pattern, None) is not None
            self._tree.remove(pattern, session)
            self.interest.shrank()
            codes.append(reasons.SUCCESS if there else reasons.NO_SUBSCRIPTION_EXISTED)
        if session.expiry:
            await self._keep(session)
        return bytes(codes)

    # -- messages ----------------------------------------------------------------------------------------------

    def grown(self, name: str, head: int, messages: Callable[[], Sequence[Message]]) -> None:
        """That log goes up to ``head`` now. What is new in it is asked for when somebody may want it."""
        if self._tree:
            self.published(name, messages())
        self.logs[name].head = head

    def published(self, name: str, messages: Sequence[Message]) -> None:
        """These are new in that log, and on disk there."""
        if not messages:
            return
        if self._tree:
            for message in messages:
                for session in self._tree.matching(message.topic):
                    session.offer(name, message)
        self.logs[name].head = messages[-1].n

    def begin_at(self, name: str, place: int) -> None:
        """The first that is known of a log: sessions that could not know its end yet stand there."""
        for session in self.sessions.values():
            if session.places.get(name, 0) < 0:
                session.places[name] = place

    def go_on_with_all(self) -> None:
        """A log that could not be read may be there again."""
        for session in self.sessions.values():
            self.go_on(session)

    def acknowledged(self, session: Session, packet_id: int) -> None:
        session.acknowledged(packet_id)
        self.go_on(session)

    def go_on(self, session: Session) -> None:
        """Give a session that is behind what it has room for."""
        if session.places and not session.catching_up and session.has_room():
            session.catching_up = True
            self._spawn(self._catch_up(session))

    async def _catch_up(self, session: Session) -> None:
        try:
            for name in list(session.places):
                source = self.logs.get(name)
                while source is not None and session.has_room() and name in session.places:
                    before = session.places[name]
                    messages, upto = await source.page(before, PAGE)
                    for message in messages:
                        if not session.has_room():
                            upto = message.n - 1
                            break
                        session.give(name, message)
                    session.places[name] = max(before, upto)
                    if upto >= source.head:
                        del session.places[name]
                    elif upto <= before:
                        break  # it cannot be asked just now
        finally:
            session.catching_up = False

    # -- keeping -----------------------------------------------------------------------------------------------

    async def keep_for_ever(self) -> None:
        """Write what sessions acknowledged, now and then; forget sessions whose time is over."""
        while True:
            await asyncio.sleep(KEEP_EVERY_SECONDS)
            self.go_on_with_all()
            over = [session.client for session in self.sessions.values() if session.is_over(_now())]
            over += self.homes.over(_now())
            for client in over:
                self.sessions.pop(client, None)
                self.homes.forget(client)
            changed = [s for s in self.sessions.values() if s.changed and s.expiry]
            documents = [(s.client, s.document(self._heads())) for s in changed]
            for session in changed:
                session.changed = False
            try:
                await self._store.keep([*documents, *((client, None) for client in over)])
            except sqlite3.Error:
                for session in changed:
                    session.changed = True

    async def _keep(self, session: Session) -> int:
        session.changed = False
        return await self._store.keep([(session.client, session.document(self._heads()))])

    async def _keep_in_the_end(self, session: Session) -> None:
        await self._keep(session)

    def _heads(self) -> dict[str, int]:
        return {name: source.head for name, source in self.logs.items()}

    def _leave_tree(self, session: Session) -> None:
        self.interest.shrank()
        for pattern in session.subscriptions:
            self._tree.remove(pattern, session)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log("session_work_failed", why=f"{type(error).__name__}: {error}")


def _now() -> int:
    return int(time.time() * 1000)
