"""What scenes wait for and hold to its promise: a promotion, a way back, a revert commit, nodes that are left alone.

Broken says that a promise did not hold, Unmet that something else did not happen. Which is which is decided here.
"""

from __future__ import annotations

import time

from controller.clock import BootClock
from controller.demo.asking import all_run, states
from controller.demo.changes import Change
from controller.demo.stage import Broken, Stage, Unmet
from controller.faces.alone import Alone
from controller.keys import revert_key
from controller.model import Lane, Phase, Rollout
from controller.rollout.plan import BLIND_TRIES

PATIENCE = 90.0
"""Seconds for what has no promise of its own: starting everything, copying bits on a busy machine."""
LATE = 2.0
"""Seconds after the verdict by which no request starts on the candidate, and that a look may come late."""
ON_TRIAL = (Phase.DEPLOYING, Phase.WATCHING, Phase.REVERTING)


def pushed_now(stage: Stage, branch: str, change: Change) -> tuple[str, float]:
    """Merge a change: its commit, and when its push began (UTC)."""
    commit, began = stage.here.forge.change(branch, change)
    stage.watched = (branch, commit)
    return commit, began


def tries(attempts: tuple[Rollout, ...]) -> str:
    """That a change was held before it was promoted, and why; empty when the first try was promoted."""
    if len(attempts) < 2:
        return ""
    return f" (held once: {attempts[0].short}; promoted at the second try)"


def gone_in_time(rollout: Rollout | None) -> None:
    """Raises Broken when a candidate is on trial, or on its way back, for longer than was promised."""
    if rollout is None or rollout.t0 is None or rollout.phase not in ON_TRIAL:
        return
    served = BootClock().now() - rollout.t0
    if served > rollout.budget.limit + LATE:
        limit = f"{rollout.budget.limit:.0f} s"
        raise Broken(
            f"{rollout.environment} has {rollout.commit[:7]} on trial for {served:.0f} s; {limit} are allowed."
        )


def promoted(stage: Stage, environment: str, commit: str, seconds: float = PATIENCE, after: int = 0) -> Rollout:
    """The rollout of ``commit``, promoted and settled on every node; a new try, with a number ``after`` another's."""

    def look() -> Rollout | None:
        rollout = stage.rollout(environment, commit)
        if rollout is not None and rollout.number <= after:
            if rollout.phase is Phase.PROMOTED:
                raise Broken("The rollout that was in flight was promoted without being judged again.")
            return None
        gone_in_time(rollout)
        if rollout is not None and (
            rollout.phase in (Phase.REVERTED, Phase.SUPERSEDED, Phase.STUCK)
            or (rollout.phase is Phase.HELD and rollout.attempt >= BLIND_TRIES)
        ):
            held = "HELD for the second time" if rollout.phase is Phase.HELD else rollout.phase
            raise Unmet(f"{environment} did not promote {commit[:7]}: {held}. {rollout.why}")
        return rollout if rollout is not None and rollout.settled else None

    return stage.wait(f"Promoting {commit[:7]} in {environment}", seconds, look)


def reverted(stage: Stage, commit: str) -> Rollout:
    """The rollout of a bad commit, gone within the sum of its budgets; anything else breaks the promise."""

    def look() -> Rollout | None:
        rollout = stage.rollout("prod", commit)
        gone_in_time(rollout)
        if rollout is not None and rollout.phase is Phase.PROMOTED:
            raise Broken(f"The bad change was promoted: {rollout.why}")
        if rollout is not None and rollout.phase in (Phase.SUPERSEDED, Phase.HELD):
            raise Unmet(f"The bad change was taken back, but without proof of harm: {rollout.phase}. {rollout.why}")
        return rollout if rollout is not None and rollout.phase is Phase.REVERTED else None

    rollout = stage.wait(f"Reverting {commit[:7]}", PATIENCE, look)
    assert rollout.t0 is not None
    stage.say(f"prod is back on last good: {rollout.why}")
    gone_s = rollout.entered_at - rollout.t0
    if gone_s > rollout.budget.limit:
        raise Broken(f"It was gone {gone_s:.1f} s after T0; {rollout.budget.limit:.0f} s were promised.")
    lane = rollout.lanes[0]
    if not all_run(stage.here.platform.outputs["prod"], lane.nodes, lane.base_digest):
        raise Broken("The ledger says REVERTED, and a node runs something else than last good.")
    return rollout


def revert_commit(stage: Stage, rollout: Rollout) -> str:
    """The revert commit that git was told of: it is the branch's head, and signed by the revert key."""
    forge = stage.here.forge
    git = stage.wait("The revert commit", 40, lambda: stage.chronicles["prod"].read().git(rollout.number))
    head = forge.remote_head("prod")
    if git.body["commit"] != head:
        raise Broken(f"prod's head is {head[:7]}, not the revert commit {git.body['commit']}.")
    try:
        forge.verify("prod", revert_key(stage.here.site.keys))
    except RuntimeError as error:
        raise Broken(f"The revert commit {head[:7]} is not signed by the revert key: {error}") from error
    return head


def record(stage: Stage, story: str, environment: str, commit: str, rollout: Rollout, pushed: float) -> None:
    """A column of figures: the controller's from its ledger, the harm and the exposure from the clients themselves."""
    chronicle = stage.chronicles[environment].read()
    figures = chronicle.story(rollout.number).figures
    seen_at = chronicle.seen_at(commit)
    lane = rollout.lanes[0]
    time.sleep(1.1)  # the clients write what they counted once a second
    client = stage.by_release(environment, lane.app, lane.candidate.digest)
    first: float | None = client.get("first_started")
    last: float | None = client.get("last_started")
    if rollout.phase is Phase.REVERTED and last is not None and rollout.verdict_at is not None:
        off_at = rollout.verdict_at + (figures.traffic_off_s or 0.0)
        if last > off_at + 0.05:
            late = last - off_at
            raise Broken(f"A request started on the candidate {late:.2f} s after traffic was off.")
    gone = rollout.phase is Phase.REVERTED
    stage.columns[story] = {
        "seen_s": max(0.0, seen_at - pushed) if seen_at is not None else None,
        "deploy_s": figures.deploy_s,
        "verdict_s": figures.verdict_s,
        "traffic_off_s": figures.traffic_off_s,
        "nodes_back_s": figures.nodes_back_s,
        "harmed": float(client.get("harmed", 0)),
        "acked_lost": None,
        "exposure_s": figures.exposure_s,
        "met_s": last - first if gone and first is not None and last is not None else None,
    }


def lane_of(rollout: Rollout, app: str) -> Lane:
    return next(lane for lane in rollout.lanes if lane.app == app)


def left_alone(stage: Stage, rollout: Rollout, lane: Lane) -> tuple[float, float]:
    """Watch the nodes themselves until all are back: how late after their deadline, and how long after T0."""
    assert rollout.t0 is not None
    clock, killed_at, t0 = BootClock(), time.time(), rollout.t0
    deadline = t0 + rollout.budget.end
    digest = lane.candidate.digest
    met = int(stage.by_release("prod", lane.app, digest).get("requests", 0))
    stage.say(
        f"the controller is dead, killed with {met} requests answered by the candidate; "
        f"the nodes' own deadline is in {deadline - clock.now():.0f} s"
    )
    while True:
        seen = states(stage.here.platform.outputs["prod"], lane)
        now = clock.now()
        harmed = int(stage.by_release("prod", lane.app, digest).get("harmed", 0))
        stage.alone = Alone("prod", killed_at, met, harmed, now - t0, rollout.budget.end, lane.zones, seen)
        if all_run(stage.here.platform.outputs["prod"], lane.nodes, lane.base_digest):
            return max(0.0, clock.now() - deadline), clock.now() - t0
        if now > t0 + rollout.budget.limit:
            where = ", ".join(f"{node} {state}" for node, state in seen.items())
            raise Broken(f"The nodes are not back {rollout.budget.limit:.0f} s after T0, alone: {where}.")
        time.sleep(0.25)
