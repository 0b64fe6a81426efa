"""What one client's packets mean: CONNECT, PUBLISH, SUBSCRIBE and the rest, each with its rules and its refusals.

One instance for each connection. Bytes and timing are the connection's, delivery is the session's, what a client may do
is in ``access``, codes are in ``reasons``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from apps.mqtt.broker.access import CLIENT
from apps.mqtt.broker.rate import Rate
from apps.mqtt.broker.session import Limits, Session
from apps.mqtt.broker.subscribing import Asked
from apps.mqtt.config import REQUIRED
from apps.mqtt.disk.store import PASSING, Arrival, Passing
from apps.mqtt.log import log
from apps.mqtt.readings.reading import Reading, Take, Unreadable, identity, read
from apps.mqtt.wire import packets, reasons
from apps.mqtt.wire import properties as p
from apps.mqtt.wire.decode import Malformed
from apps.mqtt.wire.message import expiry, kept_properties
from apps.mqtt.wire.packets import V5, Connect, Publish, Will

if TYPE_CHECKING:
    from apps.mqtt.broker.connection import Connection
    from apps.mqtt.broker.ingest import Ingest


class Client:
    def __init__(self, ingest: Ingest, connection: Connection) -> None:
        self.name = ""  # empty until a CONNECT was heard
        self.is_accepted = False
        self._ingest = ingest
        self._connection = connection
        self._topic = ""
        self._take: Take | None = None
        self._will: Will | None = None
        self._session: Session | None = None
        self._rate = Rate(ingest.settings.max_rate)
        self._work: set[asyncio.Task[None]] = set()

    def handle(self, packet: packets.Packet) -> None:
        """Raises Malformed for what is no way to behave."""
        if not self.name:
            if not isinstance(packet, Connect):
                raise Malformed(f"a {type(packet).__name__} came before the CONNECT", reasons.PROTOCOL_ERROR)
            self._connect(packet)
            return
        match packet:
            case Publish():
                self._publish(packet)
            case packets.PingReq():
                self._connection.send(packets.PINGRESP)
            case packets.Subscribe():
                if "subscription_identifier" in packet.properties:
                    raise Malformed("subscription identifiers are not served", reasons.IDENTIFIERS_NOT_SUPPORTED)
                self._spawn(self._subscribe(packet))
            case packets.Unsubscribe():
                self._spawn(self._unsubscribe(packet))
            case packets.PubAck(packet_id):
                if self._session is not None:
                    self._ingest.hub.acknowledged(self._session, packet_id)
            case packets.Disconnect():
                self._disconnect(packet)
            case Connect():
                raise Malformed("a second CONNECT on one connection", reasons.PROTOCOL_ERROR)

    # -- CONNECT -----------------------------------------------------------------------------------------------

    def _connect(self, packet: Connect) -> None:
        refusal = self._why_not(packet)
        if refusal is not None:
            self._refuse_connect(*refusal)
            return
        self.name = packet.client_id
        self._topic = self._ingest.access.readings_topic(self.name)
        if not self._ingest.schema.is_plain:
            self._take = partial(self._ingest.schema.take, self.name)
        self._will = packet.will
        self._ingest.accept(self._connection, self.name)
        self._connection.wait_for("opening")
        self._spawn(self._open(packet))

    def _why_not(self, packet: Connect) -> tuple[int, str] | None:
        access, will = self._ingest.access, packet.will
        if not CLIENT.fullmatch(packet.client_id):
            return reasons.IDENTIFIER_NOT_VALID, f"client id {packet.client_id[:80]!r} is no device id"
        certificate = self._connection.certificate
        if certificate is None and self._ingest.settings.certificates == REQUIRED:
            return reasons.NOT_AUTHORIZED, f"{packet.client_id} comes without a certificate"
        if certificate is not None and certificate != packet.client_id:
            return reasons.NOT_AUTHORIZED, f"{packet.client_id[:80]} comes with the certificate of {certificate[:80]!r}"
        if access.is_denied(packet.client_id):
            return reasons.BANNED, f"{packet.client_id} is on the list of denied clients"
        if "authentication_method" in packet.properties:
            return reasons.BAD_AUTHENTICATION_METHOD, "no authentication method is served"
        if will is not None and not access.may_publish(packet.client_id, will.topic):
            return reasons.NOT_AUTHORIZED, f"its will is on {will.topic[:80]!r}, which is not its own"
        if will is not None and will.qos == 2 and packet.version == V5:
            return reasons.QOS_NOT_SUPPORTED, "its will asks for quality of service 2"
        why = self._ingest.not_ready()
        if why is None:
            return None
        return (reasons.QUOTA_EXCEEDED if self._ingest.is_failing else reasons.UNAVAILABLE), why

    def _refuse_connect(self, reason: int, why: str) -> None:
        self._ingest.counters.connects_refused += 1
        version = self._connection.version
        code = reason if version == V5 else reasons.CONNACK_OF_3_1_1[reason]
        log("connect_refused", code=code, why=why)
        self._connection.send(packets.connack(code, version))
        self._connection.close()

    async def _open(self, packet: Connect) -> None:
        connection, told, settings = self._connection, packet.properties, self._ingest.settings
        longest = min(settings.session_seconds, settings.retention_days * 86_400)
        asked = p.number(told, "session_expiry", 0) if packet.version == V5 else 0 if packet.clean_session else longest
        kept = min(asked, longest)
        limits = Limits(
            packet.version,
            min(p.number(told, "receive_maximum", settings.max_in_flight), settings.max_in_flight),
            p.number(told, "maximum_packet_size", 2**28),
        )
        try:
            session, present = await self._ingest.hub.open(
                self.name, connection, limits, clean=packet.clean_session, expiry=kept
            )
        except sqlite3.Error as error:
            self._refuse_connect(reasons.UNAVAILABLE, f"its session cannot be kept: {error}")
            return
        self._session = session
        if not connection.is_open:
            self._ingest.hub.close(session, connection)
            return
        self.is_accepted = True
        offered = {
            "receive_maximum": settings.max_in_flight, "maximum_qos": 1, "identifiers_available": 0,
            "shared_available": 0, "maximum_packet_size": settings.max_packet_bytes,
        } | ({"session_expiry": kept} if kept != asked else {})  # fmt: skip
        connection.send(packets.connack(reasons.SUCCESS, packet.version, present=present, properties=offered))
        connection.heed_keep_alive(packet.keep_alive)
        self._ingest.hub.resume(session)
        connection.go_on("opening")

    # -- PUBLISH -----------------------------------------------------------------------------------------------

    def _publish(self, packet: Publish) -> None:
        self._ingest.counters.publishes_received += 1
        if packet.qos == 2:
            self._refuse_publish(packet, "quality of service 2 is not served")
            self._connection.refuse(reasons.QOS_NOT_SUPPORTED)
            return
        if packet.topic != self._topic and not self._ingest.access.may_publish(self.name, packet.topic):
            self._refuse_publish(packet, f"only {self._topic} and its state are its topics")
            if self._connection.version != V5:
                self._connection.close()  # 3.1.1 has no other way to say no
            elif packet.packet_id is not None:
                self._connection.send(packets.puback(packet.packet_id, reasons.NOT_AUTHORIZED))
            return
        self._connection.one_more_in_flight()
        self._ingest.submit(self._connection, packet.packet_id, self._arrival(packet))
        if self._rate.is_limited and (pause := self._rate.take(time.monotonic())) > 0:
            self._connection.rest(pause)

    def _arrival(self, packet: Publish) -> Arrival:
        now = int(time.time() * 1000)
        if packet.topic != self._topic:
            content: Reading | Unreadable | Passing = PASSING
        else:
            content = read(packet.payload, self._ingest.zone, self._take)
        name = identity(self._ingest.zone, self.name, content) if isinstance(content, Reading) else None
        told = packet.properties
        if not told:
            return Arrival(self.name, packet.topic, packet.payload, content, name, now, packet.qos, packet.retain)
        return Arrival(
            self.name, packet.topic, packet.payload, content, name, now, packet.qos, packet.retain,
            kept_properties(told), expiry(told, now),
        )  # fmt: skip

    def _refuse_publish(self, packet: Publish, why: str) -> None:
        self._ingest.counters.refused += 1
        log("publish_refused", device=self.name, topic=packet.topic[:200], why=why)

    # -- SUBSCRIBE, UNSUBSCRIBE --------------------------------------------------------------------------------

    async def _subscribe(self, packet: packets.Subscribe) -> None:
        session, hub = self._session, self._ingest.hub
        assert session is not None
        before = set(session.subscriptions)
        codes = await hub.subscribe(session, packet.filters)
        self._connection.send(packets.suback(packet.packet_id, codes, self._connection.version))
        granted = [
            Asked(name, options, name in before)
            for (name, options), code in zip(packet.filters, codes, strict=True)
            if code <= 1
        ]
        await hub.give_retained(session, granted)

    async def _unsubscribe(self, packet: packets.Unsubscribe) -> None:
        assert self._session is not None
        codes = await self._ingest.hub.unsubscribe(self._session, packet.filters)
        self._connection.send(packets.unsuback(packet.packet_id, codes, self._connection.version))

    # -- the end -----------------------------------------------------------------------------------------------

    def _disconnect(self, packet: packets.Disconnect) -> None:
        if packet.reason != reasons.DISCONNECT_WITH_WILL:
            self._will = None
        if self._session is not None and "session_expiry" in packet.properties:
            asked = p.number(packet.properties, "session_expiry", 0)
            if asked and not self._session.expiry:
                raise Malformed("a session that was to end with its connection cannot be kept", reasons.PROTOCOL_ERROR)
            self._session.expiry = min(asked, self._ingest.settings.session_seconds)
        self._connection.close()

    def replaced(self) -> None:
        log("connection_replaced", device=self.name)
        self._connection.refuse(reasons.TAKEN_OVER)

    def has_room(self) -> None:
        if self._session is not None:
            self._ingest.hub.go_on(self._session)

    def ended(self) -> None:
        """The connection is gone. Unless the client said goodbye, its will is published; not when we are the ones to
        go: a release that stops says nothing about a device."""
        if self._session is not None:
            self._ingest.hub.close(self._session, self._connection)
        if self._will is not None and self.is_accepted and not self._ingest.is_stopping:
            delay = p.number(self._will.properties, "will_delay", 0)
            kept = self._session.expiry if self._session is not None else 0
            self._ingest.wills.promise(self.name, self._will, min(delay, kept))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log("connection_work_failed", device=self.name, why=f"{type(error).__name__}: {error}")
            self._connection.refuse(reasons.UNSPECIFIED)
