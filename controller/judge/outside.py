"""What a metrics server outside of the platform says of both arms: counts that are weighed, or values with a bound.

Pure. How a server is asked stands in ``checks/prometheus``, when in ``querying``; here its answers are folded into the
judge's state, and read from it.

Counts are two counters of each node that only grow, of bad events and of all; what they gained between two answers goes
into the same e-process as what balancers count, once both arms have gained: a server looks at each node in its own
rhythm. A counter that fell began again, and says nothing until the next answer.

A value with a bound is exact: the candidate's is beyond it in every answer for ``lasting_seconds``, while some control
node's is within it and none beyond. It takes no part in ``alpha``: whoever states the bound states how sure it is.

A server that is away or answers nonsense has not measured harm. The watch goes on and asks it again; if it cannot be
looked at when the watch ends, the check is an ERROR: the release goes back unjudged, and is tried once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from controller.judge.evidence import NONE, Evidence, after
from controller.judge.samples import Sample
from controller.model import Arm, Check, Finding, Lane, Outcome

SETTLES = 15.0
"""Seconds after a node began to run the candidate in which a server may still tell of last good's process."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one check was told so far."""

    trouble: str = "it has not answered yet"
    """Why the newest asking brought nothing; empty when it did."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Node to its newest value, for a check with a bound."""
    beyond: Mapping[str, float] = field(default_factory=dict)
    """Node to since when its value has been beyond the bound."""
    at: float = 0.0
    before: Mapping[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """(query, node) to its arm and counter at the answer before."""
    waiting: tuple[Arm, Arm] = (NONE, NONE)
    """What one arm has gained while the other has not."""


def look(told: Told, evidence: Evidence, check: Check, sample: Sample, started: Mapping[str, float]) -> tuple[
    Told, Evidence
]:  # fmt: skip
    """What is known of one check after one more sample."""
    answer = sample.answers.get(check.name)
    if answer is None:
        return told, evidence
    if answer.trouble:
        return replace(told, trouble=answer.trouble), evidence
    told = replace(told, trouble="", at=sample.at)
    arms = dict(judged(sample, started))
    if check.query_bad:
        return weighed(told, evidence, answer.values, arms)
    values = {node: value for node, value in answer.values.get("query", {}).items() if node in arms}
    beyond = {node: told.beyond.get(node, sample.at) for node, value in values.items() if is_beyond(check, value)}
    return replace(told, values=values, beyond=beyond), evidence


def judged(sample: Sample, started: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """(node, arm) of those whose values are surely of that arm's release."""
    for node, arm in sample.ran.items():
        if arm == "control" or sample.at - started.get(node, sample.at) >= SETTLES:
            yield node, arm


def weighed(
    told: Told, evidence: Evidence, values: Mapping[str, Mapping[str, float]], arms: Mapping[str, str]
) -> tuple[Told, Evidence]:
    gained = {"canary": told.waiting[0], "control": told.waiting[1]}
    before = dict(told.before)
    totals, bads = values.get("query_total", {}), values.get("query_bad", {})
    concurrent = any(arm == "canary" for arm, _ in before.values())
    for node, arm in arms.items():
        if node not in totals:
            continue
        now = {"query_total": totals[node], "query_bad": bads.get(node, 0.0)}  # no bad event yet: no series yet
        then = {query: was for query in now if (was := before.get((query, node))) is not None and was[0] == arm}
        more = {query: now[query] - was for query, (_, was) in then.items()}
        if node not in bads and more.get("query_bad", 0.0) < 0 <= more["query_total"]:
            continue  # it had a series of bad events and goes on: what came meanwhile is counted when that is back
        if concurrent and len(more) == len(now) and min(more.values()) >= 0:
            total = round(more["query_total"])
            gained[arm] = gained[arm] + Arm(total, min(total, round(more["query_bad"])))
        before |= {(query, node): (arm, value) for query, value in now.items()}
    canary, control = gained["canary"], gained["control"]
    if canary.total and control.total:
        evidence, canary, control = after(evidence, [(canary, control)]), NONE, NONE
    return replace(told, before=before, waiting=(canary, control)), evidence


def is_beyond(check: Check, value: float) -> bool:
    too_much = check.at_most is not None and value > check.at_most
    return too_much or (check.at_least is not None and value < check.at_least)


def troubled(lane: Lane, check: Check, told: Told) -> Finding:
    """The watch has ended and nobody could look."""
    said = f"{check.name} could not be looked at: {told.trouble.rstrip('.')}"
    return Finding(lane.app, check.name, check.about, Outcome.ERROR, said)


def finding(lane: Lane, check: Check, told: Told, ended: bool) -> Finding:
    """What a check with a bound says."""
    controls = [node for node in told.values if node in lane.controls]
    canaries = [node for node in told.values if node in lane.canaries]
    lasting = [node for node, since in told.beyond.items() if told.at - since >= check.lasting_seconds]
    bad = sorted(node for node in canaries if node in lasting)
    bad_controls = sorted(node for node in controls if node in told.beyond)
    bound = bounds(check)
    if bad and any(node in lasting for node in bad_controls):
        outcome, said = Outcome.INCIDENT, f"{check.name} is {bound.beyond} on {', '.join([*bad, *bad_controls])} alike"
    elif bad and controls and not bad_controls:
        values = ", ".join(f"{told.values[node]:,.6g} on {node}" for node in bad)
        outcome, said = Outcome.FAIL, f"{check.name} is {values}, {bound.beyond}, and within it on last good"
    elif not ended:
        said = f"{check.name} is asked again: {told.trouble}" if told.trouble else "watching"
        outcome = Outcome.WAIT
    elif told.trouble:
        return troubled(lane, check, told)
    elif bad_controls or any(node in told.beyond for node in canaries):
        outcome, said = Outcome.INCONCLUSIVE, f"{check.name} is {bound.beyond} on {', '.join(sorted(told.beyond))}"
    elif missing := sorted(node for node in lane.canaries if node not in canaries):
        outcome, said = Outcome.INCONCLUSIVE, f"{check.name}: the server knows no value of {', '.join(missing)}"
    elif not controls:
        outcome, said = Outcome.INCONCLUSIVE, f"{check.name}: the server knows no value of a control node"
    else:
        most = max(told.values[node] for node in canaries) if check.at_most is not None else None
        shown = most if most is not None else min(told.values[node] for node in canaries)
        outcome, said = Outcome.PASS, f"{check.name} is {shown:,.6g} on the candidate, {bound.within}"
    return Finding(lane.app, check.name, check.about, outcome, said)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A check's bounds in words."""

    beyond: str
    within: str


def bounds(check: Check) -> Bounds:
    parts = [("over", "at most", check.at_most), ("under", "at least", check.at_least)]
    stated = [(beyond, within, f"{bound:,.6g}") for beyond, within, bound in parts if bound is not None]
    return Bounds(
        " or ".join(f"{beyond} {bound}" for beyond, _, bound in stated),
        " and ".join(f"{within} {bound}" for _, within, bound in stated),
    )
