"""What others build where the edge application stands: peers of the bench, each a process of its own.

``python -m tests.bench.chains keep PORT FILE``: a subscriber behind a broker, which acknowledges a message when SQLite
has it on disk (paho, manual acknowledgement, a commit for whatever gathered). Devices are acknowledged by the broker.
``python -m tests.bench.chains insert PORT URI``: a server of MQTT that inserts each message into mongod by itself,
journaled, and acknowledges it then: the shape of the application that this one takes the place of.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from apps.mqtt.wire.decode import Decoder
from apps.mqtt.wire.packets import Connect, Publish, connack, puback

MOST = 2_000  # messages in one commit of the subscriber


def keep(port: int, file: Path) -> None:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion

    came: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, "keeper", clean_session=False, manual_ack=True)
    client.on_message = lambda _client, _userdata, message: came.put(message)
    client.on_connect = lambda client, *_: client.subscribe("f/#", 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    db = sqlite3.connect(file, isolation_level=None)
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS kept (topic, payload);"
    )
    while True:
        batch = [came.get()]
        with suppress(queue.Empty):
            while len(batch) < MOST:
                batch.append(came.get_nowait())
        db.execute("BEGIN")
        db.executemany("INSERT INTO kept VALUES (?, ?)", [(message.topic, message.payload) for message in batch])
        db.execute("COMMIT")
        for message in batch:
            client.ack(message.mid, message.qos)


class Inserting(asyncio.Protocol):
    """One connection. As many inserts are under way as its device has messages in flight: more than the shape asks."""

    def __init__(self, readings: Any) -> None:
        self._readings, self._decoder = readings, Decoder(65_536)
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._decoder.feed(data)
        while (packet := self._decoder.next_packet()) is not None:
            if isinstance(packet, Connect):
                self._transport.write(connack(0))
            elif isinstance(packet, Publish) and packet.packet_id is not None:
                task = asyncio.create_task(self._insert(packet, packet.packet_id))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _insert(self, packet: Publish, packet_id: int) -> None:
        await self._readings.insert_one({"topic": packet.topic, "payload": packet.payload})
        if not self._transport.is_closing():
            self._transport.write(puback(packet_id))


async def insert(port: int, uri: str) -> None:
    from pymongo import AsyncMongoClient, WriteConcern

    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    readings = client["peer"].get_collection("readings", write_concern=WriteConcern(w=1, j=True))
    server = await asyncio.get_running_loop().create_server(lambda: Inserting(readings), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    what, port, where = sys.argv[1:]
    if what == "keep":
        keep(int(port), Path(where))
    else:
        asyncio.run(insert(int(port), where))
