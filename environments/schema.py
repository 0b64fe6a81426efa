"""Environments as data: the frozen values that the platform works with, and how they are loaded.

An environment is ``base.toml`` with ``<name>.toml`` laid on it. It is read once, checked whole, and handed out as the
values below; whoever holds an Environment holds a good one. The keys of the files are described in ``model.py``, where
a key may stand in ``overlay.py``, what keys may not say together in ``rules.py``; ``whole.py`` asks all three. Which
application needs which settings is the application's matter: here they are JSON.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim

from environments.infra_values import Infra, infra_of
from environments.model import APP_NAME, ENVIRONMENT_NAME
from environments.overlay import Table, read_layers, read_toml
from environments.problems import BadEnvironment, Problem, in_folder, nearest, shown
from environments.whole import Whole, check

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
RESERVED = ("base", "reference", "waivers")  # files beside the environments that are none


@dataclass(frozen=True, slots=True)
class Budget:
    """The 180 rule, in seconds. The margin comes out of ``revert``."""

    deploy: float
    watch: float
    revert: float
    margin: float

    @property
    def end(self) -> float:
        """Seconds after T0 at which a node that heard nothing more goes back by itself."""
        return self.deploy + self.watch + self.margin

    @property
    def limit(self) -> float:
        """Seconds after T0 by which a candidate that was not promoted is gone from every living node."""
        return self.deploy + self.watch + self.revert


@dataclass(frozen=True, slots=True)
class Judge:
    """How sure a judgement must be, and what it must at least be able to see.

    ``alpha``: the chance that a harmless release is reverted. ``silence``: seconds without an answer that blind.
    ``smallest_harm``: a rise in the share of bad events smaller than this need not be visible for a PASS, whatever a
    check asks for: environments with little traffic state here what they cannot see. ``prometheus``: the address of the
    metrics server that checks of that kind ask; empty where there is none.
    """

    alpha: float
    silence: float
    smallest_harm: float = 0.0
    prometheus: str = ""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A window that begins whenever ``cron`` says so in ``timezone``, and lasts ``hours``."""

    name: str
    cron: str
    hours: float
    timezone: str

    def active(self, at: datetime) -> bool:
        """Whether ``at``, a time that knows its zone, lies in the window: its first second does, its last does not."""
        if at.tzinfo is None:
            raise ValueError("a freeze is asked about a time that knows its zone; this one has none")
        # Wall clocks are ambiguous when they go back: look from two hours later on, and compare instants only.
        later = at.astimezone(ZoneInfo(self.timezone)) + timedelta(hours=2)
        for began in CronSim(self.cron, later, reverse=True):
            if began.timestamp() <= at.timestamp():
                return at.timestamp() - began.timestamp() < self.hours * 3600
        return False


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes that run one application. ``waves[i]`` counts, by zone, the nodes that left last good by wave i."""

    app: str
    zones: tuple[str, ...]
    nodes_per_zone: int
    waves: tuple[Mapping[str, int], ...]
    synthetic_per_second: float
    synthetic_at_most: float = 0.0
    """How far the controller may raise its own requests to a fleet that is too quiet to be judged; 0: not at all."""

    def node_names(self) -> tuple[tuple[str, str], ...]:
        """Every node as (zone, name), zone by zone: ``("BOS", "bos-a")``."""
        return tuple((zone, name) for zone in self.zones for name in _names_in(zone, self.nodes_per_zone))

    def wave_nodes(self, i: int) -> tuple[str, ...]:
        """The nodes that run the candidate once wave ``i`` is done, those of the earlier waves among them."""
        return tuple(name for zone in self.zones for name in _names_in(zone, self.waves[i].get(zone, 0)))


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment, whole and checked. ``settings`` has an entry for each fleet's application, if only an empty one.

    ``poll_seconds`` is the time between two readings of the branch's head; the judge's looks do not depend on it.
    ``infra`` is None where an environment is not in the cloud.
    """

    name: str
    branch: str
    promotes_from: str | None
    signers: str | None
    budget: Budget
    judge: Judge
    freezes: tuple[Freeze, ...]
    fleets: Mapping[str, Fleet]
    settings: Mapping[str, Mapping[str, Json]]
    poll_seconds: float
    require_approval: bool
    infra: Infra | None = None
    drift_every: float = 0.0
    """Seconds between two looks at drift that the controller makes by itself; 0: none."""


def load(read: Callable[[str], bytes | None], name: str, apps: Collection[str] | None = None) -> Environment:
    """The environment ``name``. ``read("base.toml")`` gives a file's bytes or None: from a folder, or from a commit.

    ``apps`` are the folders under ``apps/``, where the caller knows them: a fleet without one is then complained of.
    Raises BadEnvironment, which holds every complaint.
    """
    file = f"{name}.toml"
    if not is_environment(file):
        reason = f"{shown(name)} cannot name an environment; write small letters, digits and hyphens"
        raise BadEnvironment([Problem(in_folder(file), "", f"{reason}, and none of {', '.join(RESERVED)}")])
    layers = read_layers(read, file)
    return value_of(name, check(layers, name, lambda other: _overlay_of(read, other), apps))


def from_folder(folder: Path, name: str) -> Environment:
    """The environment ``name`` of a checkout's ``environments`` folder; ``apps/`` beside it is looked at if there."""
    beside = folder.resolve().parent / "apps"
    apps = (
        [entry.name for entry in beside.iterdir() if entry.is_dir() and APP_NAME.fullmatch(entry.name)]
        if beside.is_dir()
        else None
    )
    known = names(folder)
    if known and name not in known and is_environment(f"{name}.toml"):
        reason = f"there is no such environment {nearest(name, known)}"
        raise BadEnvironment([Problem(in_folder(f"{name}.toml"), "", reason)])
    return load(_reader(folder), name, apps)


def names(folder: Path) -> tuple[str, ...]:
    """The environments that a folder defines, each after the one that it promotes from, else by the alphabet."""
    found = sorted(path.stem for path in folder.glob("*.toml") if is_environment(path.name))
    before = {name: (_overlay_of(_reader(folder), name) or {}).get("promotes_from") for name in found}

    def steps(name: str) -> int:
        way = [name]
        while (source := before.get(way[-1])) in found and source not in way:
            way.append(source)
        return len(way)

    return tuple(sorted(found, key=steps))


def is_environment(file: str) -> bool:
    """Whether a file of the folder is an environment's, by its name: ``base.toml`` and its like are not."""
    stem, dot, suffix = file.partition(".")
    return dot + suffix == ".toml" and stem not in RESERVED and ENVIRONMENT_NAME.fullmatch(stem) is not None


def value_of(name: str, whole: Whole) -> Environment:
    """The values that the platform works with."""
    budget, judge = whole.budget, whole.judge
    return Environment(
        name=name,
        branch=whole.head.branch,
        promotes_from=whole.head.promotes_from,
        signers=whole.head.signers,
        budget=Budget(budget.deploy_seconds, budget.watch_seconds, budget.revert_seconds, budget.margin_seconds),
        judge=Judge(judge.alpha, judge.silence_seconds, judge.smallest_harm, judge.prometheus or ""),
        freezes=tuple(Freeze(window.name, window.cron, window.hours, window.timezone) for window in whole.freezes),
        fleets={
            app: Fleet(
                app,
                tuple(fleet.zones),
                fleet.nodes_per_zone,
                tuple(fleet.waves),
                fleet.synthetic_per_second,
                fleet.synthetic_at_most_per_second,
            )
            for app, fleet in whole.fleets.items()
        },
        settings={app: whole.settings.get(app, {}) for app in whole.fleets},
        poll_seconds=whole.head.poll_seconds,
        require_approval=whole.head.require_approval,
        infra=infra_of(whole.infra) if whole.infra else None,
        drift_every=whole.head.drift_every_seconds,
    )


def _names_in(zone: str, count: int) -> Iterator[str]:
    return (f"{zone.lower()}-{letter}" for letter in string.ascii_lowercase[:count])


def _reader(folder: Path) -> Callable[[str], bytes | None]:
    def read(file: str) -> bytes | None:
        try:
            return (folder / file).read_bytes()
        except FileNotFoundError:
            return None

    return read


def _overlay_of(read: Callable[[str], bytes | None], name: str) -> Table | None:
    """Another environment's own file, None if it has none. What is wrong in it is complained of when it is loaded."""
    content = read(f"{name}.toml") if is_environment(f"{name}.toml") else None
    if content is None:
        return None
    table = read_toml(f"{name}.toml", content)
    return {} if isinstance(table, Problem) else table
