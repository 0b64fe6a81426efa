"""The far half of a synthetic device's round: its reading in the far store, and a command back to it from there.

It asks the far store as whoever operates it, not as the node: a node may not read its own readings, and writes no
commands. Needed are ``find`` on the zone's ``readings``; ``find``, ``insert``, ``update`` on its ``commands``. Each
probe device has one command document, which gets a new ``rev`` each time; it is carried out by nobody and expires.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from apps.mqtt.readings.reading import Reading, identity
from apps.mqtt.syncing.far import database_of
from apps.mqtt.wire.packets import Connect, Disconnect, PubAck, Subscribe, encode

LOOK_SECONDS = 0.02
EXPIRES_SECONDS = 60
REV_TRIES = 20  # another writer of commands may take the same number at the same time

Left = Callable[[], float]
"""Seconds that are left; raises when there are none."""


class FarFailed(Exception):
    """Which leg did not come to its end; the message goes on the sentence that the probe prints."""


def far_round(
    uri: str, zone: str, device: str, epoch: int, mqtt: tuple[str, int], acknowledged: float, left: Left
) -> dict[str, float]:
    """Raises FarFailed, OSError or what ``left`` raises. ``acknowledged`` is when the PUBACK came (monotonic)."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        uri, tz_aware=True, appname="edge-probe", serverSelectionTimeoutMS=_ms(left()), socketTimeoutMS=_ms(left())
    )
    with client:
        far = client[database_of(uri, zone)]
        try:
            _wait_for_reading(far, ObjectId(identity(zone, device, Reading(0, 1, epoch))), left)
            arrived = time.monotonic()
            with socket.create_connection(mqtt, left()) as peer:
                heard = _Packets(peer, left)
                _listen(heard, zone, device)
                sent = time.monotonic()
                rev = _command(far, zone, device, epoch)
                _wait_for_command(heard, rev)
                back = time.monotonic()
                peer.sendall(encode(Disconnect()))
        except PyMongoError as error:
            raise FarFailed(f"the far store does not answer as it should: {type(error).__name__}: {error}") from None
    return {"far_ms": _between(acknowledged, arrived), "command_ms": _between(sent, back)}


def _wait_for_reading(far: Database[dict[str, Any]], name: ObjectId, left: Left) -> None:
    while far["readings"].find_one({"_id": name}, {"_id": 1}) is None:
        _left_for(left, "the reading is at the edge, but did not reach the far store")
        time.sleep(LOOK_SECONDS)


def _command(far: Database[dict[str, Any]], zone: str, device: str, epoch: int) -> int:
    """Write the device's command document; the ``rev`` that it got."""
    commands = far["commands"]
    name = f"probe-command-{device}"
    for _ in range(REV_TRIES):
        newest = commands.find_one({"_pk": zone}, {"rev": 1}, sort=[("rev", -1)])
        rev = 1 + (newest["rev"] if newest is not None else 0)
        document = {
            "_pk": zone, "device": device, "rev": rev, "cmd": "probe", "args": {"epoch": epoch},
            "expires_at": datetime.now(UTC) + timedelta(seconds=EXPIRES_SECONDS),
        }  # fmt: skip
        try:
            commands.update_one({"_id": name, "rev": {"$lt": rev}}, {"$set": document}, upsert=True)
        except DuplicateKeyError:
            continue  # another probe of this device was faster
        return rev
    raise FarFailed("no rev could be had for the command: somebody writes commands without end")


def _listen(heard: _Packets, zone: str, device: str) -> None:
    heard.peer.sendall(encode(Connect(device, keep_alive=30)))
    if heard.next() != (0x20, b"\0\0"):
        raise FarFailed("the second CONNECT was not accepted")
    heard.peer.sendall(encode(Subscribe(1, ((f"f/{zone}/{device}/cmd", 1),))))
    if heard.next() != (0x90, b"\0\1\1"):
        raise FarFailed("the SUBSCRIBE to its commands was not granted")


def _wait_for_command(heard: _Packets, rev: int) -> None:
    while True:
        first, body = heard.next("the reading is in the far store, but no command came back")
        if first & 0xF0 != 0x30:
            continue
        end = 2 + int.from_bytes(body[:2], "big")
        if first & 0x06:
            heard.peer.sendall(encode(PubAck(int.from_bytes(body[end : end + 2], "big"))))
            end += 2
        if json.loads(body[end:]).get("rev") == rev:
            return


class _Packets:
    """What the server sends, packet by packet."""

    def __init__(self, peer: socket.socket, left: Left) -> None:
        self.peer = peer
        self._left = left

    def next(self, why: str = "the edge does not answer") -> tuple[int, bytes]:
        first, length, shift = self._take(1, why)[0], 0, 0
        while True:
            (byte,) = self._take(1, why)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self._take(length, why)

    def _take(self, count: int, why: str) -> bytes:
        got = b""
        while len(got) < count:
            self.peer.settimeout(_left_for(self._left, why))
            try:
                part = self.peer.recv(count - len(got))
            except TimeoutError:
                continue  # the next look at the time says so
            if not part:
                raise FarFailed(f"{why}: the connection was closed")
            got += part
        return got


def _left_for(left: Left, why: str) -> float:
    try:
        return left()
    except Exception as error:
        raise FarFailed(f"{why}: {error}") from None


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _between(began: float, ended: float) -> float:
    return round((ended - began) * 1000, 2)
