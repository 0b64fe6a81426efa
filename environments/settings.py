"""The settings of environments as they are written: each with its name, its value and its line.

Two environments differ by their settings; ``apart`` lists them, and ``put`` says what one environment would be with
some settings of another. Such an environment is for asking "what if": its parts are read, and the rules that bind keys
together are not asked, because half of another environment need not obey them.

A setting is what one line assigns: ``infra.zones.BOS`` whole, not each subnet in it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments.overlay import BASE, Table, read_layers
from environments.problems import BadEnvironment, Complaint, Problem, dotted, in_folder
from environments.schema import Environment, value_of
from environments.whole import parse_parts

KeyNames = tuple[str, ...]
HEADER = re.compile(r"\[+\s*([^\]]+?)\s*\]+")
ASSIGNED = re.compile(r"([A-Za-z0-9_.\"-]+)\s*=")
NOTHING = object()
"""The value of a setting that an environment does not have."""


@dataclass(frozen=True, slots=True)
class Written:
    """One environment as its files say it: their tables laid over each other, and where each setting stands."""

    name: str
    table: Table
    places: Mapping[KeyNames, str]
    """Setting to file and line, such as ``environments/prod.toml:24``."""

    def value(self, path: KeyNames) -> Any:
        found: Any = self.table
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return NOTHING
            found = found[part]
        return found

    def place(self, path: KeyNames) -> str:
        """Where a setting stands, or the file in which it would."""
        return self.places.get(path, in_folder(f"{self.name}.toml"))


@dataclass(frozen=True, slots=True)
class Apart:
    """A setting that two environments do not share. NOTHING: it is not said there."""

    path: KeyNames
    left: Any = field(hash=False)  # a table may be a value
    right: Any = field(hash=False)

    @property
    def name(self) -> str:
        return ".".join(self.path)


def written(folder: Path, name: str) -> Written:
    """An environment of a checkout's folder, as it is written. Raises BadEnvironment when it is no TOML."""

    def read(file: str) -> bytes | None:
        path = folder / file
        return path.read_bytes() if path.is_file() else None

    file = f"{name}.toml"
    layers = read_layers(read, file)
    places: dict[KeyNames, str] = {}
    for one in (BASE, file):
        for path, line in lines((read(one) or b"").decode()):
            places[path] = f"{in_folder(one)}:{line}"
    merged = layers.merged()
    if "infra" not in layers.overlay:
        merged.pop("infra", None)
    return Written(name, merged, places)


def lines(text: str) -> Iterator[tuple[KeyNames, int]]:
    """Each setting of a TOML file and its line. Tables are followed by their headers, not into inline tables."""
    table: KeyNames = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := HEADER.match(line):
            table = _parts(found[1])
            if line.startswith("[["):
                yield table, number
        elif found := ASSIGNED.match(line):
            yield (*table, *_parts(found[1])), number


def _parts(key: str) -> KeyNames:
    return tuple(part.strip().strip('"') for part in key.split("."))


def apart(left: Written, right: Written) -> tuple[Apart, ...]:
    """Every setting by which ``right`` differs from ``left``."""
    known = {path for one in (left, right) for path in one.places}
    return tuple(_apart(left.table, right.table, (), known))


def _apart(left: Any, right: Any, path: KeyNames, known: set[KeyNames]) -> Iterator[Apart]:
    if left == right:
        return
    both = isinstance(left, dict) and isinstance(right, dict)
    either = (isinstance(left, dict) or left is NOTHING) and (isinstance(right, dict) or right is NOTHING)
    if path in known or not (both or either):
        yield Apart(path, left, right)
        return
    a, b = (side if isinstance(side, dict) else {} for side in (left, right))
    for key in [*a, *(key for key in b if key not in a)]:
        yield from _apart(a.get(key, NOTHING), b.get(key, NOTHING), (*path, key), known)


def put(table: Table, settings: Sequence[tuple[KeyNames, Any]]) -> dict[str, Any]:
    """``table`` with these settings in it; NOTHING takes one out."""
    made = copy.deepcopy(dict(table))
    for path, value in settings:
        under = made
        for part in path[:-1]:
            under = under.setdefault(part, {})
        if value is NOTHING:
            under.pop(path[-1], None)
        else:
            under[path[-1]] = copy.deepcopy(value)
    return made


def imagined(name: str, table: Table) -> Environment:
    """The environment that a table makes, under any name. Raises BadEnvironment when a part of it cannot be read."""
    found: list[Complaint] = []
    whole = parse_parts(table, "infra" in table, found).whole()
    if whole is None or found:
        raise BadEnvironment([Problem("", dotted(one.at), one.reason) for one in found])
    return value_of(name, whole)
