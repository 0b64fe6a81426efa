"""Shapes of traffic as ``traffic.toml`` states them, read into values. How they are played stands in ``traces``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("traffic.toml")


@dataclass(frozen=True, slots=True)
class Spells:
    """Something that begins every so many seconds on average, lasts for some, and does so many times as much then."""

    every: float
    seconds: float
    times: float = 1.0
    share: float = 0.0
    """Of a stall: the share of events that are slow in it."""


@dataclass(frozen=True, slots=True)
class Wander:
    """The logarithm of a share wanders about its mean by ``spread``; ``kept`` of where it is stays in a second."""

    spread: float
    kept: float
    own: bool = False
    """Each node by itself; else the world's share wanders, for both arms alike."""


@dataclass(frozen=True, slots=True)
class Retries:
    """A client that failed tries ``more`` times on average at once; with chance ``spill`` in the next second too."""

    more: float
    spill: float = 0.0


@dataclass(frozen=True, slots=True)
class Hot:
    """One device on each arm makes this share of its events. When it fails, all of them do, for ``spell`` seconds."""

    share: float
    spell: float = 1.0


@dataclass(frozen=True, slots=True)
class Incident:
    """Something outside of both arms: the share of bad events from a second on; ``later`` for the control."""

    at: int
    bad: float
    later: int = 0


@dataclass(frozen=True, slots=True)
class Cold:
    """The candidate's first seconds, and how many times as slow it is in them."""

    seconds: int
    times: float


@dataclass(frozen=True, slots=True)
class Harm:
    """What the candidate does from a second on: its share of bad events, how much slower it is, what it loses."""

    bad: float | None = None
    slower: float = 1.0
    lost: float = 0.0
    since: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """One shape: events a second on both arms, the share of bad ones, and what makes it unlike the theory."""

    name: str
    says: str
    seed: int
    canary: float
    control: float
    bad: float
    checks: tuple[str, ...] = ("errors",)
    """Any of ``errors``, ``slow`` and ``silence``."""
    once_per: str = ""
    swell: Spells | None = None
    hiccup: Spells | None = None
    ramp: tuple[float, float] = (1.0, 1.0)
    """How many times the usual traffic there is at the beginning and at the end of the watch."""
    wander: Wander | None = None
    retries: Retries | None = None
    clients: float = 0.0
    """So many clients for each event a second make all events; 0: each event has a client of its own."""
    hot: Hot | None = None
    incident: Incident | None = None
    cold: Cold | None = None
    stall: Spells | None = None
    reports_every: float = 0.0
    """Devices that report so many seconds after they connected, and again after as many."""
    harm: Harm | None = None
    p95: float | None = None
    """The seconds within which 95 % of the watches must have found the harm."""
    held_out: bool = False
    promised: bool = True


PARTS = {
    "swell": Spells,
    "hiccup": Spells,
    "wander": Wander,
    "retries": Retries,
    "hot": Hot,
    "incident": Incident,
    "cold": Cold,
    "stall": Spells,
    "harm": Harm,
}


def read(table: Mapping[str, Any]) -> Traffic:
    """One shape. Raises ValueError with its name and what is wrong with it."""
    try:
        values = {key: PARTS[key](**value) if key in PARTS else value for key, value in table.items()}
        values |= {key: tuple(values[key]) for key in ("checks", "ramp") if key in values}
        return Traffic(**values)
    except TypeError as wrong:
        raise ValueError(f"{FILE.name}: {table.get('name', 'a shape without a name')}: {wrong}") from wrong


def shapes(file: Path = FILE) -> tuple[tuple[Traffic, ...], tuple[Traffic, ...]]:
    """The harmless shapes and the harmful ones."""
    told = tomllib.loads(file.read_text())
    return tuple(map(read, told["harmless"])), tuple(map(read, told["harmful"]))
