"""What members a reading may have, as an environment declares it (``schema`` of its settings). Pure.

``schema`` is a list of tables such as
``{ devices = "press-*", members = { reading = { max = 400 }, unit = { type = "text" } } }``.
The first whose pattern fits a device rules it, and it is exact: a member that is not declared, a declared one that is
missing and not ``optional``, another type and a value out of bounds each make the payload unreadable, so it is
acknowledged from quarantine with the reason. Without ``schema`` a reading has the members of ``reading.py`` and no
others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from apps.mqtt.readings.reading import INT64_MAX, MEMBERS, Refused

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
TAKEN = frozenset(("device", "rts", "id", "n", "node"))  # what documents and readers' rows call their own
TYPES = ("number", "integer", "text", "boolean")
MOST_MEMBERS, MOST_TEXT = 16, 256  # besides those of every reading; characters of one


class BadSchema(Exception):
    """A schema cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    type: str
    optional: bool = False
    min: float = -math.inf
    max: float = math.inf
    values: tuple[Any, ...] = ()

    def check(self, value: object) -> None:
        """Raises Refused."""
        if kind_of(self.name, value) not in ((self.type, "integer") if self.type == "number" else (self.type,)):
            raise Refused(f"{self.name} is not {'an' if self.type == 'integer' else 'a'} {self.type}")
        if isinstance(value, int | float) and not self.min <= value <= self.max:
            raise Refused(f"{self.name} is {value:g}, which is not between {self.min:g} and {self.max:g}")
        if self.values and value not in self.values:
            raise Refused(f"{self.name} is {ascii(value)[:40]}, which is none of its values")


@dataclass(frozen=True, slots=True)
class Table:
    devices: str
    members: tuple[Member, ...]

    def check(self, members: Mapping[str, object]) -> None:
        """Raises Refused."""
        undeclared = members.keys() - {member.name for member in self.members}
        if undeclared:
            raise Refused(f"the member {ascii(min(undeclared))[:40]} is not declared")
        for member in self.members:
            if member.name in members:
                member.check(members[member.name])
            elif not member.optional:
                raise Refused(f"{member.name} is missing, which the schema asks for")


@dataclass(frozen=True, slots=True)
class Schema:
    tables: tuple[Table, ...] = ()
    infers: bool = False
    """Development: whatever can be kept is taken, and the declared tables are not held against it."""

    @property
    def is_plain(self) -> bool:
        return not (self.tables or self.infers)

    def take(self, device: str, members: Mapping[str, object]) -> None:
        """Whether a reading may have these members. Raises Refused."""
        more = members.keys() - MEMBERS
        if self.infers:
            for name in more:
                if not NAME.fullmatch(name) or name in TAKEN:
                    raise Refused(f"the member {ascii(name)[:40]} has a name that cannot be kept")
                kind_of(name, members[name])
            if len(more) > MOST_MEMBERS:
                raise Refused(f"it has {len(more)} members of its own; {MOST_MEMBERS} can be kept")
            return
        table = next((table for table in self.tables if fnmatchcase(device, table.devices)), None)
        if table is None:
            raise Refused("the schema declares nothing for this device")
        table.check(members)


def kind_of(name: str, value: object) -> str:
    """The type of a value as schemas call it. Raises Refused for one that cannot be kept."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        if not -INT64_MAX - 1 <= value <= INT64_MAX:
            raise Refused(f"{name} is over 64 bits")
        return "integer"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(f"{name} is not finite")
        return "number"
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise Refused(f"{name} has {len(value)} characters; {MOST_TEXT} can be kept")
        return "text"
    raise Refused(f"{name} is neither a number nor a text nor true or false")


def parse(found: object) -> tuple[Table, ...]:
    """Raises BadSchema."""
    if not isinstance(found, list):
        raise BadSchema("schema is not a list of tables")
    return tuple(_table(each, f"schema[{at}]") for at, each in enumerate(found))


def _table(found: object, where: str) -> Table:
    if not isinstance(found, Mapping) or found.keys() - {"devices", "members"}:
        raise BadSchema(f"{where} is not a table of devices and members")
    devices, members = found.get("devices", "*"), found.get("members")
    if not isinstance(devices, str):
        raise BadSchema(f"{where}: devices is {devices!r}; it must be a pattern such as 'press-*'")
    if not isinstance(members, Mapping) or "reading" not in members:
        raise BadSchema(f"{where}: members is not a table of members with reading among them")
    if len(members.keys() - MEMBERS) > MOST_MEMBERS:
        raise BadSchema(f"{where}: more than {MOST_MEMBERS} members besides those of every reading")
    return Table(devices, tuple(_member(name, each, f"{where}.{name}") for name, each in members.items()))


def _member(name: str, found: object, where: str) -> Member:
    if name not in MEMBERS and (not NAME.fullmatch(name) or name in TAKEN):
        raise BadSchema(f"{where}: a member cannot be called so")
    if not isinstance(found, Mapping):
        raise BadSchema(f"{where} is not a table; of a member that needs none it is {{}}")
    unknown = found.keys() - {"type", "optional", "min", "max", "values"}
    if unknown:
        raise BadSchema(f"{where}: {min(unknown)!r} is not known")
    usual = {"reading": "number", "_pk": "text"}.get(name, "integer" if name in MEMBERS else None)
    kind = found.get("type", usual)
    if kind not in TYPES or (usual is not None and kind not in (usual, "integer" if usual == "number" else usual)):
        raise BadSchema(f"{where}: type is {kind!r}; it must be {usual or ' or '.join(TYPES)}")
    optional, values = found.get("optional", False), found.get("values", [])
    if not isinstance(optional, bool) or not isinstance(values, list):
        raise BadSchema(f"{where}: optional is true or false, and values is a list")
    low, high = found.get("min", -math.inf), found.get("max", math.inf)
    if any(type(bound) not in (int, float) or math.isnan(bound) for bound in (low, high)) or low > high:
        raise BadSchema(f"{where}: min and max are numbers, min the lower one")
    return Member(name, kind, optional, float(low), float(high), tuple(values))
