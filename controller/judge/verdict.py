"""What the evidence comes to: a finding for each check, and the verdict, which is the worst of them.

Pure. FAIL may come at any look; PASS comes only when the watch has ended, and only if every check would have seen its
``smallest_harm``. How samples become what is known stands in ``weighing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.judge import creep, outside
from controller.judge.evidence import FEWER, Evidence, looks_needed, observe, sees_from
from controller.judge.outside import Told
from controller.judge.weighing import WARM_UP, Judgement
from controller.model import Arm, Check, Finding, Lane, OnPath, Outcome, Verdict

INCIDENT_SHARE, INCIDENT_EVENTS = 0.2, 10
"""Control nodes this bad, on so many events, mean that something outside the candidate is broken."""
PROBE_FAILURES = 2


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
            outcome, said = at_the_end(check, evidence, limit, threshold * checks, terms)
        counts = (evidence.canary, evidence.control, evidence.value, limit)
        found.append(Finding(lane.app, check.name, check.about, outcome, said, *counts, worst))
    return found


def at_the_end(
    check: Check, evidence: Evidence, limit: float | None, threshold: float, terms: Terms
) -> tuple[Outcome, str]:
    if check.kind == "missing_events":
        if evidence.canary.total and evidence.control.bad:
            return Outcome.PASS, f"{check.events} as often as on last good"
        return Outcome.INCONCLUSIVE, f"no {check.events} to compare on both arms"
    if check.kind == "share" and better(evidence, 1 / terms.alpha):
        said = f"{count(evidence.canary)} against {count(evidence.control)}: it fails less often than last good"
        return Outcome.PASS, said
    needed, whole = looks_needed(threshold), observe(Evidence(), evidence.canary, evidence.control)
    if evidence.looks < needed and whole.value >= threshold:
        times = "one look" if evidence.looks == 1 else f"{evidence.looks} looks"
        said = f"{count(evidence.canary)} against {count(evidence.control)} on last good in {times}"
        return Outcome.INCONCLUSIVE, f"{check.name}: {said}, and proof takes {needed}"
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
