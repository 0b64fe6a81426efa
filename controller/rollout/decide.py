"""Where a rollout goes next: the 180 rule as a pure state machine.

What each phase does about what was seen stands in this file, one function per phase, and nothing here reads a clock, a
disk or a network: the same arguments give the same decision. The reasons to turn back stand in ``turning``, what the
fleet is asked for in ``asking``.

Theory. A candidate may serve unpromoted from T0 (the first ``activate``) until ``T0 + budget.limit`` and not a second
longer. Three clocks hold that promise, each alone sufficient: this state machine, the deadline ``T0 + budget.end``
that every node keeps on its own disk, and the end of every leased weight. Forward moves need everything to be seen and
right; moves toward last good need nothing but a reason, and the first reason wins:

    measured harm, crash, unready          HARM        revert commit, quarantine           -> REVERTED
    could not look, no clear PASS          BLIND       git untouched, one retry            -> HELD
    hold, freeze window                    HOLD        git untouched, again when it clears -> HELD
    candidate and last good bad together   INCIDENT    git untouched, again after a rest   -> HELD
    an operator's abort                    ABORTED     git untouched, again on ``retry``   -> HELD
    a newer commit                         SUPERSEDED  git untouched, the newer one starts -> SUPERSEDED

Behind a one-way door (``on_deadline = "freeze"``) "back to last good" reads "stay, stop the roll, and page".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from controller.model import (
    CLOSED,
    IN_FLIGHT,
    Cause,
    Decision,
    Observation,
    Order,
    Outcome,
    Phase,
    Rollout,
)
from controller.rollout import asking, steps, turning
from controller.rollout.turning import CLOSING, back, enter

LOOK = 1.0
"""Seconds between looks when nothing happens sooner."""
SETTLE_ATTEMPTS = 3


def decide(rollout: Rollout, seen: Observation, now: float) -> Decision:
    """Where ``rollout`` goes next, what to ask of the fleet, and when to look again.

    ``now`` and ``Decision.wake_at`` are seconds on the clock that ``rollout.clock`` names.
    """
    after = PHASES[rollout.phase](rollout, seen, now)
    order = seen.order
    if order is not None and after.orders_read < order.row:
        after = replace(after, orders_read=order.row)
    return Decision(after, tuple(asking.asks(after, seen, now)), wake_at(after, now))


def take_over(rollout: Rollout, generation: int, clock: str, now: float) -> Rollout:
    """The rollout as a controller finds it that did not lead it before.

    On the same clock the times in it still mean something and it simply goes on. On another clock no time may be
    compared: what is in flight goes back, because nobody can say how long it has served.
    """
    rollout = replace(rollout, generation=generation)
    if rollout.clock == clock:
        return rollout
    rollout = replace(rollout, clock=clock, entered_at=now, settle_t0=now, t0=None, watch_from=None)
    if rollout.phase in IN_FLIGHT:
        why = "The controller that led this rollout is gone and its clock with it."
        return back(rollout, Cause.BLIND, why, "controller lost in flight", now)
    return rollout


def reconciled(kept: Rollout, decided: Rollout) -> Rollout:
    """The row that may follow ``kept``, if ``decided`` was decided and acted upon without knowing that it was kept.

    A ledger can keep a row and lose its answer. What then led back leads back still, by the way that is open: from
    PROMOTED as a return, from in flight by reverting, so that every node is asked. Behind a one-way door it stays.
    """
    if kept.number != decided.number:
        return decided
    reverts = Phase.REVERTING in (decided.phase, decided.heading)
    frozen = decided.phase is Phase.STUCK and decided.heading is None
    never_began = decided.t0 is None and decided.phase in CLOSED
    if kept.phase is Phase.PROMOTED and reverts:
        phase = Phase.RETURNING
    elif kept.phase in IN_FLIGHT and never_began:
        phase = Phase.REVERTING
    elif (
        (kept.phase is Phase.PROMOTED and frozen)
        or (Phase.RETURNING in (kept.phase, kept.heading) and reverts)
        or (kept.t0 is not None and never_began)
    ):
        return kept
    else:
        return decided
    return replace(
        kept, phase=phase, heading=None, entered_at=decided.entered_at, why=decided.why, short=decided.short,
        cause=decided.cause, guilty=decided.guilty, verdict_at=decided.verdict_at, orders_read=decided.orders_read,
    )  # fmt: skip


def watch_end(rollout: Rollout) -> float:
    """When the watch is over, at the latest when deploy and watch are both used up."""
    assert rollout.watch_from is not None
    assert rollout.t0 is not None
    budget = rollout.budget
    return min(rollout.watch_from + budget.watch, rollout.t0 + budget.deploy + budget.watch)


# ---- one function per phase ---------------------------------------------------------------------------------------


def pending(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    if (turned := turning.told_back(rollout, seen, now)) is not None:
        return turned
    if (turned := turning.harmed(rollout, seen, now)) is not None:
        return turned
    order = seen.order
    if order is not None and order.verb == "approve":
        rollout = replace(rollout, approved=f"{order.who}: {order.reason}")
    waits = "; ".join(waiting_for(rollout, seen, now))
    if waits:
        return replace(rollout, why=f"Waits for {waits}.", short=f"waits for {waits}"[:72])
    count = len(rollout.lanes[0].waves) if len(rollout.lanes) == 1 else max(len(lane.waves) for lane in rollout.lanes)
    first = [node for lane in rollout.lanes for node in lane.waves[0]]
    why = f"Wave 1 of {count}: {', '.join(first)} {'leaves' if len(first) == 1 else 'leave'} last good."
    return enter(rollout, Phase.DEPLOYING, why, f"wave 1 of {count}", now, t0=now)


def waiting_for(rollout: Rollout, seen: Observation, now: float) -> Iterator[str]:
    """What must be true before T0: every node answers, holds nothing, is on the base and has the candidate's bits."""
    command = f"turnabout approve {rollout.environment}"
    firsts = ", ".join(lane.app for lane in rollout.lanes if lane.base is None)
    if rollout.approved is None and firsts:
        yield f"an approval: first release of {firsts}, with no last good to compare with ({command})"
    elif rollout.approved is None and rollout.needs_approval:
        yield f"an approval, which {rollout.environment} asks for ({command})"
    for lane in rollout.lanes:
        base = lane.base_digest
        for node in lane.nodes:
            app = steps.app_on(lane, node, seen, now)
            if app is None:
                yield f"{node}, which does not answer"
            elif seen.deaf(node, now):
                yield f"the balancer of {node}, which does not answer"
            elif app.pending is not None:
                yield f"{node}, which still holds {app.pending.token}"
            elif app.good != base or not steps.on(app, base):
                yield f"{node}, which is not on last good"
            elif lane.candidate.digest not in app.staged:
                trouble = seen.troubles.get(node)
                yield f"{node}, which is copying the candidate" + (f" ({trouble})" if trouble else "")


def deploying(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    assert rollout.t0 is not None
    turned = turning.turned_back(rollout, seen, now)
    if turned is not None:
        return turned
    if all(steps.led(lane, lane.canaries, seen, now) for lane in rollout.lanes):
        controls = ", ".join(node for lane in rollout.lanes for node in lane.controls) or "none"
        why = f"The canaries serve; on last good as control: {controls}."
        return enter(rollout, Phase.WATCHING, why, "watching", now, watch_from=now)
    if now > rollout.t0 + rollout.budget.deploy:
        return overran(rollout, seen, now)
    return rollout


def overran(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    """Deploying took longer than its budget: harm if a node says that the candidate is not ready and last good is.

    Where both are not, it is an incident; where no node says why, blindness.
    """
    budget = rollout.budget.deploy
    for lane, node, view in turning.answers(rollout, seen, now):
        app = view.apps.get(lane.app)
        if app is not None and app.pending is not None and app.pending.token == rollout.token and not app.ready:
            if lane.controls and not turning.controls_ready(lane, seen, now):
                return turning.outside(rollout, lane, node, lane.controls, now)
            candidate = f"{lane.app} {lane.candidate.commit[:7]}"
            why = f"{candidate} was not ready on {node} within the {budget:.0f} s of deploying."
            return back(rollout, Cause.HARM, why, f"not ready on {node} within {budget:.0f} s", now, (lane.app,))
    said = "; ".join(seen.troubles[node].rstrip(".") for node in rollout.nodes if node in seen.troubles)
    said = f": {said}" if said else ", and no node says why"
    why = f"Not every canary served within the {budget:.0f} s of deploying{said}."
    return back(rollout, Cause.BLIND, why, f"deploying took over {budget:.0f} s", now)


def watching(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    turned = turning.turned_back(rollout, seen, now)
    if turned is not None:
        return turned
    if now < watch_end(rollout):
        return rollout
    assert rollout.t0 is not None
    if now > rollout.t0 + rollout.budget.end:  # whatever the last views say: no promise is open any more
        why = "The watch could not be ended before the nodes' own deadline, so they have gone back."
        return back(rollout, Cause.BLIND, why, "decided too late", now)
    verdict = seen.verdict
    if verdict is None or verdict.outcome is not Outcome.PASS:
        said = verdict.why if verdict is not None else "Nothing was measured."
        return back(rollout, Cause.BLIND, f"The watch ended without a clear PASS. {said}", "no clear pass", now)
    unseen = beside_control(rollout, seen, now)
    if unseen is not None:
        return back(rollout, Cause.BLIND, f"The watch ended, but {unseen}.", unseen, now)
    return enter(rollout, Phase.PROMOTED, verdict.why, verdict.short, now, verdict_at=now, settle=1, settle_t0=now)


def beside_control(rollout: Rollout, seen: Observation, now: float) -> str | None:
    """What is missing for a PASS to mean "measured beside control nodes", or None."""
    for lane in rollout.lanes:
        for node in lane.canaries:
            app = steps.app_on(lane, node, seen, now)
            if app is None or app.pending is None or not steps.on(app, lane.candidate.digest):
                return f"{node} does not serve the candidate"
        base = lane.base
        if base is not None and not any(
            steps.on(steps.app_on(lane, node, seen, now), base.digest) for node in lane.controls
        ):
            return f"no control node of {lane.app} serves last good"
    return None


def promoted(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    """The row is written; what is left is to confirm, and to bring control nodes and stragglers along."""
    order = seen.order
    if order is not None and order.verb in ("abort", "revert"):
        return leave(rollout, order, now)
    if rollout.settled:
        return rollout
    if settled(rollout, seen, now):
        return enter(rollout, Phase.PROMOTED, f"Every node runs it. {rollout.why}", rollout.short, now, settled=True)
    assert rollout.settle_t0 is not None
    if now <= rollout.settle_t0 + rollout.budget.deploy + rollout.budget.margin:
        return rollout
    if rollout.settle < SETTLE_ATTEMPTS:
        return replace(rollout, settle=rollout.settle + 1, settle_t0=now)
    waiting = (node for lane in rollout.lanes for node in lane.nodes if not steps.settled(lane, node, seen, now))
    late = ", ".join(waiting)
    deaf = ", ".join(node for node in rollout.nodes if seen.deaf(node, now))
    cause = f" The balancer of {deaf} does not answer." if deaf else ""
    why = f"Promoted, but {late} will not come along.{cause} When it answers again, it is tried again by itself."
    stuck = enter(rollout, Phase.STUCK, why, f"{late} will not come along", now)
    return replace(stuck, heading=Phase.PROMOTED, settle=rollout.settle + 1, settle_t0=now)


def settled(rollout: Rollout, seen: Observation, now: float) -> bool:
    done = all(steps.settled(lane, node, seen, now) for lane in rollout.lanes for node in lane.nodes)
    return done and steps.leases_ended(rollout, seen, now)


def leave(rollout: Rollout, order: Order, now: float) -> Rollout:
    """A person wants a promoted release gone: possible as long as every node has the one before it on its disk."""
    refusal = ""
    if rollout.stays:
        refusal = "it is behind a one-way door: what it wrote, last good cannot read"
    elif any(lane.base is None for lane in rollout.lanes):
        refusal = "it is the first release, there is nothing to go back to"
    if refusal:
        return replace(rollout, why=f"The {order.verb} of {order.who} is refused: {refusal}.")
    cause = Cause.HARM if order.verb == "revert" else Cause.ABORTED
    why = f"{order.who} took it back after its promotion: {order.reason}"
    guilty = turning.apps(rollout) if cause is Cause.HARM else ()
    rollout = replace(rollout, cause=cause, guilty=guilty, settled=False, heading=None)
    return enter(rollout, Phase.RETURNING, why, "taken back after promotion", now)


def reverting(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    return closing(rollout, Phase.REVERTING, seen, now)


def returning(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    return closing(rollout, Phase.RETURNING, seen, now)


def closing(rollout: Rollout, heading: Phase, seen: Observation, now: float) -> Rollout:
    """Going back ends when every node said so, and not before: a late command must find its token ended."""
    assert rollout.cause is not None
    if asking.all_back(rollout, seen, now) and steps.leases_ended(rollout, seen, now):
        return enter(rollout, CLOSING[rollout.cause], rollout.why, rollout.short, now, heading=None)
    started = rollout.t0 if rollout.t0 is not None and heading is Phase.REVERTING else rollout.entered_at
    limit = rollout.budget.limit if started == rollout.t0 else rollout.budget.revert
    if rollout.phase is Phase.STUCK or now <= started + limit:
        return rollout
    ends = rollout.tokens
    late = (node for lane in rollout.lanes for node in lane.nodes if not steps.back(lane, node, ends, seen, now))
    names = ", ".join(late) or "a balancer"
    why = f"{names} will not come back within the budget; the others are on last good. {rollout.why}"
    return replace(rollout, phase=Phase.STUCK, entered_at=now, why=why, heading=heading)


def stuck(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    """A page was sent; the work goes on all the same, and ends as it would have."""
    if rollout.heading is Phase.PROMOTED:
        return stuck_promotion(rollout, seen, now)
    if rollout.heading is not None:
        return closing(rollout, rollout.heading, seen, now)
    order = seen.order
    if order is not None and order.verb == "approve":  # frozen: a person decides that it is good after all
        why = f"{order.who} approved the frozen release: {order.reason}"
        return enter(rollout, Phase.PROMOTED, why, "approved while frozen", now, settle=1, settle_t0=now, cause=None)
    return rollout


def stuck_promotion(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    """Settled, taken back, or tried again under a fresh token each time the last one has ended."""
    order = seen.order
    if order is not None and order.verb in ("abort", "revert"):
        return leave(rollout, order, now)
    if settled(rollout, seen, now):
        return enter(rollout, Phase.PROMOTED, "Every node runs it.", rollout.short, now, settled=True, heading=None)
    assert rollout.settle_t0 is not None
    if now > rollout.settle_t0 + rollout.budget.deploy + rollout.budget.margin:
        return replace(rollout, settle=rollout.settle + 1, settle_t0=now)
    return rollout


def stays_closed(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    return rollout


PHASES: dict[Phase, Callable[[Rollout, Observation, float], Rollout]] = {
    Phase.PENDING: pending,
    Phase.DEPLOYING: deploying,
    Phase.WATCHING: watching,
    Phase.PROMOTED: promoted,
    Phase.REVERTING: reverting,
    Phase.RETURNING: returning,
    Phase.STUCK: stuck,
    Phase.REVERTED: stays_closed,
    Phase.SUPERSEDED: stays_closed,
    Phase.HELD: stays_closed,
}


def wake_at(rollout: Rollout, now: float) -> float:
    """The next moment at which this would decide otherwise though nothing happened; ``LOOK`` later at the latest."""
    moments = [now + LOOK]
    if rollout.phase is Phase.DEPLOYING and rollout.t0 is not None:
        moments.append(rollout.t0 + rollout.budget.deploy)
    if rollout.phase is Phase.WATCHING:
        moments.append(watch_end(rollout))
    if rollout.phase in (Phase.REVERTING, Phase.RETURNING):
        moments.append(rollout.entered_at + steps.TRAFFIC_PATIENCE)
    if rollout.phase in CLOSED:
        return now + LOOK
    return min(moment for moment in moments if moment > now)
