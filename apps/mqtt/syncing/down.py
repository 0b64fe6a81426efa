"""Downward: what the far store has for this zone's devices, by a change stream that is resumed where it ended.

Two collections of the zone's database are followed. Every document has ``_pk`` (the zone), ``device`` and ``rev``,
which grows with every write in its collection; nothing is deleted, a document gets ``deleted: true`` instead.

- ``commands``: ``{cmd, args, expires_at}``, each carried out once.
- ``config``: one document for each device, ``{value}``. The far store wins, the highest ``rev`` last.

The server sends what is of this zone and nothing else, and what it sends is looked at again here. Where the stream was
away for longer than the far store remembers, everything from the last known ``rev`` on is read again.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import OperationFailure, PyMongoError

from apps.mqtt.broker.access import CLIENT
from apps.mqtt.config import Config
from apps.mqtt.disk.down_store import DownStore, Found, Ignored
from apps.mqtt.disk.queries import Reader
from apps.mqtt.log import log
from apps.mqtt.syncing.far import Far, Unreachable, reach

AWAIT_MS = 1_000
FRESH_SECONDS = 5.0  # between two notes of the place in a stream on which nothing happens
# InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost: this place in the stream leads nowhere.
NO_WAY_ON = frozenset((260, 280, 286))

Document = Mapping[str, Any]


class Down:
    def __init__(self, config: Config, kind: str, store: DownStore, tell: Callable[[], None]) -> None:
        """``tell`` is called when something new is on disk."""
        self.kind = kind
        self._config, self._store, self._tell = config, store, tell
        self._far: Far | None = None
        self._stream: CollectionChangeStream[dict[str, Any]] | None = None
        self._reader: Reader | None = None
        self._kept_at = 0.0

    def exchange(self) -> bool:
        """Raises Unreachable."""
        try:
            return self._exchange()
        except OperationFailure as error:
            self._close()
            if error.code in NO_WAY_ON:
                log("history_lost", direction=self.kind, why=f"{error.code}: all is read again from the last rev on")
                self._store.forget_place(self.kind)
                return True
            raise Unreachable(f"{type(error).__name__}: {str(error)[:300]}") from error
        except PyMongoError as error:
            self._close()
            raise Unreachable(f"{type(error).__name__}: {str(error)[:300]}") from error

    def failed(self) -> None:
        self._store.count_error(self.kind)

    def _exchange(self) -> bool:
        stream = self._stream or self._open()
        change = stream.try_next()  # waits for a while, and no longer than for the first
        if change is not None or time.monotonic() - self._kept_at > FRESH_SECONDS:
            self._take([] if change is None else [change["fullDocument"]], stream.resume_token)
        return True

    def _open(self) -> CollectionChangeStream[dict[str, Any]]:
        self._far = self._far or reach(self._config.mongo_uri, self._config.zone)
        collection = self._far.database[self.kind]
        token, rev = self._store.place(self.kind)
        ours = {"operationType": {"$in": ["insert", "update", "replace"]}, "fullDocument._pk": self._config.zone}
        stream = collection.watch(
            [{"$match": ours}], full_document="updateLookup", resume_after=token, max_await_time_ms=AWAIT_MS
        )
        if token is None:  # the stream is open, so nothing falls between it and what is read now
            found = collection.find({"_pk": self._config.zone, "rev": {"$gte": rev}}).sort("rev")
            self._take(found, stream.resume_token)
        self._stream = stream
        return stream

    def _take(self, documents: Iterable[Document], token: Mapping[str, Any] | None) -> None:
        looked_at = [look_at(self.kind, document, self._config.zone, datetime.now(UTC)) for document in documents]
        if self._store.take(self.kind, looked_at, token):
            self._tell()
            self._reader = self._reader or Reader(self._config.data)  # here: a connection is one thread's
            self._store.trim(self._reader.mark("far"))
        self._kept_at = time.monotonic()

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(PyMongoError):  # it is away anyway
                stream.close()


def look_at(kind: str, document: Document, zone: str, now: datetime) -> Found | Ignored:
    """What a document asks of this zone, or why nothing."""
    device, rev = document.get("device"), document.get("rev")
    if document.get("_pk") != zone:
        return Ignored("foreign")
    if not isinstance(device, str) or not CLIENT.fullmatch(device):
        return Ignored("unknown_device")
    if not isinstance(rev, int) or isinstance(rev, bool):
        return Ignored("no_rev")
    gone = document.get("deleted") is True
    expires = document.get("expires_at")
    if isinstance(expires, datetime):
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
        if expires <= now:
            return Ignored("expired")
    until = int(expires.timestamp() * 1000) if isinstance(expires, datetime) else None
    name = str(document["_id"])
    if kind == "commands":
        if gone:
            return Ignored("withdrawn")
        said = {"id": name, "cmd": document.get("cmd"), "args": document.get("args"), "rev": rev}
        return Found(name, device, rev, json.dumps(said, default=str), until)
    return Found(
        device,
        device,
        rev,
        "" if gone else json.dumps({"value": document.get("value"), "rev": rev}, default=str),
        until,
    )
