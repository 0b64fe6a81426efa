"""Resources as values, and what differs between two lists of them: matched by what they are, compared value by value.

A resource is who it is by its kind and its logical name, which no environment's name is part of. Text that holds a
document (a policy, a node's facts, a balancer's configuration) is compared as that document, so that a difference is
named by its place in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.drift.finding import ABSENT

Leaf = tuple[str, str]
"""A resource, and a path in it; the empty path is the resource itself."""


@dataclass(frozen=True, slots=True)
class Resource:
    kind: str
    name: str
    values: Mapping[str, Any]
    """Path to value, flat."""
    place: str
    secret: frozenset[str]
    """Paths whose values are never shown."""

    @property
    def id(self) -> str:
        return f"{self.kind} {self.name}"


Resources = Mapping[str, Resource]
"""By who they are."""
THERE, GONE = "there", object()


def read(declared: Iterable[Mapping[str, Any]]) -> dict[str, Resource]:
    """Resources as the program declared them."""
    found = (resource(one) for one in declared)
    return {one.id: one for one in found}


def resource(one: Mapping[str, Any]) -> Resource:
    values = dict(flat({**one["inputs"], **{f"({key})": value for key, value in one["options"].items()}}))
    secret = frozenset(
        path for path in values if any(path == key or path.startswith(f"{key}.") for key in one["secret"])
    )
    return Resource(short(one["kind"]), one["name"], values, one["place"], secret)


def short(kind: str) -> str:
    """``aws:ec2/instance:Instance`` as people say it: ``aws.ec2.Instance``."""
    package, module, name = kind.split(":")
    group = module.partition("/")[0]
    return f"{package}.{name}" if group == "index" else f"{package}.{group}.{name}"


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its path. An empty table or list is a value too: it differs from none."""
    value = document(value)
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for key, inner in keyed(value):
            yield from flat(inner, f"{path}[{key}]")
    else:
        yield path, value


NAMES = {"name": 2, "action": 1, "roleName": 1}
"""What an element of a list may be called by, and of how many at least."""


def keyed(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """The elements of a list, by their own names where each has one: a new one then moves no other."""
    for key, least in NAMES.items():
        names = [one.get(key) if isinstance(one, dict) else None for one in values]
        if len(names) >= least and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return zip(names, values, strict=True)
    return enumerate(values)


def document(value: Any) -> Any:
    """The document that a text holds, if it holds one: JSON as it is, other text of many lines line by line."""
    if not isinstance(value, str):
        return value
    if value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return dict(sections(value)) if value.count("\n") > 2 else value


def sections(text: str, words_of_a_line: int = 2) -> Iterator[tuple[str, str]]:
    """A configuration's lines by their first words, so that a line more does not shift every line after it."""
    section, seen = "", dict[str, int]()
    for line in filter(str.strip, text.splitlines()):
        words = line.split()
        if not line[0].isspace():
            section = " ".join(words[:2])
        key = section if not line[0].isspace() else f"{section}/{' '.join(words[:words_of_a_line])}"
        seen[key] = seen.get(key, 0) + 1
        yield key if seen[key] == 1 else f"{key} ({seen[key]})", line.strip()


def differing(left: Resources, right: Resources) -> dict[Leaf, tuple[Any, Any]]:
    """Each leaf whose value is not the same on both sides. GONE: it is not there on that side."""
    found: dict[Leaf, tuple[Any, Any]] = {}
    for id in [*left, *(id for id in right if id not in left)]:
        one, other = left.get(id), right.get(id)
        if one is None or other is None:
            found[id, ""] = (GONE if one is None else THERE, GONE if other is None else THERE)
            continue
        for path in [*one.values, *(path for path in other.values if path not in one.values)]:
            a, b = one.values.get(path, GONE), other.values.get(path, GONE)
            if a is GONE or b is GONE or a != b or type(a) is not type(b):
                found[id, path] = (a, b)
    return found


def shown(value: Any, secret: bool = False) -> str:
    """A value as a report writes it."""
    if value is GONE:
        return ABSENT
    if secret:
        return "(secret)"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def listed(names: Sequence[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
