"""What one more sample adds to what is known of a candidate: evidence by check, and exact laws that were broken.

Pure. ``look`` folds a sample into a Judgement; what a Judgement comes to is ``verdict``'s matter. The candidate never
grades itself: what balancers counted and probes tried decides, and its own counters can only make it worse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from controller.judge import creep, outside
from controller.judge.creep import Held
from controller.judge.evidence import FEWER, NONE, ONE_SILENCE, Evidence, after, former_rate
from controller.judge.outside import Told
from controller.judge.samples import Sample, arms
from controller.model import Arm, Check, Lane

WARM_UP = 3.0
"""Seconds after its first event in which a canary may be slow or late, but not wrong: caches are cold at first. They
are counted apart and told, and they end: who is slow from the first second to the last is found in all the others."""
STALL_CAP = 5
"""One stall is one event: in a look, slow events count up to this many times the share that was expected."""
DUE = 1.5
"""Units that have been there this many times as long as one takes to be heard on last good are due."""
SELDOM = 1.25
"""Exposure between two events of a unit beyond which a single look is too short to compare."""
FLOOD, FEW = 2.0, 3
"""In a look, a node's events count up to twice what was expected, and a few more."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One node's events and its exposure as an interval began, and when that was.

    ``none_at`` is the last look at which it had no units, and ``none_until`` its exposure then.
    """

    events: float
    units: float
    at: float
    none_at: float
    none_until: float

    def stay(self, gained: float, at: float) -> float:
        """How long the units that are there at ``at`` have been there on average, if as many left as came."""
        there = self.units + gained - self.none_until
        return min(there * (at - self.at) / gained, at - self.none_at) if gained else 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of one application's candidate: evidence by check, and exact laws that were broken."""

    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    by_path: Mapping[tuple[str, str], tuple[Arm, Arm]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    """Conservation law to the sentence of its residue, as it was last seen broken twice in a row."""
    residue: Mapping[str, float] = field(default_factory=dict)
    laws_seen: frozenset[str] = frozenset()
    """Conservation laws that could be looked at: every term of them was exported."""
    probes_failed: Mapping[str, int] = field(default_factory=dict)
    events_before: Mapping[tuple[str, str], Heard] = field(default_factory=dict)
    """(check, node) to what was heard of it at the look before."""
    served_from: Mapping[str, float] = field(default_factory=dict)
    """Zone to when its canaries served first."""
    started: Mapping[str, float] = field(default_factory=dict)
    """Canary to when it was first seen to run the candidate."""
    cold: Mapping[str, Evidence] = field(default_factory=dict)
    """Check to what the warm-up would have proven."""
    held: Held = field(default_factory=Held)
    told: Mapping[str, Told] = field(default_factory=dict)


def look(state: Judgement, lane: Lane, sample: Sample) -> Judgement:
    """The state after one more sample."""
    served = {cell.zone: sample.at for cell in sample.cells if cell.canary.total}
    started = {node: sample.at for node, arm in sample.ran.items() if arm == "canary"}
    state = replace(
        state,
        served_from={**served, **state.served_from},
        started={**started, **state.started},
        probes_failed=probed(state, sample),
    )
    for check in lane.checks:
        if check.kind == "share":
            state = share(state, check, sample, lane.former.get(check.name, NONE))
        elif check.kind == "slower_than_control_p95":
            state = slower(state, check, lane, sample)
        elif check.kind == "missing_events":
            state = missing(state, check, lane, sample)
        elif check.kind == "conservation":
            state = conserved(state, check, sample)
        elif check.kind == "prometheus":
            state = asked(state, check, sample)
    creeping = tuple(check for check in lane.checks if check.kind == "creep")
    return replace(state, held=creep.look(state.held, creeping, sample, state.started)) if creeping else state


# ---- what each kind of check makes of a sample --------------------------------------------------------------------


def share(state: Judgement, check: Check, sample: Sample, before: Arm) -> Judgement:
    counted = tuple(arms(sample, check.paths, check.once_per == "client"))
    evidence = state.evidence.get(check.name) or Evidence(former_rate=former_rate(before))
    evidence = after(evidence, ((canary, control) for _, _, canary, control in counted))
    by_path = dict(state.by_path)
    for _, path, canary, control in counted:
        was = by_path.get((check.name, path), (Arm(0, 0), Arm(0, 0)))
        by_path[check.name, path] = (was[0] + canary, was[1] + control)
    return replace(state, evidence={**state.evidence, check.name: evidence}, by_path=by_path)


def slower(state: Judgement, check: Check, lane: Lane, sample: Sample) -> Judgement:
    warmed, cold = [], []
    for cell in sample.cells:
        if check.paths and cell.path not in check.paths:
            continue
        canary, control = Arm(cell.canary.timed, cell.canary_slow), Arm(cell.control.timed, cell.control_slow)
        if warm(state, lane, cell.zone, sample.at):
            warmed.append((capped(canary), capped(control)))
        else:
            cold.append((canary, control))
    kept = {**state.evidence, check.name: after(state.evidence.get(check.name, Evidence()), warmed)}
    apart = {**state.cold, check.name: after(state.cold.get(check.name, Evidence()), cold)}
    return replace(state, evidence=kept, cold=apart)


def warm(state: Judgement, lane: Lane, zone: str, at: float) -> bool:
    """Whether every canary of the zone has served for the warm-up: a later wave brings cold ones again."""
    began = [state.started[node] for node in lane.zones.get(zone, ()) if node in state.started]
    served = state.served_from.get(zone)
    return served is not None and at - max(served, *began, served) >= WARM_UP


def capped(slow: Arm) -> Arm:
    return Arm(slow.total, min(slow.bad, ceil(STALL_CAP * slow.total / 20)))


def asked(state: Judgement, check: Check, sample: Sample) -> Judgement:
    told, evidence = state.told.get(check.name, Told()), state.evidence.get(check.name, Evidence())
    told, evidence = outside.look(told, evidence, check, sample, state.started)
    kept = {**state.evidence, check.name: evidence} if check.counts else state.evidence
    return replace(state, told={**state.told, check.name: told}, evidence=kept)


def missing(state: Judgement, check: Check, lane: Lane, sample: Sample) -> Judgement:
    """Events for each unit of exposure, canary against control: fewer is harm. Both are counters of the application.

    Exposure is weighed by how much its node's brought on last good, so that an arm of slow devices is not taken for a
    silent one. It counts once a node's units have been there until each is due, or for ``WARM_UP`` seconds where nobody
    knows when that is: who has just come cannot have been heard yet, and what devices kept meanwhile comes as a flood.
    Devices that are heard seldom may all be due together on a canary: there one event of each is enough in an interval.
    """
    pace, before = lane.pace.get(check.name, {}), dict(state.events_before)
    usual = sum(pace.values()) / len(pace) if any(pace.values()) else None
    counted = []
    for metrics_of_arm, fresh in ((sample.canary_metrics, True), (sample.control_metrics, False)):
        exposed, events = 0.0, 0
        for node, metrics in metrics_of_arm.items():
            value, units, was = metrics.get(check.events), metrics.get(check.per), before.get((check.name, node))
            if value is None or units is None:
                continue
            if was is None or value < was.events or units < was.units:  # counters begin with their process
                began = was.at if was is not None else sample.at - sample.seconds.get(node, 0.0)
                before[check.name, node] = Heard(value, units, sample.at, began, 0.0)
                continue
            gained = units - was.units
            paced = pace.get(node, usual)
            due = DUE / paced if paced else WARM_UP
            seldom = fresh and paced is not None and 0 < paced < 1 / SELDOM
            if gained and seldom and sample.at - was.at < due:
                continue
            none = (was.none_at, was.none_until) if gained else (sample.at, units)
            before[check.name, node] = Heard(value, units, sample.at, *none)
            if was.stay(gained, sample.at) < due:
                continue
            expected = gained * paced / (DUE if seldom else 1.0) if paced is not None else None
            exposed += gained if usual is None or expected is None else expected / usual
            came = round(value - was.events)
            events += came if expected is None else min(came, ceil(FLOOD * expected + FEW))
        counted.append(Arm(round(exposed, 2), events))
    evidence = after(state.evidence.get(check.name, Evidence()), [(counted[0], counted[1])], FEWER, ONE_SILENCE)
    return replace(state, evidence={**state.evidence, check.name: evidence}, events_before=before)


def conserved(state: Judgement, check: Check, sample: Sample) -> Judgement:
    """An exact law on the candidate's own counters: a residue in two looks on end is harm."""
    residue, broken, seen = dict(state.residue), dict(state.broken), state.laws_seen
    for node, metrics in sample.canary_metrics.items():
        found = law_residue(check.law, metrics)
        key = f"{check.name} {node}"
        seen = seen if found is None else seen | {check.name}
        if found is not None and abs(found) > 1e-6:
            if abs(residue.get(key, 0.0)) > 1e-6:
                broken[check.name] = f"{check.law} does not hold on {node}: {found:+,.0f}"
            residue[key] = found
        else:
            residue.pop(key, None)
    return replace(state, residue=residue, broken=broken, laws_seen=seen)


def law_residue(law: str, metrics: Mapping[str, float]) -> float | None:
    """Left side minus right side of ``a = b + c + d``; None when a term is not exported."""
    left, _, right = law.partition("=")
    sides = [re.findall(r"[A-Za-z_][A-Za-z0-9_]*", side) for side in (left, right)]
    if not all(sides) or any(name not in metrics for names in sides for name in names):
        return None
    return sum(metrics[name] for name in sides[0]) - sum(metrics[name] for name in sides[1])


def probed(state: Judgement, sample: Sample) -> dict[str, int]:
    """How many times in a row each node's probe has failed."""
    failed = dict(state.probes_failed)
    for node, worked in sample.probes.items():
        failed[node] = 0 if worked else failed.get(node, 0) + 1
    return failed
