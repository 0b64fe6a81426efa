"""One connection: bytes to packets and back, how fast the peer may send, when and how the connection ends.

What packets mean is ``client``'s; what connections share (the queue, the commit, the bounds of all) is the ingest's.
Whatever a peer sends, the worst that happens is that its own connection is closed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from apps.mqtt.broker.client import Client
from apps.mqtt.log import log
from apps.mqtt.wire import packets, proxy, reasons
from apps.mqtt.wire.decode import Decoder, Malformed, WrongVersion
from apps.mqtt.wire.packets import V5

if TYPE_CHECKING:
    from apps.mqtt.broker.ingest import Ingest

LINGER_SECONDS = 0.5  # between the end of our side and the close, for the peer to read what we sent
FLUSH_SECONDS = 2.0  # a closed connection whose peer does not take our last answers is cut after this
COMMIT, PEER, OPENING, RATE = "commit", "peer", "opening", "rate"  # what reading can wait for


class Connection(asyncio.Protocol):
    """Reads no further while too much of what it sent is uncommitted, or while the peer does not read our answers."""

    def __init__(self, ingest: Ingest) -> None:
        self.client = Client(ingest, self)
        self._ingest = ingest
        self._loop = asyncio.get_running_loop()
        self.certificate: str | None = None  # the name in it, as the balancer verified it
        self._decoder = Decoder(ingest.settings.max_packet_bytes)
        self._head: bytes | None = None  # what came while it may still be the balancer's header; None: it is over
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._silence_limit = 0.0  # 1.5 × the keep-alive; 0: none
        self._last_heard = 0.0
        self._in_flight = 0
        self._waits: set[str] = set()  # for what, before reading goes on
        self._ending = False  # the peer sends no more, or we read no more
        self._finishing = False  # our side has ended
        self._closed = False

    @property
    def version(self) -> int:
        return self._decoder.version

    @property
    def congested(self) -> bool:
        return PEER in self._waits

    @property
    def is_open(self) -> bool:
        return not (self._closed or self._finishing or self._transport.is_closing())

    # -- what the transport calls ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestors
        if not self._ingest.admit(self):
            self.close()
            return
        if transport.get_extra_info("peername")[0] in self._ingest.balancers:
            self._head = b""  # from nobody else is it believed
        self._timer = self._loop.call_later(self._ingest.settings.connect_seconds, self._no_connect)

    def data_received(self, data: bytes) -> None:
        if self._ending or self._closed:
            return
        if self._head is not None and not (data := self._after_head(data)):
            return
        self._decoder.feed(data)
        self._process()

    def eof_received(self) -> bool:
        self._ending = True
        return self._in_flight > 0 and not self._closed  # True keeps our side open, for the answers still due

    def pause_writing(self) -> None:
        self.wait_for(PEER)

    def resume_writing(self) -> None:
        self.go_on(PEER)
        self.client.has_room()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._ingest.forget(self)
        self.client.ended()

    # -- what the ingest calls ---------------------------------------------------------------------------------

    def settle(self, count: int, answers: bytes) -> bool:
        """``count`` messages of this connection are durable. False when the answers have nobody to go to."""
        self._in_flight -= count
        if not self.is_open:
            return False
        if answers:
            self._transport.write(answers)
        if self._ending and not self._in_flight:
            self.finish()
        return True

    def unblock(self) -> None:
        """Go on reading, if what made us stop is over."""
        if self._in_flight <= self._ingest.settings.max_in_flight // 2 and not self._ingest.full():
            self._ingest.blocked.discard(self)
            self.go_on(COMMIT)

    def stop_reading(self) -> None:
        """Take nothing more; what is in flight is still answered, and then the connection is closed."""
        self._ending = True
        if self._in_flight:
            self._pause()
        else:
            self.finish()

    def finish(self) -> None:
        """Close so that the answers arrive: end our side first, read what still comes and drop it, then close.

        Closing with bytes unread would reset the connection and could destroy a PUBACK on its way.
        """
        if not self.is_open:
            return
        if self.client.is_accepted and self.version == V5:
            self._transport.write(packets.encode(packets.Disconnect(reasons.SHUTTING_DOWN), V5))
        self._finishing = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self.close)

    # -- what the client calls ---------------------------------------------------------------------------------

    def send(self, raw: bytes) -> None:
        if self.is_open:
            self._transport.write(raw)

    def taken_over(self) -> None:
        """The client is connected elsewhere now."""
        self.client.replaced()

    def one_more_in_flight(self) -> None:
        self._in_flight += 1
        if self._in_flight >= self._ingest.settings.max_in_flight or self._ingest.full():
            self._ingest.blocked.add(self)
            self.wait_for(COMMIT)

    def heed_keep_alive(self, seconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._silence_limit, self._last_heard = seconds * 1.5, self._loop.time()
        if self._silence_limit:
            self._timer = self._loop.call_later(self._silence_limit, self._check_silence)

    def wait_for(self, what: str) -> None:
        self._waits.add(what)
        self._pause()

    def go_on(self, what: str) -> None:
        self._waits.discard(what)
        if self._waits or self._ending or self._closed or self._transport.is_closing():
            return
        self._last_heard = self._loop.time()  # while we did not read, silence was not the peer's
        self._transport.resume_reading()
        self._process()

    def rest(self, seconds: float) -> None:
        """Read nothing for so long: what the peer wants to send waits on its side."""
        self.wait_for(RATE)
        self._loop.call_later(seconds, self.go_on, RATE)

    def refuse(self, reason: int) -> None:
        """Tell why, where the protocol has a word for it, and close."""
        if self.version == V5 and self.client.is_accepted:
            self.send(packets.encode(packets.Disconnect(reason), V5))
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(FLUSH_SECONDS, self._transport.abort)

    # -- inside ------------------------------------------------------------------------------------------------

    def _after_head(self, data: bytes) -> bytes:
        """What follows the balancer's header; nothing until it is whole. Without one, all that came."""
        head = (self._head or b"") + data
        try:
            found = proxy.read(head) if (is_head := proxy.begins(head)) else None
        except Malformed as broken:
            self._protocol_error(broken)
            return b""
        if is_head and found is None:
            self._head = head
            return b""
        self._head = None
        if found is None:
            return head
        self.certificate = found.name
        return head[found.length :]

    def _process(self) -> None:
        try:
            while not (self._waits or self._closed):
                packet = self._decoder.next_packet()
                if packet is None:
                    return
                self._last_heard = self._loop.time()
                self.client.handle(packet)
        except WrongVersion as broken:
            self._transport.write(packets.connack(reasons.CONNACK_OF_3_1_1[broken.reason]))
            self._protocol_error(broken)
        except Malformed as broken:
            self._protocol_error(broken)

    def _pause(self) -> None:
        if not self._closed and not self._transport.is_closing():
            self._transport.pause_reading()

    def _check_silence(self) -> None:
        silent = 0.0 if self._waits - {PEER} else self._loop.time() - self._last_heard
        if silent >= self._silence_limit:
            log("keep_alive_missed", device=self.client.name, silent_seconds=round(silent, 1))
            if self.version == V5:
                self.refuse(reasons.KEEP_ALIVE_TIMEOUT)
            self._abort()
            return
        self._timer = self._loop.call_later(self._silence_limit - silent, self._check_silence)

    def _no_connect(self) -> None:
        log("connect_missing", within_seconds=self._ingest.settings.connect_seconds)
        self._abort()

    def _protocol_error(self, broken: Malformed) -> None:
        self._ingest.counters.protocol_errors += 1
        log("protocol_error", device=self.client.name or None, why=broken.why)
        self.refuse(broken.reason)

    def _abort(self) -> None:
        self._closed = True
        self._transport.abort()
