"""What a far store holds: collections, indexes, validators, sampled field shapes, roles; pymongo asks, and only reads.

Every call has a time limit, and every database a bound on what is asked of it. Roles that a user may not read are None.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from controller.drift.stores import OWN, Collection, Database, Store
from controller.errors import Refused, Unreachable

SECONDS, SAMPLED, MOST = 5.0, 200, 500
"""Seconds for a call, documents for a sample, collections of a database."""


class MongoStores:
    """A far store by its address. ``names`` are databases by what they are called in every environment."""

    def __init__(self, uri: str) -> None:
        self.uri, self.calls = uri, 0

    def store(self, names: Mapping[str, str]) -> Store:
        """The databases that are there, of those that are named. Raises Unreachable, Refused."""
        import pymongo
        from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

        attempt = f"asking the far store at {printable(self.uri)}"
        try:
            with pymongo.MongoClient[dict[str, Any]](
                self.uri, serverSelectionTimeoutMS=int(SECONDS * 1000), timeoutMS=int(SECONDS * 1000)
            ) as client:
                return {name: self._database(client[real]) for name, real in names.items()}
        except OperationFailure as no:
            said = str((no.details or {}).get("errmsg") or no)
            raise Refused(attempt, said, "Give its user the role readAnyDatabase.") from no
        except ConfigurationError as no:
            raise Refused(attempt, str(no), "Look at mongo_uri in the platform's outputs.") from no
        except PyMongoError as error:
            raise Unreachable(attempt, str(error).partition(", Timeout:")[0], "Look whether it runs.") from error

    def _database(self, database: Any) -> Database:
        self.calls += 1
        listed = [one for one in database.list_collections() if not one["name"].startswith("system.")]
        if len(listed) > MOST:
            said = f"{database.name} has {len(listed):,} collections, and at most {MOST} are looked at"
            raise Refused(f"asking the far store at {printable(self.uri)}", said, "Look whether they belong there.")
        found = {one["name"]: self._collection(database, one) for one in listed if one.get("type") != "view"}
        return Database(database.name, found, self._roles(database))

    def _collection(self, database: Any, listed: Mapping[str, Any]) -> Collection:
        collection = database[listed["name"]]
        self.calls += 2
        indexes = {name: index(spec) for name, spec in collection.index_information().items()}
        documents = list(collection.aggregate([{"$sample": {"size": SAMPLED}}]))
        validator = listed.get("options", {}).get("validator")
        return Collection(indexes, canonical(validator) if validator else "", shape(documents), len(documents))

    def _roles(self, database: Any) -> dict[str, str] | None:
        from pymongo.errors import OperationFailure

        self.calls += 1
        try:
            said = database.command("rolesInfo", 1, showPrivileges=True)
        except OperationFailure:
            return None
        return {role["role"]: canonical(privileges(role["privileges"], database.name)) for role in said["roles"]}


def index(spec: Mapping[str, Any]) -> str:
    return canonical({key: value for key, value in spec.items() if key not in ("v", "ns")})


def privileges(given: list[dict[str, Any]], database: str) -> list[dict[str, Any]]:
    """As they were given: a role's own database goes without its name, which may differ between environments."""
    return [{**one, "resource": {**one["resource"], "db": own(one["resource"].get("db"), database)}} for one in given]


def own(named: Any, database: str) -> Any:
    return OWN if named == database else named


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def shape(documents: list[dict[str, Any]]) -> dict[str, tuple[frozenset[str], int]]:
    """Each field's types and in how many documents it is; one level of a nested document by its path."""
    types: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for document in documents:
        for path, value in fields(document):
            types.setdefault(path, set()).add(type(value).__name__)
            counts[path] = counts.get(path, 0) + 1
    return {path: (frozenset(kinds), counts[path]) for path, kinds in types.items()}


def fields(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        yield key, value
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", one) for inner, one in value.items())


def printable(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
