"""What a person can do about a rollout now, as commands to copy.

Pure. The commands are those of the command line, written out; where nothing is to be done there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.model import IN_FLIGHT, Cause, Outcome, Phase, Rollout, Verdict
from controller.stories.story import CANDIDATE, LAST_GOOD, Advice, Past

BECAUSE = '--reason "WHY"'


Telling = Iterator[Advice]


def candidate(rollout: Rollout) -> str:
    return rollout.commit[:7]


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
        says = "Take it back all the same: every node has the release before it on its disk"
        yield Advice(says, f"turnabout revert {rollout.environment} {BECAUSE}")


def advise_reverted(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment, number = rollout.environment, rollout.number
    failed = [f for f in verdict.findings if f.outcome is Outcome.FAIL] if verdict is not None else []
    if failed:
        worst = max(failed, key=lambda f: f.evidence or 0.0)
        yield Advice("See the failing calls", f"turnabout show {environment}/{number} --samples {worst.check}")
    yield Advice("Fix it on a branch from the candidate, then merge again", f"git switch -c fix {candidate(rollout)}")
    again = f"turnabout quarantine clear {environment} {candidate(rollout)} {BECAUSE}"
    yield Advice("Was it not the release? Lift the quarantine, then revert the revert commit in git", again)


def advise_held(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment = rollout.environment
    if rollout.cause is Cause.HOLD and "holds" in rollout.why:
        yield Advice("Let it go on", f"turnabout resume {environment} {BECAUSE}")
    elif rollout.cause is not Cause.HOLD:
        yield Advice("Try the same bits again", f"turnabout retry {environment} {candidate(rollout)} {BECAUSE}")
    yield Advice("See what was measured", f"turnabout show {environment}/{rollout.number}")


def tried_again(rollout: Rollout, later: Past) -> Telling:
    """What there is to do about a rollout whose commit was tried again: only the newer one can be acted upon."""
    if later.phase in IN_FLIGHT or later.phase is Phase.PENDING:
        yield Advice("Watch it being tried again", f"turnabout watch {rollout.environment}")
    else:
        says = "See how it ended when it was tried again"
        yield Advice(says, f"turnabout show {rollout.environment}/{later.number}")


def advise_superseded(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    yield Advice("Watch the newer commit", f"turnabout watch {rollout.environment}")


def advise_stuck(rollout: Rollout, verdict: Verdict | None, nodes: Mapping[str, str]) -> Telling:
    environment = rollout.environment
    if rollout.heading is None:
        yield Advice("Keep it: it is good after all", f"turnabout approve {environment} {BECAUSE}")
        yield Advice("Fix it forward, from the candidate", f"git switch -c fix {candidate(rollout)}")
        return
    wanted = CANDIDATE if rollout.heading is Phase.PROMOTED else LAST_GOOD
    late = ", ".join(node for node, state in nodes.items() if state != wanted) or "a balancer"
    yield Advice(f"Bring {late} back: this ends by itself when it answers", f"turnabout watch {environment}")
    yield Advice("See what answers and what does not", "turnabout doctor")


REMEDIES = {
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
