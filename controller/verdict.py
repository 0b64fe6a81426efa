"""What a rollout's samples prove: a finding for each check, and the verdict, which is the worst of them.

Pure. ``look`` folds one sample into the judge's state; ``verdict`` reads a state. FAIL may come at any look; PASS comes
only when the watch has ended, and only if every check would have seen its ``smallest_harm``. The candidate never grades
itself: what balancers counted and probes tried decides, and the application's own counters can only worsen it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from controller import creep, outside
from controller.creep import Held
from controller.evidence import FEWER, NONE, ONE_SILENCE, Evidence, after, former_rate, observe, sees_from
from controller.model import Arm, Check, Finding, Lane, OnPath, Outcome, Verdict
from controller.outside import Told
from controller.samples import Sample, arms

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
INCIDENT_SHARE, INCIDENT_EVENTS = 0.2, 10
"""Control nodes this bad, on so many events, mean that something outside the candidate is broken."""
PROBE_FAILURES = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """One node's events and its exposure as an interval began, when that was, and since when it has had any."""

    events: float
    units: float
    there_since: float
    at: float


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
    silent one. It counts when a node has had some until each unit is due, or for ``WARM_UP`` seconds where nobody knows
    when that is: devices that come at once cannot have been heard yet, and what they kept meanwhile comes as a flood.
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
            restarted = was is None or value < was.events or units < was.units
            gained = 0.0 if was is None or restarted else units - was.units
            there_since = was.there_since if was is not None and gained else sample.at
            paced = pace.get(node, usual)
            due = DUE / paced if paced else WARM_UP
            seldom = fresh and paced is not None and 0 < paced < 1 / SELDOM
            if was is not None and gained and seldom and sample.at - was.at < due:
                continue
            before[check.name, node] = Heard(value, units, there_since, sample.at)
            if was is None or not gained or sample.at - there_since < due:
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


# ---- from state to verdict ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What a verdict is measured by: the chance of a false revert, and what an environment must at least see."""

    alpha: float
    smallest_harm: float
    seconds: float
    """How long was watched until now."""
    ended: bool


def verdict(lanes: tuple[Lane, ...], states: Mapping[str, Judgement], terms: Terms) -> Verdict:
    """The worst finding and its sentence, over every application of a rollout."""
    threshold = 1 / terms.alpha
    judged = [(lane, check) for lane in lanes if lane.base for check in lane.checks if check.counts]
    values = [states[lane.app].evidence.get(check.name, Evidence()).value for lane, check in judged]
    together = sum(values) / len(values) if values else 0.0
    findings: list[Finding] = []
    for lane in lanes:
        state = states[lane.app]
        of_lane = exact(lane, state, terms)
        if lane.base is not None:
            of_lane += measured(lane, state, together, threshold, len(values), terms)
        findings += of_lane or [unmeasured(lane, "every check", f"nothing was measured of {lane.app}", terms.ended)]
    worst = max(findings, key=severity)
    why, short = words(worst, tuple(findings), together, terms)
    if worst.outcome is Outcome.PASS:
        why += "".join(slow_starts(lanes, states, threshold))
    return Verdict(worst.outcome, why, short, tuple(findings), together, threshold)


def severity(finding: Finding) -> tuple[int, bool, float]:
    """The worst outcome first; of equals what existed before the candidate, then the strongest evidence."""
    return ORDER.index(finding.outcome), finding.about == "existing", finding.evidence or 0.0


ORDER = (Outcome.PASS, Outcome.WAIT, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.INCIDENT, Outcome.FAIL)


def unmeasured(lane: Lane, check: str, said: str, ended: bool) -> Finding:
    """What could not be looked at is not good: there is no PASS without it."""
    return Finding(lane.app, check, "existing", Outcome.INCONCLUSIVE if ended else Outcome.WAIT, said)


def exact(lane: Lane, state: Judgement, terms: Terms) -> list[Finding]:
    """Checks without statistics: laws, what processes hold, values with a bound, and the round trip of the probe."""
    found, ended = [], terms.ended
    for check in lane.checks:
        if check.kind == "creep" and lane.base is not None:
            found.append(creep.finding(lane, check, state.held, ended, terms.seconds))
        elif check.kind == "prometheus" and not check.counts and lane.base is not None:
            found.append(outside.finding(lane, check, state.told.get(check.name, Told()), ended))
        if check.kind == "conservation" and check.name not in state.laws_seen:
            missing_terms = f"{check.law} could not be looked at: the candidate did not export every term of it"
            found.append(unmeasured(lane, check.name, missing_terms, ended))
        elif check.kind == "conservation":
            said = state.broken.get(check.name)
            outcome = Outcome.FAIL if said else Outcome.PASS
            found.append(Finding(lane.app, check.name, check.about, outcome, said or f"{check.law} holds"))
    failing = sorted(node for node, count in state.probes_failed.items() if count >= PROBE_FAILURES)
    bad_canaries = [node for node in failing if node in lane.canaries]
    bad_controls = [node for node in failing if node in lane.controls]
    if bad_canaries and bad_controls:
        said = f"the probe fails on {', '.join(failing)}, candidate and last good alike"
        found.append(Finding(lane.app, "probe", "existing", Outcome.INCIDENT, said))
    elif bad_canaries:
        said = f"the probe's round trip fails on {', '.join(bad_canaries)} and works on last good"
        found.append(Finding(lane.app, "probe", "existing", Outcome.FAIL, said))
    elif any(state.probes_failed.get(node, 0) for node in lane.canaries):
        found.append(Finding(lane.app, "probe", "existing", Outcome.WAIT, "a probe failed, and is tried again"))
    elif any(node in state.probes_failed for node in lane.canaries):
        found.append(Finding(lane.app, "probe", "existing", Outcome.PASS, "the probe's round trip works"))
    elif lane.base is None:
        found.append(Finding(lane.app, "probe", "existing", Outcome.WAIT, "no probe has answered yet"))
    return found


def measured(
    lane: Lane, state: Judgement, together: float, threshold: float, checks: int, terms: Terms
) -> list[Finding]:
    """Checks with statistics. The mean over all checks decides; the check that carries it most is named."""
    found = []
    for check in (check for check in lane.checks if check.counts):
        worst = None
        evidence = state.evidence.get(check.name, Evidence())
        told = state.told.get(check.name, Told())
        limit = sees_from(evidence, threshold * checks) if check.kind != "missing_events" else None
        incident = (
            check.kind == "share"
            and evidence.control.bad >= INCIDENT_EVENTS
            and evidence.control.share >= INCIDENT_SHARE
            and evidence.canary.share >= evidence.control.share / 2  # else the candidate may be what mends it
        )
        if together >= threshold and evidence.value >= threshold:
            worst = worst_path(check, state)
            outcome, said = Outcome.FAIL, failing(check, worst, evidence)
        elif incident:
            outcome = Outcome.INCIDENT
            said = f"both arms are bad ({count(evidence.control)} on last good): something outside them is broken"
        elif not terms.ended:
            outcome, said = Outcome.WAIT, "watching"
        elif check.kind == "prometheus" and told.trouble:
            found.append(outside.troubled(lane, check, told))
            continue
        else:
            outcome, said = at_the_end(check, evidence, limit, terms)
        counts = (evidence.canary, evidence.control, evidence.value, limit)
        found.append(Finding(lane.app, check.name, check.about, outcome, said, *counts, worst))
    return found


def at_the_end(check: Check, evidence: Evidence, limit: float | None, terms: Terms) -> tuple[Outcome, str]:
    if check.kind == "missing_events":
        if evidence.canary.total and evidence.control.bad:
            return Outcome.PASS, f"{check.events} as often as on last good"
        return Outcome.INCONCLUSIVE, f"no {check.events} to compare on both arms"
    if check.kind == "share" and better(evidence, 1 / terms.alpha):
        said = f"{count(evidence.canary)} against {count(evidence.control)}: it fails less often than last good"
        return Outcome.PASS, said
    wanted = max(check.smallest_harm, terms.smallest_harm)
    if limit is None or limit > wanted:
        seen = "nothing" if limit is None else f"only a rise of {percent(limit)} or more"
        return Outcome.INCONCLUSIVE, (
            f"{check.name}: {evidence.canary.total:,} events on the canary would have shown {seen}, "
            f"and {percent(wanted)} must be visible"
        )
    return Outcome.PASS, f"{count(evidence.canary)} against {count(evidence.control)}; would have seen {percent(limit)}"


def slow_starts(lanes: tuple[Lane, ...], states: Mapping[str, Judgement], threshold: float) -> Iterator[str]:
    """What is no reason to go back, and yet worth telling: a candidate that was slow while it was cold."""
    for lane in lanes:
        for name, cold in states[lane.app].cold.items():
            if cold.value >= threshold:
                yield (
                    f" {lane.app} began slowly: in its first {WARM_UP:.0f} s {count(cold.canary)} calls were slow "
                    f"({name}), against {count(cold.control)} on last good."
                )


def better(evidence: Evidence, threshold: float) -> bool:
    """Proven to fail less often than last good: what mends it need not show how small a harm would have been seen."""
    return observe(Evidence(), evidence.canary, evidence.control, FEWER).value >= threshold


def worst_path(check: Check, state: Judgement) -> OnPath | None:
    """The path with the most bad events beyond last good's share; None for a check that does not count by path."""
    paths = [OnPath(path, *arms) for (name, path), arms in state.by_path.items() if name == check.name]
    return max(paths, key=lambda p: p.canary.bad - p.control.share * p.canary.total, default=None)


def failing(check: Check, worst: OnPath | None, evidence: Evidence) -> str:
    """The sentence of proven harm: what, how often on each arm, on how many events."""
    if check.kind == "missing_events":
        return (
            f"{check.events} came {rate(evidence.canary)} times per {check.per} on the candidate "
            f"and {rate(evidence.control)} times on last good"
        )
    canary, control, subject = evidence.canary, evidence.control, "requests"
    if worst is not None:
        canary, control = worst.canary, worst.control
        subject = f"{worst.path}, {'an existing' if check.about == 'existing' else 'a new'} path,"
    verb = "were slower than last good's slowest twentieth for"
    if check.kind == "share":
        verb = "failed for"
    elif check.kind == "prometheus":
        subject, verb = f"what {check.name} counts", "was bad for"
    what = "clients" if check.once_per == "client" else "events" if check.kind == "prometheus" else "calls"
    return (
        f"{subject} {verb} {percent(canary.share)} of {what} on the candidate and {percent(control.share)} "
        f"on last good ({count(canary)} against {count(control)})"
    )


def words(worst: Finding, findings: tuple[Finding, ...], together: float, terms: Terms) -> tuple[str, str]:
    """The one sentence that serves every surface, and its short form for a git subject."""
    if worst.outcome is Outcome.FAIL:
        evidence = ""
        if worst.evidence is not None:
            checks = sum(finding.evidence is not None for finding in findings)
            mean = f" (the mean of {checks} checks)" if checks > 1 else ""
            evidence = f"; evidence {certainty(together)}{mean} passed {1 / terms.alpha:,.0f}"
        sentence = f"{worst.sentence[0].upper()}{worst.sentence[1:]}{evidence} after {terms.seconds:.0f} s of watching."
        short = f"{worst.check} on {worst.app}"
        if worst.canary is not None and worst.control is not None:
            counted = worst.worst or OnPath("", worst.canary, worst.control)
            short += f": {percent(counted.canary.share)} against {percent(counted.control.share)}"
        return sentence, short[:72]
    if worst.outcome is Outcome.PASS:
        limits = [f.sees_from for f in findings if f.sees_from is not None]
        seen = f"; harm from {percent(max(limits))} would have been seen" if limits else ""
        return f"No check found harm in {terms.seconds:.0f} s{seen}.", "no harm found"
    if worst.outcome is Outcome.WAIT:
        return "No check has found harm so far.", "watching"
    return f"{worst.sentence[0].upper()}{worst.sentence[1:]}.", f"{worst.outcome.lower()}: {worst.check} on {worst.app}"


def certainty(evidence: float) -> str:
    """An e-value as people read it: beyond a million nobody counts."""
    return f"{evidence:,.0f}" if evidence < 1_000_000 else "over 1,000,000"


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def count(arm: Arm) -> str:
    return f"{arm.bad:,} of {arm.total:,}"


def rate(arm: Arm) -> str:
    return f"{arm.share:.2f}"
