"""What an environment may not say although every key of it is well formed.

Each function looks at one part, or at parts that must fit together, and yields the complaints: where, and a sentence
that says what to do. Types and bounds of single keys are in ``model.py``; keys in the wrong file in ``overlay.py``.
"""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from environments.model import APP_NAME, BudgetShape, Complaint, FleetShape, FreezeShape, JudgeShape
from environments.problems import KeyPath, kind_of, nearest, shown

Table = Mapping[str, Any]

LOOK_SECONDS = 1.0  # the judge looks once a second


def budget(shape: BudgetShape) -> Iterator[Complaint]:
    looks = 2 * LOOK_SECONDS
    if shape.watch_seconds < looks:
        reason = f"{shape.watch_seconds:g} is under the {looks:g} that two looks need; one look shows no change"
        yield ("budget", "watch_seconds"), reason
    if shape.margin_seconds >= shape.revert_seconds:
        reason = f"{shape.margin_seconds:g} leaves nothing of revert_seconds ({shape.revert_seconds:g}); write less"
        yield ("budget", "margin_seconds"), reason


def judge(shape: JudgeShape, budget: BudgetShape | None) -> Iterator[Complaint]:
    at = ("judge", "silence_seconds")
    if shape.silence_seconds < LOOK_SECONDS:
        yield at, f"{shape.silence_seconds:g} is under the {LOOK_SECONDS:g} s between two looks; write more"
    elif budget and shape.silence_seconds >= budget.watch_seconds:
        reason = f"{shape.silence_seconds:g} is not less than budget.watch_seconds ({budget.watch_seconds:g})"
        yield at, f"{reason}; a node that never answers would pass the watch, write less"


def freeze(shape: FreezeShape, at: KeyPath) -> Iterator[Complaint]:
    if len(shape.cron.split()) != 5:
        reason = f"{shown(shape.cron)} has {len(shape.cron.split())} fields"
        yield (*at, "cron"), f"{reason}; write five: minute, hour, day of month, month, day of week"
    else:
        try:
            next(CronSim(shape.cron, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            field = str(error).removeprefix("Bad ")
            yield (*at, "cron"), f"the {field} of {shown(shape.cron)} is not one that cron knows; correct it"
        except StopIteration:
            yield (*at, "cron"), f"{shown(shape.cron)} never comes; correct its day or month"
    try:
        zoneinfo.ZoneInfo(shape.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        hint = nearest(shape.timezone, known)
        hint = hint if hint.startswith("(did") else "(such as America/New_York or UTC)"
        yield (*at, "timezone"), f"{shown(shape.timezone)} is not a time zone {hint}"


def fleet(app: str, shape: FleetShape) -> Iterator[Complaint]:
    """The waves of one fleet: they only grow, name what exists, and leave a control node."""
    at: KeyPath = ("fleet", app)
    if not APP_NAME.fullmatch(app):
        yield at, f"{shown(app)} cannot name an application; write a small letter, then small letters, digits or _"
    zones = set(shape.zones)
    nodes = len(zones) * shape.nodes_per_zone
    if nodes < 2:
        yield (*at, "nodes_per_zone"), "a fleet of one node has nothing to compare a candidate with; write at least 2"
        return
    before: Mapping[str, int] = {}
    for number, wave in enumerate(shape.waves):
        here: KeyPath = (*at, "waves", number)
        for zone, count in wave.items():
            if zone not in zones:
                yield (*here, zone), f"{shown(zone)} is not a zone of this fleet {nearest(zone, zones)}"
            elif count > shape.nodes_per_zone:
                yield (*here, zone), f"{count} is more than the {shape.nodes_per_zone} nodes of the zone; write less"
        for zone, count in before.items():
            if zone in zones and wave.get(zone, 0) < count:
                reason = f"{zone} falls from {count} to {wave.get(zone, 0)}; waves count up"
                yield here, f"{reason}, so write every zone that has left last good so far"
        leaving = sum(count for zone, count in wave.items() if zone in zones)
        if leaving == 0:
            yield here, "no node takes the candidate in this wave; name a zone with at least 1"
        elif leaving >= nodes:
            yield here, f"all {nodes} nodes leave last good; let at least one stay as the control until the verdict"
        before = wave


def zones(fleets: Mapping[str, FleetShape]) -> Iterator[Complaint]:
    """A node's name is made of its zone's: so a zone is named once in an environment, small letters or not."""
    seen: dict[str, str] = {}
    for app, shape in fleets.items():
        for number, zone in enumerate(shape.zones):
            owner = seen.setdefault(zone.lower(), app)
            if owner != app or zone.lower() in [other.lower() for other in shape.zones[:number]]:
                whose = "this fleet" if owner == app else f"fleet.{owner}"
                reason = f"{shown(zone)} is already a zone of {whose}; names of nodes come from it, so write another"
                yield ("fleet", app, "zones", number), reason


def waves_fit(app: str, fleet: FleetShape, budget: BudgetShape) -> Iterator[Complaint]:
    needed = len(fleet.waves) * budget.wave_seconds
    if needed > budget.deploy_seconds:
        reason = f"{len(fleet.waves)} waves of {budget.wave_seconds:g} s need {needed:g} s, more than the"
        yield ("fleet", app, "waves"), f"{reason} {budget.deploy_seconds:g} s of budget.deploy_seconds; join some waves"


def apps_exist(fleets: Collection[str], apps: Collection[str]) -> Iterator[Complaint]:
    for app in fleets:
        if app not in apps:
            yield ("fleet", app), f"there is no folder apps/{app} {nearest(app, apps)}".rstrip()


def settings(value: object, at: KeyPath) -> Iterator[Complaint]:
    """Settings reach the application as JSON, which has no dates and no infinities."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from settings(item, (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from settings(item, (*at, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield at, f"{shown(value)} cannot be written as JSON, in which the application reads it; write a finite number"
    elif not isinstance(value, str | int | float):
        yield at, f"{kind_of(value)} cannot be written as JSON, in which the application reads it; write it as text"


def origins(name: str, overlay: Table, overlay_of: Callable[[str], Table | None]) -> Iterator[Complaint]:
    """The way a release comes to this environment ends somewhere, and each step of it is a branch of its own."""
    at: KeyPath = ("promotes_from",)
    way = [name]
    source = overlay.get("promotes_from")
    while isinstance(source, str) and source:
        if source in way:
            circle = " from ".join([*way[way.index(source) :], source])
            yield at, f"{circle} is a circle; let one of them promote from nothing"
            return
        found = overlay_of(source)
        if found is None:
            if len(way) == 1:
                yield at, f"there is no environment {shown(source)}; name one that has a file, or leave the key out"
            return
        if "branch" in overlay and found.get("branch") == overlay["branch"]:
            yield ("branch",), f"{shown(overlay['branch'])} is also the branch of {source}; give each its own"
        way.append(source)
        source = found.get("promotes_from")
