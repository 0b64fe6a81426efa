"""One device's connection: what its packets mean, how fast it may send, when it is closed.

The state of a single connection lives here; what connections share (the queue, the commit, the bounds of all) is the
ingest's. Whatever a peer sends, the worst that happens is that its own connection is closed.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, cast

from apps.mqtt import packets
from apps.mqtt.decode import Decoder, Malformed, WrongVersion
from apps.mqtt.log import log
from apps.mqtt.reading import Reading, identity, read
from apps.mqtt.store import Arrival

if TYPE_CHECKING:
    from apps.mqtt.ingest import Ingest

DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
LINGER_SECONDS = 0.5  # between the end of our side and the close, for the peer to read what we sent
FLUSH_SECONDS = 2.0  # a closed connection whose peer does not take our last answers is cut after this


class Connection(asyncio.Protocol):
    """Reads no further while too much of what it sent is uncommitted, or while the peer does not read our answers."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(ingest.settings.max_packet_bytes)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._device = ""  # empty until a CONNECT is accepted
        self._topic = ""
        self._silence_limit = 0.0  # 1.5 × the keep-alive; 0: none
        self._last_heard = 0.0
        self._in_flight = 0
        self._blocked = False  # by us: too much is uncommitted
        self._congested = False  # by the peer: it does not read
        self._ending = False  # the peer sends no more, or we read no more
        self._finishing = False  # our side has ended
        self._closed = False

    # -- what the transport calls ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestors
        if not self._ingest.admit(self):
            self._close()
            return
        self._timer = self._loop.call_later(self._ingest.settings.connect_seconds, self._no_connect)

    def data_received(self, data: bytes) -> None:
        if self._ending or self._closed:
            return
        self._last_heard = self._loop.time()
        self._decoder.feed(data)
        self._process()

    def eof_received(self) -> bool:
        self._ending = True
        return self._in_flight > 0 and not self._closed  # True keeps our side open, for the answers still due

    def pause_writing(self) -> None:
        self._congested = True
        self._hold()

    def resume_writing(self) -> None:
        self._congested = False
        self._release()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._ingest.forget(self, self._device)

    # -- what the ingest calls ---------------------------------------------------------------------------------

    def settle(self, count: int, answers: bytes) -> bool:
        """``count`` messages of this connection are durable. False when the answers have nobody to go to."""
        self._in_flight -= count
        if self._closed or self._finishing or self._transport.is_closing():
            return False
        if answers:
            self._transport.write(answers)
        if self._ending and not self._in_flight:
            self.finish()
        return True

    def unblock(self) -> None:
        """Go on reading, if what made us stop is over."""
        if self._in_flight <= self._ingest.settings.max_in_flight // 2 and not self._ingest.full():
            self._blocked = False
            self._ingest.blocked.discard(self)
            self._release()

    def stop_reading(self) -> None:
        """Take nothing more; what is in flight is still answered, and then the connection is closed."""
        self._ending = True
        if self._in_flight:
            self._hold()
        else:
            self.finish()

    def finish(self) -> None:
        """Close so that the answers arrive: end our side first, read what still comes and drop it, then close.

        Closing with bytes unread would reset the connection and could destroy a PUBACK on its way.
        """
        if self._closed or self._finishing or self._transport.is_closing():
            return
        self._finishing = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self._close)

    def replaced(self) -> None:
        log("connection_replaced", device=self._device)
        self._close()

    # -- packets -----------------------------------------------------------------------------------------------

    def _process(self) -> None:
        try:
            while not (self._blocked or self._congested or self._closed):
                packet = self._decoder.next_packet()
                if packet is None:
                    return
                self._handle(packet)
        except WrongVersion as broken:
            self._transport.write(packets.connack(packets.WRONG_VERSION))
            self._protocol_error(broken.why)
        except Malformed as broken:
            self._protocol_error(broken.why)

    def _handle(self, packet: packets.Packet) -> None:
        if not self._device:
            if not isinstance(packet, packets.Connect):
                raise Malformed(f"a {type(packet).__name__} came before the CONNECT")
            self._connect(packet)
            return
        match packet:
            case packets.Publish():
                self._publish(packet)
            case packets.PingReq():
                self._transport.write(packets.PINGRESP)
            case packets.Subscribe(packet_id, filters):
                log("subscribe_refused", device=self._device, filters=[name for name, _ in filters],
                    why="this release sends nothing to devices")  # fmt: skip
                self._transport.write(packets.suback(packet_id, bytes((packets.SUBSCRIBE_FAILED,)) * len(filters)))
            case packets.Unsubscribe(packet_id, _):
                self._transport.write(packets.unsuback(packet_id))
            case packets.PubAck():
                pass  # nothing was published to the device, so there is nothing that this could end
            case packets.Disconnect():
                self._close()
            case packets.Connect():
                raise Malformed("a second CONNECT on one connection")

    def _connect(self, packet: packets.Connect) -> None:
        if not DEVICE.fullmatch(packet.client_id):
            self._refuse_connect(packets.IDENTIFIER_REJECTED, f"client id {packet.client_id[:80]!r} is no device id")
            return
        why = self._ingest.not_ready()
        if why is not None:
            self._refuse_connect(packets.UNAVAILABLE, why)
            return
        self._device = packet.client_id
        self._topic = f"f/{self._ingest.zone}/{self._device}/t"
        self._ingest.accept(self, self._device)
        self._transport.write(packets.connack(packets.ACCEPTED))
        if self._timer is not None:
            self._timer.cancel()
        self._silence_limit = packet.keep_alive * 1.5
        if self._silence_limit:
            self._timer = self._loop.call_later(self._silence_limit, self._check_silence)

    def _refuse_connect(self, code: int, why: str) -> None:
        self._ingest.counters.connects_refused += 1
        log("connect_refused", code=code, why=why)
        self._transport.write(packets.connack(code))
        self._close()

    def _publish(self, packet: packets.Publish) -> None:
        counters = self._ingest.counters
        counters.publishes_received += 1
        if packet.qos == 2 or packet.topic != self._topic:
            counters.refused += 1
            why = "quality of service 2 is not served" if packet.qos == 2 else f"only {self._topic} is its topic"
            log("publish_refused", device=self._device, topic=packet.topic[:200], why=why)
            self._close()  # 3.1.1 has no other way to say no
            return
        content = read(packet.payload)
        name = identity(self._ingest.zone, self._device, content) if isinstance(content, Reading) else None
        now = int(time.time() * 1000)
        self._in_flight += 1
        arrival = Arrival(self._device, packet.topic, packet.payload, content, name, now)
        self._ingest.submit(self, packet.packet_id, arrival)
        if self._in_flight >= self._ingest.settings.max_in_flight or self._ingest.full():
            self._blocked = True
            self._ingest.blocked.add(self)
            self._hold()

    # -- flow and end ------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        if not self._closed and not self._transport.is_closing():
            self._transport.pause_reading()

    def _release(self) -> None:
        if self._blocked or self._congested or self._ending or self._closed or self._transport.is_closing():
            return
        self._last_heard = self._loop.time()  # while we did not read, silence was not the peer's
        self._transport.resume_reading()
        self._process()

    def _check_silence(self) -> None:
        silent = 0.0 if self._blocked else self._loop.time() - self._last_heard
        if silent >= self._silence_limit:
            log("keep_alive_missed", device=self._device, silent_seconds=round(silent, 1))
            self._abort()
            return
        self._timer = self._loop.call_later(self._silence_limit - silent, self._check_silence)

    def _no_connect(self) -> None:
        log("connect_missing", within_seconds=self._ingest.settings.connect_seconds)
        self._abort()

    def _protocol_error(self, why: str) -> None:
        self._ingest.counters.protocol_errors += 1
        log("protocol_error", device=self._device or None, why=why)
        self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(FLUSH_SECONDS, self._transport.abort)

    def _abort(self) -> None:
        self._closed = True
        self._transport.abort()
