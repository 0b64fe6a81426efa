"""From many connections into one store: the queue, the group commit, the bounds that connections share.

A PUBACK leaves only after the transaction that holds its message is durable. Messages wait in one queue; a single
commit thread takes whatever has gathered, so the cost of a flush to disk is shared by all that came during the last.
When a commit fails, the batch stays at the head of the queue and is tried again: nothing is acknowledged, connections
stop being read, and readiness says why.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from apps.mqtt.broker.access import Access
from apps.mqtt.broker.connection import Connection
from apps.mqtt.broker.copies import Copies
from apps.mqtt.broker.hub import Hub
from apps.mqtt.broker.wills import Wills
from apps.mqtt.config import INFER, PEER, Config
from apps.mqtt.counters import Counters
from apps.mqtt.disk.store import TRIM_ROWS, Arrival, Store, Tally
from apps.mqtt.log import log
from apps.mqtt.readings.schema import Schema
from apps.mqtt.wire.packets import V5, puback
from apps.mqtt.wire.reasons import BANNED, PAYLOAD_INVALID, SUCCESS

BACKLOG = 1024  # connections that may wait to be accepted: a whole zone reconnects at once
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
TRIM_EVERY_SECONDS = 1.0
DENIED_EVERY_SECONDS = 0.5
DAY_MS = 86_400_000
STALLED_SECONDS = 5.0  # one commit under way for longer than this makes the node unready


Waiting = tuple[Connection | None, int | None, Arrival]
"""A message that is received and not yet durable; no connection: it is our own; no packet id: nobody waits for it."""

Committed = tuple[list[Waiting], Tally, float]
"""A batch, what became of it, and the seconds that it took."""


class Ingest:
    """All MQTT connections of this node and the one queue behind them. Lives in one event loop."""

    def __init__(
        self, config: Config, store: Store, access: Access, hub: Hub,
        on_commit: Callable[[Tally], None], far_cursor: Callable[[], int],
    ) -> None:  # fmt: skip
        """``on_commit`` hears of every commit; ``far_cursor`` tells up to which reading all need nothing more."""
        self.settings = config.settings
        self.zone = config.zone
        self.balancers = config.balancers
        self.access = access
        self.schema = Schema(config.settings.schema, config.settings.schema_mode == INFER)
        self.hub = hub
        self.wills = Wills(self.publish)
        self.counters = Counters()
        self.copies = Copies(store.volume) if config.settings.ack == PEER else None
        self.blocked: set[Connection] = set()
        self._address = (config.bind, config.mqtt_port)
        self._store = store
        self._on_commit = on_commit
        self._far_cursor = far_cursor
        self._thread = ThreadPoolExecutor(1, "commit")
        self._queue: deque[Waiting] = deque()  # what no commit has taken yet
        self._pending = 0  # received, and not settled
        self._something_waits = asyncio.Event()
        self._empty = asyncio.Event()
        self._connections: set[Connection] = set()
        self._by_device: dict[str, Connection] = {}
        self._connected_seconds, self._counted_at = 0.0, time.monotonic()
        self._server: asyncio.Server | None = None
        self._failing = ""
        self._stopping = False
        self._commit_began: float | None = None
        self._last_commit = time.monotonic()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), *self._address, backlog=BACKLOG)

    async def commit_for_ever(self) -> None:
        """Have batch after batch committed. Ends only by cancellation or by a defect of ours.

        A second commit is asked for while one runs. It takes what has gathered when its turn comes, so the thread need
        not wait until this loop, which is busy with what arrives, has time to hand it more.
        """
        loop = asyncio.get_running_loop()
        asked: deque[asyncio.Future[Committed | sqlite3.Error | None]] = deque()
        failures = 0
        while True:
            if not self._pending:
                self._empty.set()
                self._something_waits.clear()
                await self._something_waits.wait()
            while len(asked) < 2:
                asked.append(loop.run_in_executor(self._thread, self._commit_next))
            outcome = await asked.popleft()
            if isinstance(outcome, sqlite3.Error):
                self._fail(outcome)
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            elif outcome is not None:
                failures = 0
                self._settle(*outcome)

    def _commit_next(self) -> Committed | sqlite3.Error | None:
        """In the commit thread; None: nothing waits. After an error the batch is at the head of the queue again."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self.settings.max_batch))]
        if not batch:
            return None
        self._commit_began = began = time.monotonic()
        try:
            tally = self._store.commit([arrival for _, _, arrival in batch])
        except sqlite3.Error as error:
            self._queue.extendleft(reversed(batch))
            return error
        finally:
            self._commit_began = None
        return batch, tally, time.monotonic() - began

    async def trim_for_ever(self) -> None:
        """Drop what is far and old, or far and in the way; a little at a time, between two commits."""
        loop = asyncio.get_running_loop()
        while True:
            before = int(time.time() * 1000) - self.settings.retention_days * DAY_MS
            try:
                far = self._far_cursor()
                trimmed = await loop.run_in_executor(self._thread, self._store.trim, before, far)
            except sqlite3.Error:
                trimmed = 0  # the commits find the same, and say so
            self.counters.trimmed += trimmed
            if trimmed < TRIM_ROWS:
                await asyncio.sleep(TRIM_EVERY_SECONDS)

    async def heed_denials(self) -> None:
        """Read the list of denied clients whenever it changed, and let those go; nobody else notices."""
        while True:
            await asyncio.sleep(DENIED_EVERY_SECONDS)
            if self.access.reload():
                for device, connection in list(self._by_device.items()):
                    if self.access.is_denied(device):
                        log("connection_denied", device=device)
                        connection.refuse(BANNED)

    async def stop(self, within: float) -> None:
        """Take nothing more, commit and acknowledge what is pending, then close every connection."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.stop_reading()
        if self._pending:
            self._empty.clear()
            try:
                async with asyncio.timeout(within):
                    await self._empty.wait()
            except TimeoutError:
                log("stopped_with_pending", pending=self._pending, why="they could not be committed in time")
        if self.copies is not None and self.copies.pending:
            await self.copies.empty.wait(within)
        for connection in list(self._connections):
            connection.finish()
        deadline = time.monotonic() + within
        while self._connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def not_ready(self) -> str | None:
        """Why this node should be sent no traffic, or None. The far store has no say in it."""
        if self._stopping:
            return "The application is stopping."
        if self._failing:
            return self._failing
        began = self._commit_began
        if began is not None and time.monotonic() - began > STALLED_SECONDS:
            return f"One commit has been under way for {time.monotonic() - began:.0f} s."
        return self.copies.late() if self.copies is not None else None

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def is_failing(self) -> bool:
        """The store cannot commit."""
        return bool(self._failing)

    @property
    def is_committing(self) -> bool:
        return self._commit_began is not None

    @property
    def pending(self) -> int:
        return self._pending

    @property
    def connected(self) -> int:
        return len(self._by_device)

    def connected_seconds(self) -> float:
        """How long devices have been connected, all of them together, since the process started."""
        now = time.monotonic()
        self._connected_seconds += len(self._by_device) * (now - self._counted_at)
        self._counted_at = now
        return self._connected_seconds

    @property
    def last_commit_age(self) -> float:
        return time.monotonic() - self._last_commit

    # -- what connections call ---------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        if self._stopping or len(self._connections) >= self.settings.max_connections:
            self.counters.connects_refused += 1
            log("connection_refused", connections=len(self._connections), limit=self.settings.max_connections)
            return False
        self._connections.add(connection)
        return True

    def accept(self, connection: Connection, device: str) -> None:
        """A second connection of one device replaces the first, as the protocol demands."""
        self.wills.revoke(device)
        former = self._by_device.get(device)
        self.connected_seconds()  # until now they were as many as they were
        self._by_device[device] = connection
        self.counters.connects_accepted += 1
        if former is not None:
            former.taken_over()

    def forget(self, connection: Connection) -> None:
        device = connection.client.name
        self._connections.discard(connection)
        self.blocked.discard(connection)
        if self._by_device.get(device) is connection:
            self.connected_seconds()
            del self._by_device[device]

    def publish(self, arrival: Arrival) -> None:
        """Something that no connection waits for: a will, a command, an alert."""
        self.counters.publishes_received += 1
        self.submit(None, None, arrival)

    def submit(self, connection: Connection | None, packet_id: int | None, arrival: Arrival) -> None:
        self._pending += 1
        self._queue.append((connection, packet_id, arrival))
        self._something_waits.set()

    def full(self) -> bool:
        copying = self.copies.pending if self.copies is not None else 0
        return self._pending + copying >= self.settings.max_pending

    # -- after a commit ----------------------------------------------------------------------------------------

    def _settle(self, batch: list[Waiting], tally: Tally, seconds: float) -> None:
        # No await in here: counters and acknowledgements change in one step of the loop.
        self._pending -= len(batch)
        counters = self.counters
        counters.committed += tally.committed
        counters.duplicates += tally.duplicates
        counters.quarantined += tally.quarantined
        counters.commit_latency_seconds.observe(seconds)
        counters.batch_size.observe(len(batch))
        self._last_commit = time.monotonic()
        if self._failing:
            log("commits_resumed")
            self._failing = ""
        if self.copies is None:
            self._acknowledge(batch, tally)
        else:
            head = tally.first - 1 + len(tally.kept)
            self.copies.add([arrival for _, _, arrival in batch], head, lambda: self._acknowledge(batch, tally))
        self._on_commit(tally)

    def _acknowledge(self, batch: list[Waiting], tally: Tally) -> None:
        settled: defaultdict[Connection, list[bytes]] = defaultdict(list)
        unreadable = tally.unreadable
        for at, (connection, packet_id, _) in enumerate(batch):
            if connection is None:
                continue
            told = unreadable and at in unreadable and connection.version == V5
            answer = b"" if packet_id is None else puback(packet_id, PAYLOAD_INVALID if told else SUCCESS)
            settled[connection].append(answer)
        for connection, answers in settled.items():
            if connection.settle(len(answers), b"".join(answers)):
                self.counters.puback_total += len(answers) - answers.count(b"")
        for connection in list(self.blocked):
            connection.unblock()

    def _fail(self, error: sqlite3.Error) -> None:
        self.counters.commit_errors += 1
        self._failing = f"The store cannot commit: {error}."
        log("commit_failed", why=str(error), pending=self._pending)
