"""What people are told besides the reason: what follows from it, and what they can do now.

Pure; every surface says the same sentence because all of them take it from here. The reason itself is the rollout's own
``why``. The commands are those of the command line, written out so that they can be copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controller.model import Cause, Check, Finding, Lane, Outcome, Phase, Rollout, Verdict
from controller.plan import BLIND_TRIES
from controller.story import CANDIDATE, SUSPICIOUS, Advice, GitSaid
from controller.verdict import percent, rate

BECAUSE = '--reason "WHY"'


def sentence(rollout: Rollout, verdict: Verdict | None) -> str:
    """The reason; while the watch goes on, what it sees."""
    if rollout.phase in (Phase.DEPLOYING, Phase.WATCHING) and verdict is not None:
        worst = max(verdict.findings, key=lambda f: f.evidence or 0.0, default=None)
        if verdict.outcome is Outcome.WAIT and worst is not None and (worst.evidence or 0.0) >= SUSPICIOUS:
            return looks_worse(rollout, worst, verdict.threshold)
    return rollout.why


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
}


# ---- what follows -------------------------------------------------------------------------------------------------


def after(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> str:
    """What follows from the reason: who serves now, what git says, what happens next."""
    return " ".join(AFTER[rollout.phase](rollout, git, nodes))


def candidate(rollout: Rollout) -> str:
    return rollout.commit[:7]


def last_good(rollout: Rollout) -> str:
    named = dict.fromkeys(lane.base.commit[:7] if lane.base else "nothing" for lane in rollout.lanes)
    return " and ".join(named)


def after_pending(rollout: Rollout, git: GitSaid | None, nodes: Mapping[str, str]) -> Iterator[str]:
    yield f"{rollout.environment} serves {last_good(rollout)}; the clock starts with the first node that leaves it."


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
    elif git is not None and git.did == "revert":
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
    elif rollout.cause is Cause.ABORTED or rollout.attempt >= BLIND_TRIES:
        yield "It is not tried again until somebody asks for it."
    else:
        yield "It is tried once more by itself."


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


# ---- what to do ---------------------------------------------------------------------------------------------------


def advice(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> tuple[Advice, ...]:
    """What a person can do now, most likely first; empty where nothing is to be done."""
    return tuple(ADVICE[rollout.phase](rollout, verdict, nodes))


Telling = Iterator[Advice]


def advise_pending(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment = rollout.environment
    if rollout.approved is None and any(lane.base is None for lane in rollout.lanes):
        yield Advice("Let it start", f"turnabout approve {environment} {BECAUSE}")
    yield Advice("Stop it before it starts", f"turnabout abort {environment} {BECAUSE}")


def advise_in_flight(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    yield Advice("Take it back now", f"turnabout abort {rollout.environment} {BECAUSE}")
    yield Advice("Take it back and let nothing else start", f"turnabout hold {rollout.environment} {BECAUSE}")


def advise_turning(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    yield Advice("See it through", f"turnabout watch {rollout.environment}")


def advise_promoted(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    if not rollout.stays and all(lane.base is not None for lane in rollout.lanes):
        says = f"Take it back all the same: every node has {last_good(rollout)} on its disk"
        yield Advice(says, f"turnabout revert {rollout.environment} {BECAUSE}")


def advise_reverted(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment, number = rollout.environment, rollout.number
    failed = [f for f in verdict.findings if f.outcome is Outcome.FAIL] if verdict is not None else []
    if failed:
        worst = max(failed, key=lambda f: f.evidence or 0.0)
        yield Advice("See the failing calls", f"turnabout show {environment} {number} --samples {worst.check}")
    yield Advice("Fix it on a branch from the candidate, then merge again", f"git switch -c fix {candidate(rollout)}")
    again = f"turnabout retry {environment} {candidate(rollout)} {BECAUSE}"
    yield Advice("Was it not the release? Try the same bits again", again)


def advise_held(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment = rollout.environment
    if rollout.cause is Cause.HOLD and "holds" in rollout.why:
        yield Advice("Let it go on", f"turnabout resume {environment} {BECAUSE}")
    elif rollout.cause is not Cause.HOLD:
        yield Advice("Try the same bits again", f"turnabout retry {environment} {candidate(rollout)} {BECAUSE}")
    yield Advice("See what was measured", f"turnabout show {environment} {rollout.number}")


def advise_superseded(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    yield Advice("Watch the newer commit", f"turnabout watch {rollout.environment}")


def advise_stuck(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment = rollout.environment
    if rollout.heading is None:
        yield Advice("Keep it: it is good after all", f"turnabout approve {environment} {BECAUSE}")
        yield Advice("Fix it forward, from the candidate", f"git switch -c fix {candidate(rollout)}")
        return
    wanted = CANDIDATE if rollout.heading is Phase.PROMOTED else "last good"
    for node in (node for node, state in nodes.items() if state != wanted):
        yield Advice(f"Is {node} lost? Give its place to a new machine", f"turnabout node replace {environment} {node}")


ADVICE = {
    Phase.PENDING: advise_pending,
    Phase.DEPLOYING: advise_in_flight,
    Phase.WATCHING: advise_in_flight,
    Phase.REVERTING: advise_turning,
    Phase.RETURNING: advise_turning,
    Phase.PROMOTED: advise_promoted,
    Phase.REVERTED: advise_reverted,
    Phase.HELD: advise_held,
    Phase.SUPERSEDED: advise_superseded,
    Phase.STUCK: advise_stuck,
}


def hexadecimal(digest: str) -> str:
    """A digest as people read it: six digits."""
    return digest.removeprefix("sha256:")[:6]


def count(things: tuple[str, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
