"""Why a rollout turns back, and how: every reason that ends an attempt, the weightiest first, and the one way to move.

Pure. When these are asked for, and where a rollout goes forward, stands in ``decide``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from controller.model import IN_FLIGHT, Cause, Lane, NodeView, Observation, Outcome, Phase, Rollout
from controller.rollout import steps

UNREADY = 5.0
"""Seconds after which a node gives up a candidate that was ready and is not."""

CLOSING = {
    Cause.HARM: Phase.REVERTED,
    Cause.BLIND: Phase.HELD,
    Cause.HOLD: Phase.HELD,
    Cause.INCIDENT: Phase.HELD,
    Cause.ABORTED: Phase.HELD,
    Cause.SUPERSEDED: Phase.SUPERSEDED,
}
"""Where a rollout that turns back ends."""


def enter(rollout: Rollout, phase: Phase, why: str, short: str, now: float, **changes: object) -> Rollout:
    """The only place where a phase changes: it stamps the time and the sentence."""
    return replace(rollout, phase=phase, entered_at=now, why=why, short=short[:72], **changes)  # type: ignore[arg-type]  # replace() checks names at run time


def back(rollout: Rollout, cause: Cause, why: str, short: str, now: float, guilty: tuple[str, ...] = ()) -> Rollout:
    """Turn toward last good, or stay where a one-way door was passed."""
    verdict_at = now if rollout.phase in IN_FLIGHT else rollout.verdict_at
    rollout = replace(rollout, cause=cause, guilty=guilty, verdict_at=verdict_at)
    if rollout.stays and rollout.phase in IN_FLIGHT:
        why = f"Frozen behind a one-way door, nothing goes back: {why}"
        return enter(rollout, Phase.STUCK, why, f"frozen: {short}", now)
    if rollout.phase is Phase.PENDING:  # no node was asked for anything yet
        return enter(rollout, CLOSING[cause], why, short, now)
    return enter(rollout, Phase.REVERTING, why, short, now)


def told_back(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
    """A person, a freeze window or a newer commit ends the attempt."""
    order = seen.order
    if order is not None and order.verb == "abort":
        return back(rollout, Cause.ABORTED, f"{order.who} aborted it: {order.reason}", "aborted by an operator", now)
    if order is not None and order.verb == "revert":
        why = f"{order.who} reverted it: {order.reason}"
        return back(rollout, Cause.HARM, why, "reverted by an operator", now, apps(rollout))
    if seen.hold is not None:
        why = f"{seen.hold.who} holds {rollout.environment}: {seen.hold.reason}"
        return back(rollout, Cause.HOLD, why, "held by an operator", now)
    if seen.closed_window is not None and seen.closed_window != rollout.window:
        why = f"The freeze window {seen.closed_window!r} has begun."
        return back(rollout, Cause.HOLD, why, f"freeze window {seen.closed_window}", now)
    if seen.newer is not None and not rollout.lets_finish:
        why = f"Commit {seen.newer[:7]} arrived in flight and wants something else."
        return back(rollout, Cause.SUPERSEDED, why, f"superseded by {seen.newer[:7]}", now)
    return None


def harmed(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
    """Something was measured that is bad: the verdict, or a node that saw the candidate crash or fall unready alone."""
    verdict = seen.verdict
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        guilty = tuple(dict.fromkeys(f.app for f in verdict.findings if f.outcome is Outcome.FAIL))
        return back(rollout, Cause.HARM, verdict.why, verdict.short, now, guilty)
    for lane, node, view in answers(rollout, seen, now):
        app = view.apps.get(lane.app)
        digest = lane.candidate.digest
        remembers = app is not None and digest in app.harmful
        if app is not None and remembers and (digest not in rollout.forgiven or rollout.token in app.ended):
            said = app.went_back or "it did harm there before"
            why = f"{lane.app} {lane.candidate.commit[:7]} was given up by {node}: {said}."
            return back(rollout, Cause.HARM, why, f"{node} gave it up: {said}", now, (lane.app,))
    for lane, node in gone_unready(rollout, seen, now):
        ready = controls_ready(lane, seen, now)
        if ready or not lane.controls:
            beside = f" while {ready[0]}, on last good, was" if ready else ""
            why = f"{lane.app} {lane.candidate.commit[:7]} was not ready for 5 s on {node}{beside}."
            return back(rollout, Cause.HARM, why, f"not ready for 5 s on {node}{beside}", now, (lane.app,))
    return None


def gone_unready(rollout: Rollout, seen: Observation, now: float) -> Iterator[tuple[Lane, str]]:
    """The nodes that gave the candidate up because it was not ready any more: a node alone cannot say whose fault."""
    for lane, node, view in answers(rollout, seen, now):
        app = view.apps.get(lane.app)
        if app is not None and rollout.token in app.ended and app.went_back_kind == "unready":
            yield lane, node


def controls_ready(lane: Lane, seen: Observation, now: float) -> list[str]:
    """The control nodes that served last good all the time in which a candidate is given up as unready."""
    base, ready = lane.base, []
    for node in lane.controls:
        app = steps.app_on(lane, node, seen, now)
        if base is not None and app is not None and steps.on(app, base.digest) and app.ready_for >= UNREADY:
            ready.append(node)
    return ready


def incident(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
    """Candidate and last good are unready together, as a control node says: silent ones prove nothing."""
    for lane, node in gone_unready(rollout, seen, now):
        unready = [control for control in lane.controls if seen.answers(control, now) is not None]
        if unready and not controls_ready(lane, seen, now):
            return outside(rollout, lane, node, unready, now)
    return None


def outside(rollout: Rollout, lane: Lane, node: str, controls: Sequence[str], now: float) -> Rollout:
    what = "candidate and last good are both not ready"
    where = f"{node} and {', '.join(controls)}"
    why = f"{lane.app}: {what} ({where}): something outside them is broken."
    return back(rollout, Cause.INCIDENT, why, f"{lane.app}: {what}", now)


def turned_back(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
    """Why what is in flight goes back, the weightiest reason first."""
    return (
        harmed(rollout, seen, now)
        or told_back(rollout, seen, now)
        or incident(rollout, seen, now)
        or blind(rollout, seen, now)
    )


def blind(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
    """Something could not be looked at, or a node went back without harm: nothing is proven, nothing goes on."""
    verdict = seen.verdict
    if verdict is not None and verdict.outcome is Outcome.INCIDENT:
        return back(rollout, Cause.INCIDENT, verdict.why, verdict.short, now)
    if verdict is not None and verdict.outcome is Outcome.ERROR:
        return back(rollout, Cause.BLIND, verdict.why, verdict.short, now)
    for lane in rollout.lanes:
        for node in lane.nodes:
            view = seen.answers(node, now)
            if view is None:
                why = f"{node} has not answered for {seen.silence:.0f} s, so nobody can say how it does."
                return back(rollout, Cause.BLIND, why, f"{node} does not answer", now)
            if seen.deaf(node, now):
                why = (
                    f"The balancer of {node} has not answered for {seen.silence:.0f} s, so nobody can move its traffic."
                )
                return back(rollout, Cause.BLIND, why, f"the balancer of {node} does not answer", now)
            app = view.apps.get(lane.app)
            if app is not None and rollout.token in app.ended:
                said = app.went_back or "its promise ended"
                return back(rollout, Cause.BLIND, f"{node} went back by itself: {said}.", f"{node} went back", now)
    return None


def apps(rollout: Rollout) -> tuple[str, ...]:
    return tuple(lane.app for lane in rollout.lanes)


def answers(rollout: Rollout, seen: Observation, now: float) -> Iterator[tuple[Lane, str, NodeView]]:
    for lane in rollout.lanes:
        for node in lane.nodes:
            view = seen.answers(node, now)
            if view is not None:
                yield lane, node, view
