"""A whole environment is checked: every part is parsed by itself, and every rule is asked about the parts that parsed.

That way one reading gives all complaints at once, and a misspelt key in one table hides nothing in another. No key and
no rule is described here; this file only knows the order in which they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from environments import infra_rules, rules
from environments.infra_shapes import InfraShape
from environments.model import BudgetShape, FileShape, FleetShape, FreezeShape, HeadShape, JudgeShape, parse
from environments.overlay import BASE, Layers, Table
from environments.problems import BadEnvironment, Complaint, in_folder, shown

PARTS = FileShape.model_fields.keys() - HeadShape.model_fields.keys()


@dataclass(frozen=True, slots=True)
class Whole:
    """An environment in the terms of its files, with nothing left to complain of."""

    head: HeadShape
    budget: BudgetShape
    judge: JudgeShape
    freezes: tuple[FreezeShape, ...]
    fleets: Mapping[str, FleetShape]
    settings: Mapping[str, dict[str, Any]]
    infra: InfraShape | None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an environment that could be read, before any rule is asked about them."""

    head: HeadShape | None
    budget: BudgetShape | None
    judge: JudgeShape | None
    freezes: Mapping[int, FreezeShape]
    fleets: Mapping[str, FleetShape]
    settings: Mapping[str, dict[str, Any]]
    infra: InfraShape | None

    def whole(self) -> Whole | None:
        """The environment that the parts make, if none of the three that each must have is missing."""
        if self.head is None or self.budget is None or self.judge is None:
            return None
        freezes = tuple(self.freezes.values())
        return Whole(self.head, self.budget, self.judge, freezes, self.fleets, self.settings, self.infra)


def check(layers: Layers, name: str, overlay_of: Callable[[str], Table | None], apps: Collection[str] | None) -> Whole:
    """The environment that the layers make. Raises BadEnvironment with all that is wrong with it."""
    found: list[Complaint] = []
    # What base.toml says of the cloud are defaults: an environment is there if its own file says so.
    parts = parse_parts(layers.merged(), "infra" in layers.overlay, found)
    budget, judge, fleets, settings, infra = parts.budget, parts.judge, parts.fleets, parts.settings, parts.infra

    if budget:
        found += rules.budget(budget)
    if judge:
        found += rules.judge(judge, budget)
    for number, freeze in parts.freezes.items():
        found += rules.freeze(freeze, ("freeze", number))
    for app, fleet in fleets.items():
        found += rules.fleet(app, fleet)
        if budget:
            found += rules.waves_fit(app, fleet, budget)
    found += rules.zones(fleets)
    found += rules.apps_exist(fleets, apps) if apps is not None else ()
    found += rules.settings(settings, ("app",))
    found += rules.origins(name, layers.overlay, overlay_of)
    if infra:
        found += infra_rules.infra(infra, fleets)
        found += infra_rules.apart(name, layers.overlay, overlay_of)

    problems = [*layers.misplaced(), *map(layers.problem, found)]
    problems.sort(key=lambda problem: problem.file != in_folder(BASE))
    whole = parts.whole()
    if problems or whole is None:
        raise BadEnvironment(problems)
    return whole


def parse_parts(merged: Table, in_cloud: bool, found: list[Complaint]) -> Parts:
    """Every part by itself; what is wrong with one is added to ``found``, and the others are still read."""
    return Parts(
        parse(HeadShape, {key: value for key, value in merged.items() if key not in PARTS}, (), found),
        parse(BudgetShape, merged.get("budget", {}), ("budget",), found),
        parse(JudgeShape, merged.get("judge", {}), ("judge",), found),
        _freezes(merged.get("freeze", []), found),
        _fleets(merged.get("fleet", {}), found),
        _tables(merged.get("app", {}), "app", found),
        parse(InfraShape, merged.get("infra", {}), ("infra",), found) if in_cloud else None,
    )


def _freezes(value: object, found: list[Complaint]) -> dict[int, FreezeShape]:
    if not isinstance(value, list):
        found.append(Complaint(("freeze",), f"this is {shown(value)}; write each window as a table [[freeze]]"))
        return {}
    parsed = {number: parse(FreezeShape, item, ("freeze", number), found) for number, item in enumerate(value)}
    return {number: shape for number, shape in parsed.items() if shape}


def _fleets(value: object, found: list[Complaint]) -> dict[str, FleetShape]:
    if value == {}:
        found.append(Complaint(("fleet",), "no application runs here; write a table [fleet.<app>] for each that does"))
    tables = _tables(value, "fleet", found)
    parsed = {app: parse(FleetShape, table, ("fleet", app), found) for app, table in tables.items()}
    return {app: shape for app, shape in parsed.items() if shape}


def _tables(value: object, key: str, found: list[Complaint]) -> dict[str, dict[str, Any]]:
    """The tables under ``[key]``, by application."""
    return dict(_each_table(value, key, found))


def _each_table(value: object, key: str, found: list[Complaint]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        found.append(Complaint((key,), f"this is {shown(value)}; write a table [{key}.<app>] for each application"))
        return
    for app, table in value.items():
        if isinstance(table, dict):
            yield app, table
        else:
            found.append(
                Complaint((key, app), f"{shown(table)} is no table; write [{key}.{app}] and its keys under it")
            )
