"""The far store: one write of many readings, and what its answer means for each of them.

Three things can happen to a reading: it is there (now, or since an earlier try), it is refused for what it is, or
nobody knows. Only the first two settle it. Lost permissions, a full quota or a changed primary say nothing about a
reading and must never turn the queue into dead letters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidDocument
from pymongo import MongoClient, WriteConcern
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from apps.mqtt.disk.queries import Row

SELECT_MS, CONNECT_MS, ANSWER_MS = 3_000, 3_000, 15_000
DUPLICATE = 11000
# What a server answers about a document: BadValue, TypeMismatch, InvalidBSON, DollarPrefixedFieldName,
# DottedFieldName, DocumentValidationFailure, BSONObjectTooLarge, KeyTooLong.
ABOUT_THE_DOCUMENT = frozenset((2, 14, 22, 52, 57, 121, 10334, 17280))
# What it answers about itself or about us: HostUnreachable, HostNotFound, Unauthorized, AuthenticationFailed,
# LockTimeout, LockBusy, MaxTimeMSExpired, NetworkTimeout, ShutdownInProgress, WriteConflict, PrimarySteppedDown,
# ExceededTimeLimit, SocketException, AtlasError, NotWritablePrimary, Interrupted*, OutOfDiskSpace.
ABOUT_THE_SERVER = frozenset(
    (6, 7, 13, 18, 24, 46, 50, 89, 91, 112, 189, 262, 9001, 8000, 10107, 11600, 11601, 11602, 13435, 13436, 14031)
)
UNKNOWN_TRIES = 5  # an answer in neither list, given this often about the same reading, is about that reading


class Unreachable(Exception):
    """Nobody knows what became of the batch; send all of it again."""


def database_of(uri: str, zone: str) -> str:
    """``zone_bos``; where environments share one server, the URI's own database comes first: ``stage_zone_bos``."""
    shared = parse_uri(uri)["database"]
    return f"{shared}_zone_{zone.lower()}" if shared else f"zone_{zone.lower()}"


class Far:
    """This zone's own database, and its ``readings``, for which the right to insert is enough."""

    def __init__(self, uri: str, zone: str) -> None:
        self._zone = zone
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri, serverSelectionTimeoutMS=SELECT_MS, connectTimeoutMS=CONNECT_MS, socketTimeoutMS=ANSWER_MS,
            appname="edge-sync", connect=False,
        )  # fmt: skip
        majority = WriteConcern(w="majority", wtimeout=ANSWER_MS)
        self.database = self._client[database_of(uri, zone)]
        self._readings = self.database.get_collection("readings", write_concern=majority)
        self._unknown: dict[bytes, int] = {}

    def insert(self, rows: Sequence[Row]) -> dict[int, str]:
        """Positions in ``rows`` that the far store refuses, and why; all others are there. Raises Unreachable."""
        try:
            self._readings.insert_many([self.document(row) for row in rows], ordered=False)
        except BulkWriteError as error:
            return self.refusals(rows, error.details or {})
        except (InvalidDocument, DocumentTooLarge) as error:
            return self._halve(rows, error)
        except OperationFailure as error:
            if error.code in ABOUT_THE_DOCUMENT:
                return self._halve(rows, error)
            raise Unreachable(_sentence(error)) from error
        except PyMongoError as error:
            raise Unreachable(_sentence(error)) from error
        return {}

    def document(self, row: Row) -> dict[str, Any]:
        return {
            "_id": ObjectId(row.id),
            "_pk": self._zone,
            "device": row.device,
            "epoch": row.epoch,
            "seq": row.seq,
            "reading": row.reading,
            "ts": None if row.ts is None else DatetimeMS(row.ts),
            "rts": DatetimeMS(row.rts),
            **({} if row.more is None else json.loads(row.more)),
        }

    def refusals(self, rows: Sequence[Row], details: Mapping[str, Any]) -> dict[int, str]:
        """The answer of an unordered write: every document was tried, and those that failed are listed."""
        refused: dict[int, str] = {}
        unknown = ""
        for failed in details.get("writeErrors", ()):
            index, code = int(failed["index"]), failed.get("code")
            why = f"{code}: {failed.get('errmsg', 'no reason given')}"
            if code == DUPLICATE and set(failed.get("keyPattern", {"_id": 1})) == {"_id"}:
                continue
            if code in ABOUT_THE_DOCUMENT or code == DUPLICATE:
                refused[index] = why
            elif code in ABOUT_THE_SERVER or not self._tried_enough(rows[index].id):
                unknown = why
            else:
                refused[index] = why
        concerns = details.get("writeConcernErrors") or []
        if unknown or concerns:
            raise Unreachable(unknown or f"the majority has not answered: {concerns[0]}"[:300])
        for row in rows:
            self._unknown.pop(row.id, None)
        return refused

    def _tried_enough(self, name: bytes) -> bool:
        self._unknown[name] = self._unknown.get(name, 0) + 1
        return self._unknown[name] >= UNKNOWN_TRIES

    def _halve(self, rows: Sequence[Row], error: Exception) -> dict[int, str]:
        """The batch was refused as a whole for something in it: find out for what."""
        if len(rows) == 1:
            return {0: _sentence(error)}
        middle = len(rows) // 2
        refused = self.insert(rows[:middle])
        refused.update({middle + index: why for index, why in self.insert(rows[middle:]).items()})
        return refused


def reach(uri: str, zone: str) -> Far:
    """Raises Unreachable: behind an SRV address, the servers' names have to be asked for first."""
    try:
        return Far(uri, zone)
    except (PyMongoError, ValueError) as error:  # ValueError: a port that is none
        raise Unreachable(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
