"""What an environment may not say although every key of it is well formed.

Each function looks at one part, or at parts that must fit together, and yields the complaints: where, and a sentence
that says what to do. Types and bounds of single keys are in ``model.py``; keys in the wrong file in ``overlay.py``.
"""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from environments.model import APP_NAME, BudgetShape, FleetShape, FreezeShape, JudgeShape
from environments.overlay import Table
from environments.problems import Complaint, KeyPath, kind_of, nearest, shown

LOOK_SECONDS = 1.0  # the judge looks once a second


def budget(shape: BudgetShape) -> Iterator[Complaint]:
    looks = 2 * LOOK_SECONDS
    if shape.watch_seconds < looks:
        reason = f"{shape.watch_seconds:g} is under the {looks:g} that two looks need; write at least {looks:g}"
        yield Complaint(("budget", "watch_seconds"), reason)
    margin, revert = shape.margin_seconds, shape.revert_seconds
    if margin >= revert:
        reason = f"a margin of {margin:g} s leaves nothing of the {revert:g} s to revert, out of which it comes"
        also = (("budget", "revert_seconds"),)
        yield Complaint(("budget", "margin_seconds"), f"{reason}; write a smaller margin", also)


def judge(shape: JudgeShape, budget: BudgetShape | None) -> Iterator[Complaint]:
    at, silence = ("judge", "silence_seconds"), shape.silence_seconds
    if silence < LOOK_SECONDS:
        yield Complaint(at, f"{silence:g} is under the {LOOK_SECONDS:g} s between two looks; write more")
    elif budget and silence >= budget.watch_seconds:
        reason = (
            f"a silence of {silence:g} s outlasts a watch of {budget.watch_seconds:g} s, which could then end blind"
        )
        yield Complaint(at, f"{reason}; write a shorter silence or a longer watch", (("budget", "watch_seconds"),))


def freeze(shape: FreezeShape, at: KeyPath) -> Iterator[Complaint]:
    cron = shown(shape.cron)
    fields = "minute, hour, day of month, month, day of week"
    try:
        if len(shape.cron.split()) != 5:
            yield Complaint((*at, "cron"), f"{cron} is not five fields; write {fields}")
        else:
            next(CronSim(shape.cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ").replace("-", " ")
        yield Complaint((*at, "cron"), f"cron knows no such {field} as in {cron}; write {fields}")
    except StopIteration:
        yield Complaint((*at, "cron"), f"{cron} never comes; correct its day or its month")
    try:
        zoneinfo.ZoneInfo(shape.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(shape.timezone, zoneinfo.available_timezones())
        hint = hint if hint.startswith("(did") else "(write one such as America/New_York or UTC)"
        yield Complaint((*at, "timezone"), f"{shown(shape.timezone)} is not a time zone {hint}")


def fleet(app: str, shape: FleetShape) -> Iterator[Complaint]:
    """The waves of one fleet: they only grow, name what exists, and leave a control node."""
    at: KeyPath = ("fleet", app)
    if not APP_NAME.fullmatch(app):
        reason = f"{shown(app)} cannot name an application; write a small letter, then small letters, digits or _"
        yield Complaint(at, reason)
    zones = set(shape.zones)
    nodes = len(zones) * shape.nodes_per_zone
    if nodes < 2:
        reason = "a fleet of one node has nothing to compare a candidate with; write at least 2"
        yield Complaint((*at, "nodes_per_zone"), reason)
        return
    if 0 < shape.synthetic_at_most_per_second < shape.synthetic_per_second:
        most, steady = shape.synthetic_at_most_per_second, shape.synthetic_per_second
        reason = f"{most:g} is under the {steady:g} requests a second that are always made; write more, or leave it out"
        yield Complaint((*at, "synthetic_at_most_per_second"), reason, ((*at, "synthetic_per_second"),))
    before: Mapping[str, int] = {}
    for number, wave in enumerate(shape.waves):
        here: KeyPath = (*at, "waves", number)
        for zone, count in wave.items():
            if zone not in zones:
                reason = f"{shown(zone)} is not a zone of this fleet {nearest(zone, zones)}"
                yield Complaint((*here, zone), reason, ((*at, "zones"),))
            elif count > shape.nodes_per_zone:
                reason = f"{count} is more than the {shape.nodes_per_zone} nodes of the zone; write less"
                yield Complaint((*here, zone), reason, ((*at, "nodes_per_zone"),))
        for zone, count in before.items():
            if zone in zones and wave.get(zone, 0) < count:
                reason = f"{zone} falls from {count} to {wave.get(zone, 0)}, but waves count up"
                yield Complaint(here, f"{reason}; write every zone that has left last good so far")
        leaving = sum(count for zone, count in wave.items() if zone in zones)
        if leaving == 0:
            yield Complaint(here, "no node takes the candidate in this wave; name a zone with at least 1")
        elif leaving >= nodes:
            reason = f"all {nodes} nodes leave last good; let at least one stay as the control until the verdict"
            yield Complaint(here, reason)
        before = wave


def zones(fleets: Mapping[str, FleetShape]) -> Iterator[Complaint]:
    """A node's name is made of its zone's: so a zone is named once in an environment, small letters or not."""
    seen: dict[str, KeyPath] = {}
    for app, shape in fleets.items():
        for number, zone in enumerate(shape.zones):
            at: KeyPath = ("fleet", app, "zones", number)
            first = seen.setdefault(zone.lower(), at)
            if first != at:
                reason = f"{shown(zone)} is already a zone of fleet.{first[1]}, and nodes are named after their zone"
                yield Complaint(at, f"{reason}; write another name", (first,))


def waves_fit(app: str, fleet: FleetShape, budget: BudgetShape) -> Iterator[Complaint]:
    needed = len(fleet.waves) * budget.wave_seconds
    if needed > budget.deploy_seconds:
        reason = (
            f"{len(fleet.waves)} waves of {budget.wave_seconds:g} s need {needed:g} s, but budget.deploy_seconds is"
        )
        also = (("budget", "deploy_seconds"),)
        yield Complaint(("fleet", app, "waves"), f"{reason} {budget.deploy_seconds:g}; join some waves", also)


def apps_exist(fleets: Collection[str], apps: Collection[str]) -> Iterator[Complaint]:
    for app in fleets:
        if app not in apps:
            yield Complaint(("fleet", app), f"there is no folder apps/{app} {nearest(app, apps)}")


def settings(value: object, at: KeyPath) -> Iterator[Complaint]:
    """Settings reach the application as JSON, which has no dates and no infinities."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from settings(item, (*at, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from settings(item, (*at, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Complaint(at, f"the application reads JSON, which cannot hold {value}; write a finite number")
    elif not isinstance(value, str | int | float):
        yield Complaint(at, f"the application reads JSON, which cannot hold {kind_of(value)}; write it as text")


def origins(name: str, overlay: Table, overlay_of: Callable[[str], Table | None]) -> Iterator[Complaint]:
    """The way a release comes to this environment ends somewhere, and each step of it is a branch of its own."""
    at: KeyPath = ("promotes_from",)
    way = [name]
    source = overlay.get("promotes_from")
    while isinstance(source, str) and source:
        if source in way:
            circle = " from ".join([*way[way.index(source) :], source])
            yield Complaint(at, f"{circle} is a circle; let one of them promote from nothing")
            return
        found = overlay_of(source)
        if found is None:
            if len(way) == 1:
                reason = f"there is no environment {shown(source)}; name one that has a file, or leave the key out"
                yield Complaint(at, reason)
            return
        if "branch" in overlay and found.get("branch") == overlay["branch"]:
            reason = f"{shown(overlay['branch'])} is also the branch of {source}; give each its own"
            yield Complaint(("branch",), reason)
        way.append(source)
        source = found.get("promotes_from")
