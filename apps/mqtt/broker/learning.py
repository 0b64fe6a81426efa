"""Development: what members arrive is inferred and written down for review, as a schema that can be declared.

With ``schema_mode = "infer"`` the file ``schema.inferred.toml`` of the data directory says what devices sent, kind by
kind: those that are called the same but for a number are one kind. It is written anew when it changed, and bounded.
Nothing reads it: a person does, and declares what is meant. Bounds that were seen stand in it as remarks.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.mqtt.disk.store import Arrival
from apps.mqtt.log import log
from apps.mqtt.readings.reading import MEMBERS
from apps.mqtt.readings.schema import kind_of

FILE = "schema.inferred.toml"
EVERY_SECONDS = 2.0
MOST_KINDS, MOST_MEMBERS, MOST_DEVICES = 64, 32, 10_000
NUMBER = re.compile(r"\d+")


@dataclass(slots=True)
class Seen:
    """One member: in how many readings, of which types, between which values."""

    count: int = 0
    types: set[str] = field(default_factory=set)
    low: float | None = None
    high: float | None = None

    def see(self, name: str, value: object) -> None:
        self.count += 1
        self.types.add(kind_of(name, value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)

    @property
    def type(self) -> str | None:
        """None: it was of types that no declaration allows together."""
        kinds = {"number"} if self.types == {"number", "integer"} else self.types
        return next(iter(kinds)) if len(kinds) == 1 else None


@dataclass(slots=True)
class Kind:
    readings: int = 0
    devices: set[str] = field(default_factory=set)
    members: dict[str, Seen] = field(default_factory=dict)


class Learning:
    def __init__(self, data: Path, zone: str) -> None:
        self._file, self._zone = data / FILE, zone
        self._kinds: dict[str, Kind] = {}
        self._is_new = False

    def look(self, kept: Iterable[Arrival]) -> None:
        for arrival in kept:
            pattern = NUMBER.sub("*", arrival.device)
            kind = self._kinds.get(pattern)
            if kind is None:
                if len(self._kinds) >= MOST_KINDS:
                    continue
                kind = self._kinds[pattern] = Kind()
            self._see(kind, arrival.device, json.loads(arrival.payload))

    def _see(self, kind: Kind, device: str, payload: Any) -> None:
        kind.readings += 1
        if len(kind.devices) < MOST_DEVICES:
            kind.devices.add(device)
        told = payload if isinstance(payload, dict) else {"reading": payload}
        for name, value in told.items():
            if name in kind.members or len(kind.members) < MOST_MEMBERS:
                kind.members.setdefault(name, Seen()).see(name, value)
        self._is_new = True

    async def write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._is_new:
                self._is_new = False
                self.write()

    def write(self) -> None:
        """Whole or not at all."""
        beside = self._file.with_suffix(".new")
        try:
            beside.write_text(self.text(), "utf-8")
            beside.replace(self._file)
        except OSError as error:
            log("schema_not_written", why=str(error))

    def text(self) -> str:
        lines = [
            f"# What devices of zone {self._zone} sent, inferred. Review it, and declare what is meant in [app.mqtt]:",
            "schema = [",
        ]
        for pattern, kind in sorted(self._kinds.items()):
            lines.append(f"    # {pattern}: {len(kind.devices)} devices, {kind.readings} readings")
            lines += [f"    #   {remark}" for remark in _remarks(kind)]
            members = ", ".join(_member(name, seen, kind) for name, seen in kind.members.items() if seen.type)
            lines.append(f"    {{ devices = {json.dumps(pattern)}, members = {{ {members} }} }},")
        return "\n".join([*lines, "]", ""])


def _member(name: str, seen: Seen, kind: Kind) -> str:
    said = [] if name in MEMBERS and name != "reading" else [f'type = "{seen.type}"']
    if seen.count < kind.readings:
        said.append("optional = true")
    return f"{name} = {{ {', '.join(said)} }}" if said else f"{name} = {{}}"


def _remarks(kind: Kind) -> Iterable[str]:
    for name, seen in kind.members.items():
        if seen.type is None:
            yield f"{name} was {' and '.join(sorted(seen.types))}: it cannot be declared as both"
        elif seen.low is not None and name not in ("seq", "epoch", "ts"):
            yield f"{name} was from {seen.low:g} to {seen.high:g}"
