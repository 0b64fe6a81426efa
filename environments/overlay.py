"""Two files become one: TOML is read, an overlay is laid on the base, and keys in the wrong file are found.

Tables merge key by key; anything else in the overlay (a number, an array) takes the base's place. An overlay holds
only what may differ between environments. Three kinds of key have one home:

- the base alone says what a rehearsal in one environment proves about the next (how long a wave takes, how long
  silence is borne, how often the branch is read);
- the overlay alone says which environment this is (its branch, where its releases come from, its network);
- an application's settings are *declared* in the base with a default, and an overlay may give another value of the
  same type. The base is promoted with the code and an overlay is not: so a new setting arrives in every environment
  together with the code that reads it.

What the keys must look like is in ``model.py``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from environments.problems import (
    BadEnvironment,
    Complaint,
    KeyPath,
    Problem,
    dotted,
    in_folder,
    kind_of,
    nearest,
    no_toml,
)

BASE = "base.toml"
Table = Mapping[str, Any]

BASE_ONLY: frozenset[KeyPath] = frozenset(
    {("poll_seconds",), ("budget", "wave_seconds"), ("judge", "silence_seconds")},
)
OVERLAY_ONLY: frozenset[KeyPath] = frozenset({("branch",), ("promotes_from",), ("infra", "vpc")})


@dataclass(frozen=True, slots=True)
class Layers:
    """The base and one overlay, and which of the two a key stands in."""

    base: Table
    overlay: Table
    overlay_file: str

    def merged(self) -> dict[str, Any]:
        return _merge(self.base, self.overlay)

    def problem(self, complaint: Complaint) -> Problem:
        path = next((path for path in (complaint.at, *complaint.also) if _has(self.overlay, path)), complaint.at)
        return Problem(in_folder(self.file_of(path)), dotted(path), complaint.reason)

    def file_of(self, path: KeyPath) -> str:
        """The file to open for ``path``; for a key that is in neither, the file in which it is to be written."""
        if _has(self.overlay, path):
            return self.overlay_file
        if _has(self.base, path):
            return BASE
        if len(path) > 1:
            return BASE if _has(self.base, path[:-1]) else self.file_of(path[:-1])
        return self.overlay_file if path in OVERLAY_ONLY or path == ("fleet",) else BASE

    def misplaced(self) -> Iterator[Problem]:
        """Each key that stands in a file where it may not."""
        for path in sorted(OVERLAY_ONLY):
            if _has(self.base, path):
                reason = f"this key says which environment it is; move it to {in_folder('<environment>.toml')}"
                yield Problem(in_folder(BASE), dotted(path), reason)
        for path in sorted(BASE_ONLY):
            if _has(self.overlay, path):
                reason = f"this may not differ between environments; set it in {in_folder(BASE)}"
                yield Problem(in_folder(self.overlay_file), dotted(path), reason)
        yield from map(self.problem, _undeclared(self.base.get("app"), self.overlay.get("app"), ("app",)))


def read_layers(read: Callable[[str], bytes | None], overlay_file: str) -> Layers:
    """The base and an overlay as they are written. Raises BadEnvironment if either is missing or is not TOML."""
    tables: list[Table] = []
    problems: list[Problem] = []
    for file in (BASE, overlay_file):
        content = read(file)
        missing = Problem(in_folder(file), "", "this file is missing; write it")
        table = missing if content is None else read_toml(file, content)
        if isinstance(table, Problem):
            problems.append(table)
        else:
            tables.append(table)
    if problems:
        raise BadEnvironment(problems)
    return Layers(tables[0], tables[1], overlay_file)


def read_toml(file: str, content: bytes) -> dict[str, Any] | Problem:
    """The tables of one file, or the one complaint that names its line."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Problem(in_folder(file), *no_toml(content, error))


def _merge(base: Table, overlay: Table) -> dict[str, Any]:
    both = dict(base)
    for key, value in overlay.items():
        under = base.get(key)
        both[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def _has(table: object, path: KeyPath) -> bool:
    for part in path:
        if isinstance(table, list):
            table = dict(enumerate(table))
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def _undeclared(base: object, overlay: object, at: KeyPath) -> Iterator[Complaint]:
    """Settings of the overlay that the base does not declare, or declares as something else."""
    if not isinstance(overlay, dict):
        return
    declared = base if isinstance(base, dict) else {}
    for key, value in overlay.items():
        path = (*at, key)
        if key not in declared:
            reason = f"{in_folder(BASE)} does not declare this {nearest(key, declared)}; give it a default there first"
            yield Complaint(path, reason)
        elif isinstance(declared[key], dict) and isinstance(value, dict):
            yield from _undeclared(declared[key], value, path)
        elif not _same_kind(declared[key], value):
            kinds = f"this is {kind_of(value)}, but {in_folder(BASE)} declares {kind_of(declared[key])}"
            yield Complaint(path, f"{kinds}; write {kind_of(declared[key])}")


def _same_kind(declared: object, value: object) -> bool:
    return type(declared) is type(value) or (isinstance(declared, float) and type(value) is int)
