"""What the far stores of two environments hold, collection by collection: indexes, validators, shapes, roles.

Pure. Field shapes are sampled, so only what a sample can prove is said: a field that has another type, or one that
every document of one side has and none of the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State, unseen

OWN = "(its own)"
"""How a role's own database is written, whose name is not the same everywhere."""
SAMPLED = 50
"""Fewer documents than this prove nothing about a field that is missing."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection. Index and validator are canonical JSON; ``fields`` has each field's types and how many had it."""

    indexes: Mapping[str, str]
    validator: str = ""
    fields: Mapping[str, tuple[frozenset[str], int]] = field(default_factory=dict)
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class Database:
    """``name`` is its real name there; ``roles`` is None where they may not be read."""

    name: str
    collections: Mapping[str, Collection]
    roles: Mapping[str, str] | None = None


Store = Mapping[str, Database]
"""By what a database is called everywhere."""


@dataclass(frozen=True, slots=True)
class Two:
    """The two environments and one database that both have."""

    left: str
    right: str
    database: str
    real: str
    uri: str

    def finding(self, about: str, what: str, weight: Severity, a: str, b: str, why: str, command: str = "") -> Finding:
        both = {self.left: said(a), self.right: said(b)}
        does = f"""python -c 'from pymongo import MongoClient; MongoClient("{self.uri}")["{self.real}"]{command}'"""
        return Finding(
            kind=Kind.DATA,
            about=f"{self.left}:{self.right} {self.database} {about}",
            what=what,
            odd=(self.right,),
            severity=weight,
            state=State.UNEXPLAINED,
            why=why,
            differences=(Difference(f"{self.database}.{about}", both),),
            values=both,
            remedies=(Remedy(f"make {self.right} follow {self.left}", does),) if command else (),
            removed=b == ABSENT,
        )


def findings(left: str, right: str, lefts: Store, rights: Store, uri: str) -> Iterator[Finding]:
    """``uri`` is how the right one's store is reached; it is printed, so it holds no password."""
    for name in lefts.keys() & rights.keys():
        a, b = lefts[name], rights[name]
        two = Two(left, right, name, b.name, uri)
        for collection in sorted(a.collections.keys() | b.collections.keys()):
            yield from collections(two, collection, a.collections.get(collection), b.collections.get(collection))
        if a.roles is not None and b.roles is not None:
            yield from roles(two, a.roles, b.roles)


def unread(environment: str, store: Store) -> Iterator[Finding]:
    """The databases whose roles may not be read: what nobody could look at is not the same on both sides."""
    names = sorted(name for name, one in store.items() if one.roles is None)
    if names:
        why = f"Who may do what in {' and '.join(names)} may not be read."
        blind = unseen(Kind.DATA, (environment,), why, "grant viewRole on these databases to the user of mongo_uri")
        what = f"the roles of {environment}'s databases were not looked at"
        yield replace(blind, about=f"{environment} roles not looked at", what=what)


def collections(two: Two, name: str, a: Collection | None, b: Collection | None) -> Iterator[Finding]:
    if a is None or b is None:
        gone = two.left if a is None else two.right
        weight = Severity.MEDIUM if a is None else Severity.HIGH
        command = "" if a is None else f'.create_collection("{name}")'
        values = (ABSENT, "there") if a is None else ("there", ABSENT)
        why = f"{two.database} has it in the other environment only."
        yield two.finding(f"{name} collection", f"{gone} has no collection {name}", weight, *values, why, command)
        if a is None or b is not None:
            return
        b = Collection({})  # what it had is missing too, and has its own command
        a = replace(a, indexes={key: value for key, value in a.indexes.items() if key != "_id_"}, fields={})
    yield from indexes(two, name, a, b)
    if a.validator != b.validator:
        command = f'.command("collMod", "{name}", validator={python(a.validator or "{}")})'
        why = "What one side refuses to store the other takes."
        values = (a.validator or ABSENT, b.validator or ABSENT)
        yield two.finding(
            f"{name} validator", f"the validator of {name} is not the same", Severity.HIGH, *values, why, command
        )  # fmt: skip
    yield from fields(two, name, a, b)


def indexes(two: Two, name: str, a: Collection, b: Collection) -> Iterator[Finding]:
    for index in sorted(a.indexes.keys() | b.indexes.keys()):
        one, other = a.indexes.get(index, ABSENT), b.indexes.get(index, ABSENT)
        if one == other:
            continue
        about = f"{name} index {index}"
        if other == ABSENT:
            what, weight = f"index {index} of {name} is missing in {two.right}", Severity.HIGH
            why, command = f"Releases were judged in {two.left} with it.", f'["{name}"].{created(index, one)}'
        elif one == ABSENT:
            what, weight = f"index {index} of {name} is in {two.right} alone", Severity.MEDIUM
            why, command = f"Releases were judged in {two.left} without it.", f'["{name}"].drop_index("{index}")'
        else:
            what, weight = f"index {index} of {name} is not the same", Severity.HIGH
            why = "The same name stands for another index."
            command = f'.command("dropIndexes", "{name}", index="{index}"); '
            again = f'MongoClient("{two.uri}")["{two.real}"]["{name}"].{created(index, one)}'
            command += again
        yield two.finding(about, what, weight, one, other, why, command)


def said(value: str) -> str:
    """A value as people read it: of an index its keys with their directions, and whatever else it is."""
    if not value.startswith('{"') or '"key":[' not in value:
        return value
    spec = json.loads(value)
    keys = ", ".join(f"{name} {way}" for name, way in spec.pop("key"))
    return " · ".join([keys, *(f"{name} {json.dumps(option)}" for name, option in sorted(spec.items()))])


def created(index: str, spec: str) -> str:
    """The call that makes an index, from its canonical JSON."""
    said = json.loads(spec)
    keys = [tuple(pair) for pair in said.pop("key")]
    options = "".join(f", {key}={value!r}" for key, value in sorted(said.items()))
    return f'create_index({keys!r}, name="{index}"{options})'.replace("'", '"')


def python(text: str, database: str = "") -> str:
    """Canonical JSON as Python writes it, with a database's own name where it stood."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [named(inner) for inner in value]
        return database if value == OWN else value

    return repr(named(json.loads(text))).replace("'", '"')


def fields(two: Two, name: str, a: Collection, b: Collection) -> Iterator[Finding]:
    enough = min(a.sampled, b.sampled) >= SAMPLED
    for one in sorted(a.fields.keys() | b.fields.keys()):
        (left, many), (right, most) = a.fields.get(one, (frozenset(), 0)), b.fields.get(one, (frozenset(), 0))
        values = (" or ".join(sorted(left)) or ABSENT, " or ".join(sorted(right)) or ABSENT)
        about = f"{name} field {one}"
        if left and right and not left & right:
            why = f"Of {two.left} {a.sampled} documents were sampled, of {two.right} {b.sampled}."
            command = converted(name, one, left)
            yield two.finding(about, f"{one} of {name} has another type", Severity.MEDIUM, *values, why, command)
        elif enough and ((many == a.sampled and not right) or (most == b.sampled and not left)):
            why = f"Each of {a.sampled if right == frozenset() else b.sampled} documents has it on one side, none of "
            why += f"{b.sampled if right == frozenset() else a.sampled} on the other."
            found = two.finding(about, f"{one} of {name} is on one side only", Severity.LOW, *values, why)
            same = Remedy("let the same release write in both", f"turnabout promote {two.left} {two.right}")
            yield replace(found, removed=False, remedies=(same,))


TYPES = {
    "int": "int",
    "Int64": "long",
    "float": "double",
    "str": "string",
    "bool": "bool",
    "datetime": "date",
    "ObjectId": "objectId",
}
"""Types that the store can make of others, by what they are in Python."""


def converted(name: str, path: str, types: frozenset[str]) -> str:
    """The call that makes a field what it is on the other side, of each document of which that can be made."""
    to = next((TYPES[one] for one in sorted(types) if one in TYPES), None)
    if to is None:
        return ""
    change = {"input": f"${path}", "to": to, "onError": f"${path}", "onNull": f"${path}"}
    return f"""["{name}"].update_many({{}}, [{python(json.dumps({"$set": {path: {"$convert": change}}}))}])"""


def roles(two: Two, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Finding]:
    for role in sorted(a.keys() | b.keys()):
        one, other = a.get(role, ABSENT), b.get(role, ABSENT)
        if one == other:
            continue
        command = f'.command("dropRole", "{role}")' if one == ABSENT else ""
        if one != ABSENT:
            verb = "createRole" if other == ABSENT else "updateRole"
            command = f'.command("{verb}", "{role}", privileges={python(one, two.real)}, roles=[])'
        what = f"role {role} is not the same"
        why = "Who may do what in the store is not what was rehearsed."
        yield two.finding(f"role {role}", what, Severity.HIGH, one, other, why, command)
