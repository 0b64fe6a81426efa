"""Which client gets what: sessions opened and closed, messages of the logs offered to those who asked for them.

The sessions of this node meet the logs here. What a session does with a message is in ``session``; what clients may
ask for, in ``access``; how a log is read, in ``logs``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from apps.mqtt import reasons
from apps.mqtt.access import SHARED, Access
from apps.mqtt.log import log
from apps.mqtt.logs import Log
from apps.mqtt.message import Message
from apps.mqtt.packets import V5
from apps.mqtt.session import ALWAYS, HANDLING, QOS, WHEN_NEW, Limits, Outlet, Session, from_document
from apps.mqtt.session_store import SessionStore
from apps.mqtt.topics import Tree, matches

PAGE = 64
KEEP_EVERY_SECONDS = 1.0
MAX_SUBSCRIPTIONS = 100  # of one client


class Hub:
    """All sessions of this node. Lives in one event loop."""

    def __init__(self, access: Access, store: SessionStore, retained: Callable[[], list[Message]]) -> None:
        self.logs: dict[str, Log] = {}
        self.sessions: dict[str, Session] = {}
        self._access = access
        self._store = store
        self._retained = retained
        self._tree: Tree[Session] = Tree()  # of connected sessions: the others read the logs when they come
        self._tasks: set[asyncio.Task[None]] = set()
        for document in store.load():
            session = from_document(document)
            self.sessions[session.client] = session

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
        former = self.sessions.get(client)
        present = former is not None and not clean and not former.is_over(_now())
        session = former if present and former is not None else Session(client)
        if former is not None and former is not session:
            self._leave_tree(former)
        session.attach(outlet, limits, expiry)
        self.sessions[client] = session
        for pattern in session.subscriptions:
            self._tree.add(pattern, session)
        if expiry:
            await self._keep(session)
        elif former is not None:
            await self._store.keep([(client, None)])
        return session, present

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
            self._spawn(self._keep(session))
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
        codes = bytes(self._subscribe(session, pattern, options) for pattern, options in filters)
        if session.expiry:
            await self._keep(session)
        return codes

    def _subscribe(self, session: Session, pattern: str, options: int) -> int:
        version5 = session.limits.version == V5
        if pattern.startswith(SHARED):
            return reasons.SHARED_NOT_SUPPORTED if version5 else reasons.UNSPECIFIED
        if not self._access.may_subscribe(session.client, pattern):
            log("subscribe_refused", client=session.client, filter=pattern[:200], why="it is outside of its topics")
            return reasons.NOT_AUTHORIZED if version5 else reasons.UNSPECIFIED
        if len(session.subscriptions) >= MAX_SUBSCRIPTIONS and pattern not in session.subscriptions:
            return reasons.QUOTA_EXCEEDED if version5 else reasons.UNSPECIFIED
        granted = min(options & QOS, 1)
        session.subscriptions[pattern] = options & ~QOS | granted
        self._tree.add(pattern, session)
        return granted

    def give_retained(self, session: Session, asked: Sequence[tuple[str, int, bool]]) -> None:
        """``asked`` are the filters just granted, with their options and whether each was there before."""
        wanted = [
            pattern
            for pattern, options, again in asked
            if options & HANDLING == ALWAYS or (options & HANDLING == WHEN_NEW and not again)
        ]
        if not wanted or session.outlet is None:
            return
        for message in self._retained():
            if any(matches(pattern, message.topic) for pattern in wanted):
                session.give_retained(message)

    async def unsubscribe(self, session: Session, filters: Sequence[str]) -> bytes:
        codes = bytearray()
        for pattern in filters:
            there = session.subscriptions.pop(pattern, None) is not None
            self._tree.remove(pattern, session)
            codes.append(reasons.SUCCESS if there else reasons.NO_SUBSCRIPTION_EXISTED)
        if session.expiry:
            await self._keep(session)
        return bytes(codes)

    # -- messages ----------------------------------------------------------------------------------------------

    def published(self, name: str, messages: Sequence[Message]) -> None:
        """These are new in that log, and on disk there."""
        if not messages:
            return
        if self._tree:
            for message in messages:
                for session in self._tree.matching(message.topic):
                    session.offer(name, message)
        self.logs[name].head = messages[-1].n

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
            over = [session for session in self.sessions.values() if session.is_over(_now())]
            for session in over:
                del self.sessions[session.client]
            changed = [s for s in self.sessions.values() if s.changed and s.expiry]
            documents = [(s.client, s.document(self._heads())) for s in changed]
            for session in changed:
                session.changed = False
            try:
                await self._store.keep([*documents, *((session.client, None) for session in over)])
            except sqlite3.Error:
                for session in changed:
                    session.changed = True

    async def _keep(self, session: Session) -> None:
        session.changed = False
        await self._store.keep([(session.client, session.document(self._heads()))])

    def _heads(self) -> dict[str, int]:
        return {name: source.head for name, source in self.logs.items()}

    def _leave_tree(self, session: Session) -> None:
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
