"""What people are told besides the reason: what a watch sees, what a check asks, what follows from the outcome.

Pure; every surface says the same sentence because all of them take it from here. The reason itself is the rollout's own
``why``; what a person can do stands in ``remedies``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controller.judge.verdict import percent, rate
from controller.model import CLOSED, IN_FLIGHT, Cause, Check, Finding, Lane, Outcome, Phase, Rollout, Verdict
from controller.rollout.plan import BLIND_TRIES
from controller.stories.remedies import REMEDIES, tried_again
from controller.stories.story import CANDIDATE, SUSPICIOUS, Advice, GitSaid, Past, Span


def sentence(rollout: Rollout, verdict: Verdict | None) -> str:
    """The reason; while the watch goes on, what it sees."""
    if rollout.phase in (Phase.DEPLOYING, Phase.WATCHING) and verdict is not None:
        worst = max(verdict.findings, key=lambda f: f.evidence or 0.0, default=None)
        if verdict.outcome is Outcome.WAIT and worst is not None and (worst.evidence or 0.0) >= SUSPICIOUS:
            return looks_worse(rollout, worst, verdict.threshold)
    return grouped(rollout.why)


WAITS = "Waits for "


def waited_for(why: str) -> tuple[str, ...]:
    """What a rollout says it waits for."""
    return tuple(why.removeprefix(WAITS).rstrip(".").split("; ")) if why.startswith(WAITS) else ()


def grouped(why: str) -> str:
    """The same sentence with nodes that wait for the same thing named together."""
    reasons: dict[str, list[str]] = {}
    for one in waited_for(why):
        node, _, reason = one.partition(", which ")
        reasons.setdefault(reason, []).append(node)
    if all(len(nodes) == 1 for nodes in reasons.values()):
        return why
    said = (f"{', '.join(nodes)}{which(reason, len(nodes))}" for reason, nodes in reasons.items())
    return f"{WAITS}{'; '.join(said)}."


def which(reason: str, nodes: int) -> str:
    if not reason or nodes == 1:
        return f", which {reason}" if reason else ""
    verb, _, rest = reason.partition(" ")
    return f", which {MANY.get(verb, verb)} {rest}"


MANY = {"is": "are", "does": "do", "has": "have"}


def looks_worse(rollout: Rollout, finding: Finding, threshold: float) -> str:
    assert finding.canary is not None
    assert finding.control is not None
    events = kind_of(rollout, finding) == "missing_events"
    canary, control = (rate(a) if events else percent(a.share) for a in (finding.canary, finding.control))
    return (
        f"The check {finding.check} on {finding.app} looks worse on the candidate than on last good "
        f"({canary} against {control}); at evidence {threshold:,.0f} it goes back."
    )


def kind_of(rollout: Rollout, finding: Finding) -> str:
    lane = next(lane for lane in rollout.lanes if lane.app == finding.app)
    return next((check.kind for check in lane.checks if check.name == finding.check), finding.check)


def asks(lane: Lane, name: str) -> str:
    """What a check asks, in a line."""
    check = next((check for check in lane.checks if check.name == name), None)
    if check is None:
        return "the round trip from outside" if name == "probe" else ""
    return ASKS[check.kind](check)


def on_paths(check: Check) -> str:
    return f" on {', '.join(check.paths)}" if check.paths else ""


ASKS: dict[str, Callable[[Check], str]] = {
    "share": lambda check: f"{'clients with bad' if check.once_per == 'client' else 'bad'} answers{on_paths(check)}",
    "slower_than_control_p95": lambda check: f"slower than last good's slowest twentieth{on_paths(check)}",
    "missing_events": lambda check: f"{check.events} per {check.per}, too few of them",
    "conservation": lambda check: check.law,
    "creep": lambda check: f"processes that would hold too much within {check.within_seconds:g} s",
    "prometheus": lambda check: f"what the metrics server counts or measures: {check.query or check.query_bad}",
}


# ---- what follows -------------------------------------------------------------------------------------------------


def after(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str], later: Past | None = None) -> str:
    """What follows from the reason: who serves now, what git says, what happens next, or has happened since."""
    if later is not None and rollout.phase is Phase.HELD:
        kept = f"{rollout.environment} went back to {last_good(rollout)}; git was left alone and nothing quarantined."
        return f"{kept} {again(later)}"
    said = " ".join(AFTER[rollout.phase](rollout, git, nodes))
    return f"{said} {again(later)}" if later is not None and rollout.phase in CLOSED else said


def again(later: Past) -> str:
    """What became of the same commit when it was tried again."""
    if later.phase in IN_FLIGHT or later.phase is Phase.PENDING:
        return f"It is tried again as rollout {later.number}, which is {later.phase}."
    return f"It was tried again as rollout {later.number}, which ended {later.phase}."


def alone(rollout: Rollout, gap: Span | None) -> str:
    """That no controller is there now, and what the nodes do about it; empty while one is."""
    if gap is None or rollout.phase not in IN_FLIGHT or rollout.stays:
        return ""
    since = f"{gap.end - gap.begin:.0f} s"
    return f"No controller has written for {since}: at their own deadline the nodes go back by themselves."


def candidate(rollout: Rollout) -> str:
    return rollout.commit[:7]


def last_good(rollout: Rollout) -> str:
    named = dict.fromkeys(lane.base.commit[:7] if lane.base else "nothing" for lane in rollout.lanes)
    return " and ".join(named)


def after_pending(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    if any(lane.base is not None for lane in rollout.lanes):
        yield f"{rollout.environment} serves {last_good(rollout)}; the clock starts with the first node that leaves it."
    else:
        yield f"{rollout.environment} serves nothing of it yet; the clock starts with the first node."


def after_in_flight(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    if rollout.stays:
        yield "It is behind a one-way door: if it is not promoted, nodes keep serving it and a person decides."


def after_turning(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    yield f"Traffic leaves the candidate first; then the nodes go back to {last_good(rollout)}."


def after_promoted(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    if rollout.settled:
        yield f"{rollout.environment} runs {candidate(rollout)} on {count(rollout.nodes, 'node')}."
        return
    there = sum(state == CANDIDATE for state in nodes.values())
    yield f"It is last good now; {there} of {len(rollout.nodes)} nodes serve it, the others follow one by one."


def after_reverted(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    back = f"{rollout.environment} is back on {last_good(rollout)}"
    if git is not None and git.did == "revert" and git.commit:
        back += f" by revert commit {git.commit[:7]}"
    elif git is not None and git.did == "aside":
        back += f", but its branch is protected: merge {git.message} into it, which takes the release out"
    elif git is not None:
        back += f"; no revert commit is needed: {git.why.rstrip('.')}"
    else:
        back += "; git does not have the revert commit yet and gets it as soon as it answers"
    guilty = [lane for lane in rollout.lanes if lane.app in rollout.guilty]
    bits = " and ".join(hexadecimal(lane.candidate.artifact_digest) for lane in guilty)
    yield f"{back}; artefact {bits} is not tried again." if guilty else f"{back}."


def after_held(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    yield f"{rollout.environment} serves {last_good(rollout)}; git is untouched and nothing is quarantined."
    if rollout.cause is Cause.HOLD:
        yield "It is judged again by itself when that is over."
    elif rollout.cause is Cause.INCIDENT:
        yield "It is judged again by itself after a rest, which doubles each time."
    elif waits_for_person(rollout):
        yield "It is not tried again until somebody asks for it."
    else:
        yield "It is tried once more by itself."


def waits_for_person(rollout: Rollout) -> bool:
    """Whether what was held stays so until somebody asks for it."""
    if rollout.cause in (Cause.HOLD, Cause.INCIDENT):
        return False
    return rollout.cause is Cause.ABORTED or rollout.attempt >= BLIND_TRIES


def after_superseded(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    yield f"{rollout.environment} is back on {last_good(rollout)}; the newer commit starts from there."


def after_stuck(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    if rollout.heading is None:
        there = [node for node, state in nodes.items() if state == CANDIDATE]
        yield f"{', '.join(there) or 'The canaries'} keep serving it and no further node gets it. A person decides."
    else:
        yield "A page was sent. The controller goes on trying, and ends this as soon as it can."


AFTER = {
    Phase.PENDING: after_pending,
    Phase.DEPLOYING: after_in_flight,
    Phase.WATCHING: after_in_flight,
    Phase.REVERTING: after_turning,
    Phase.RETURNING: after_turning,
    Phase.PROMOTED: after_promoted,
    Phase.REVERTED: after_reverted,
    Phase.HELD: after_held,
    Phase.SUPERSEDED: after_superseded,
    Phase.STUCK: after_stuck,
}


def advice(
    rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str], later: Past | None = None
) -> tuple[Advice, ...]:
    """What a person can do now, most likely first; empty where nothing is to be done."""
    if later is not None and rollout.phase in CLOSED:
        return tuple(tried_again(rollout, later))
    return tuple(REMEDIES[rollout.phase](rollout, verdict, nodes))


def hexadecimal(digest: str) -> str:
    """A digest as people read it: six digits."""
    return digest.removeprefix("sha256:")[:6]


def count(things: tuple[str, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
