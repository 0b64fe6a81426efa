"""What a site knows of drift: its ledgers, its nodes and its stores, each looked at and held against the others.

Where one does not answer the report says so, in the place of that kind. What programs declare is ``drifting``'s matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller import assemble
from controller.drift import alignment, machines, packages, roads, running, stores, traffic
from controller.drift.blocking import last_promotion
from controller.drift.finding import Cause, Coverage, Finding, Kind, Part, counted, unseen
from controller.drift.machines import Machine
from controller.drift.running import Silent
from controller.drift.stores import Store
from controller.errors import Trouble
from controller.fleets.nodes import NodeFleet
from controller.observers import nodes
from controller.observers.stores import MongoStores, printable
from controller.rollout.rows import Row
from controller.rollout.standing import Standing, fold
from controller.site import BadSite, Site
from environments import from_folder
from environments.settings import apart
from environments.settings import written as as_written
from infra.outputs import BadOutputs, Outputs


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at. ``pairs`` are environments to hold against each other, the earlier one first."""

    checkout: Path
    environments: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    kinds: tuple[Kind, ...]
    site: Site | None
    checkouts: Mapping[str, Path] = field(default_factory=dict)
    """Environments that have a checkout of their own; its waivers are those of ``checkout``."""

    @property
    def folder(self) -> Path:
        return self.checkout / "environments"

    def checkout_of(self, environment: str) -> Path:
        return self.checkouts.get(environment, self.checkout)

    def folder_of(self, environment: str) -> Path:
        return self.checkout_of(environment) / "environments"


OF_A_SITE = (Kind.RELEASE, Kind.DATA, Kind.RUNTIME, Kind.TRAFFIC, Kind.HISTORY)


def sited(wanted: Wanted, site: Site) -> Iterator[Part]:
    """Everything that is wanted of a site, in the environments that it leads."""
    wanted = replace(wanted, environments=tuple(name for name in wanted.environments if name in site.environments))
    yield from ledgers(wanted, site)
    if {Kind.RELEASE, Kind.RUNTIME} & {*wanted.kinds}:
        yield from on_nodes(wanted, site)
    if Kind.DATA in wanted.kinds:
        yield from stored(wanted, site)


def unsited(wanted: Wanted) -> Iterator[Part]:
    """Where no site was named nothing is known of nodes and ledgers; who asks for those kinds by name is told so."""
    asked = [kind for kind in OF_A_SITE if kind in wanted.kinds]
    if asked and len(wanted.kinds) < len(Kind):
        why = "No site is named, and there is none here."
        for kind in asked:
            yield Part((unseen(kind, wanted.environments, why, "turnabout --site FILE drift"),))


def pairs_of(wanted: Wanted) -> list[tuple[str, str]]:
    return [pair for pair in wanted.pairs if {*pair} <= {*wanted.environments}]


def ledgers(wanted: Wanted, site: Site) -> Iterator[Part]:
    """History and traffic, from the rows of both ledgers."""
    past: dict[str, list[Row]] = {}
    for name in wanted.environments:
        try:
            past[name] = assemble.history(site, name)
        except Trouble as trouble:
            kinds = [kind for kind in (Kind.HISTORY, Kind.TRAFFIC) if kind in wanted.kinds]
            yield Part(tuple(unseen(kind, (name,), str(trouble)) for kind in kinds))
    ways = {name: roads.roads(rows) for name, rows in past.items()}
    found: list[Finding] = []
    looked: set[tuple[Kind, str]] = set()
    for left, right in pairs_of(wanted):
        if not past.get(left) or not past.get(right):
            continue
        if Kind.HISTORY in wanted.kinds:
            found += roads.findings(left, right, ways[left], ways[right])
            looked |= {(Kind.HISTORY, left), (Kind.HISTORY, right)}
        if Kind.TRAFFIC in wanted.kinds:
            own = synthetic(wanted, left, right)
            found += traffic.findings(left, right, traffic.loads(past[left]), traffic.loads(past[right]), own)
            looked |= {(Kind.TRAFFIC, left), (Kind.TRAFFIC, right)}
    apps = {app for way in ways.values() for app in way} if Kind.HISTORY in wanted.kinds else ()
    together = {app: {name: way.get(app, ()) for name, way in ways.items()} for app in sorted(apps)}
    promoted = {name: when for name, rows in past.items() if (when := last_promotion(rows)) is not None}
    yield Part(tuple(found), frozenset(looked), roads=together, promoted=promoted)


def synthetic(wanted: Wanted, left: str, right: str) -> dict[str, Cause]:
    """Application to the setting by which the controller makes requests itself, where the two differ in it."""
    one, other = (as_written(wanted.folder_of(name), name) for name in (left, right))
    return {
        each.path[1]: alignment.cause_of(one, other, each)
        for each in apart(one, other)
        if each.path[0] == "fleet" and each.path[-1] == "synthetic_per_second"
    }


@dataclass(frozen=True, slots=True)
class Fleet:
    """One environment's nodes as they answered, and what its ledger says of them."""

    outputs: Outputs
    standing: Standing
    asked: Mapping[str, nodes.Asked]

    @property
    def machines(self) -> list[Machine]:
        return [said.machine for said in self.asked.values() if isinstance(said.machine, Machine)]


def on_nodes(wanted: Wanted, site: Site) -> Iterator[Part]:
    """Release and runtime: every node is asked once, and held against ledger, neighbours and the environment before."""
    kinds = [kind for kind in (Kind.RELEASE, Kind.RUNTIME) if kind in wanted.kinds]
    seen: dict[str, Fleet] = {}
    for name in wanted.environments:
        try:
            outputs = site.outputs(name)
            standing = fold(assemble.history(site, name))
            parts = assemble.shared(site)
            fleet = NodeFleet(outputs, assemble.transport(site, outputs), parts.artifacts, parts.clock)
        except (BadOutputs, BadSite, Trouble) as no:
            yield Part(tuple(unseen(kind, (name,), str(no)) for kind in kinds))
            continue
        seen[name] = Fleet(outputs, standing, nodes.ask(outputs, fleet))
    for name, one in seen.items():
        others = {other: each for other, each in seen.items() if other != name}
        if Kind.RELEASE in kinds:
            yield Part(tuple(on_releases(name, one, others)), frozenset({(Kind.RELEASE, name)}))
        if Kind.RUNTIME in kinds:
            yield on_machines(name, one, others)
    for left, right in pairs_of(wanted):
        if Kind.RUNTIME in kinds and left in seen and right in seen:
            both = left, right, seen[left].machines, seen[right].machines
            yield Part((*machines.between(*both), *packages.between(*both)))


def on_releases(name: str, one: Fleet, others: Mapping[str, Fleet]) -> Iterator[Finding]:
    runs = {node: said.running for node, said in one.asked.items()}
    elsewhere = {other: each.standing for other, each in others.items()}
    yield from running.findings(
        running.Fleet(name, one.outputs.nodes, one.outputs.program), one.standing, runs, elsewhere
    )


def on_machines(name: str, one: Fleet, others: Mapping[str, Fleet]) -> Part:
    silent = {node: said.machine.why for node, said in one.asked.items() if isinstance(said.machine, Silent)}
    known = one.machines
    found = list(machines.findings(name, known, {other: each.machines for other, each in others.items()}))
    found += packages.findings(name, known)
    if silent:
        why = next(iter(silent.values()))
        found.append(unseen(Kind.RUNTIME, (name,), f"{counted(len(silent), 'node')} could not be inspected: {why}"))
    return Part(tuple(found), frozenset({(Kind.RUNTIME, name)} if known else ()))


def stored(wanted: Wanted, site: Site) -> Iterator[Part]:
    """Data: the databases of both environments, each by the name that it has in every environment."""
    found: dict[str, tuple[Store, str]] = {}
    for name in wanted.environments:
        try:
            uri = site.outputs(name).mongo_uri
            asked = MongoStores(uri)
            found[name] = (asked.store(databases(wanted.folder_of(name), name)), printable(uri))
            blind = tuple(stores.unread(name, found[name][0]))
            yield Part(blind, frozenset({(Kind.DATA, name)}), {name: Coverage(calls=asked.calls)})
        except (BadOutputs, BadSite, Trouble, ImportError) as no:
            yield Part((unseen(Kind.DATA, (name,), str(no)),))
    for left, right in pairs_of(wanted):
        if left in found and right in found:
            (lefts, _), (rights, uri) = found[left], found[right]
            yield Part(tuple(stores.findings(left, right, lefts, rights, uri)))


def databases(folder: Path, name: str) -> dict[str, str]:
    """What each database is called in every environment, to its name in this one: an application's, and a zone's."""
    environment = from_folder(folder, name)
    own = {app: str(settings["database"]) for app, settings in environment.settings.items() if "database" in settings}
    zones = [zone.lower() for fleet in environment.fleets.values() for zone in fleet.zones]
    return {**own, **{f"zone_{zone}": f"zone_{zone}" for zone in zones}}
