"""What each phase asks of the fleet: the actions that are missing for a rollout to come where it is heading.

Pure and level-triggered; the single asks stand in ``steps``, and which phase a rollout is in is ``decide``'s matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.model import IN_FLIGHT, Action, Lane, Observation, Phase, Rollout
from controller.rollout import steps


def asks(rollout: Rollout, seen: Observation, now: float) -> Iterator[Action]:
    working_on = rollout.heading if rollout.phase is Phase.STUCK else rollout.phase
    budget = rollout.budget
    if working_on is Phase.PENDING:
        yield from steps.stage(rollout, seen, now)
    for lane in rollout.lanes:
        if working_on in IN_FLIGHT and rollout.t0 is not None:
            nodes = reached_wave(lane, seen, now)
            yield from steps.lead(
                rollout, lane, nodes, rollout.token, rollout.t0, (budget.end, budget.deploy), seen, now
            )  # fmt: skip
        elif working_on is Phase.PROMOTED and not rollout.settled and rollout.settle_t0 is not None:
            yield from settling(rollout, lane, seen, now)
        elif working_on in (Phase.REVERTING, Phase.RETURNING):
            yield from going_back(rollout, lane, working_on is Phase.RETURNING, seen, now)


def reached_wave(lane: Lane, seen: Observation, now: float) -> tuple[str, ...]:
    """The nodes of the first wave that is not complete, earlier waves included."""
    for wave in lane.waves:
        if not steps.led(lane, wave, seen, now):
            return wave
    return lane.canaries


def settling(rollout: Rollout, lane: Lane, seen: Observation, now: float) -> Iterator[Action]:
    assert rollout.settle_t0 is not None
    yield from steps.confirm(rollout, lane, seen, now)
    if all(steps.settled(lane, node, seen, now) for node in lane.nodes):
        if all(steps.settled(other, node, seen, now) for other in rollout.lanes for node in other.nodes):
            yield from steps.end_leases(rollout, lane, seen, now)
        return
    ends = rollout.budget.deploy + rollout.budget.margin
    chosen = steps.next_to_settle(rollout, lane, seen, now)
    yield from steps.lead(
        rollout, lane, chosen, rollout.settle_token, rollout.settle_t0, (ends, rollout.budget.deploy), seen, now,
        steps.shifted_where_seen,
    )  # fmt: skip


def going_back(rollout: Rollout, lane: Lane, after_promotion: bool, seen: Observation, now: float) -> Iterator[Action]:
    if all_back(rollout, seen, now):
        yield from steps.end_leases(rollout, lane, seen, now)
        return
    until = now + rollout.budget.limit
    at_once = steps.half_at_once(lane, seen, now) if after_promotion else frozenset(lane.nodes)
    yield from steps.turn(
        rollout, lane, rollout.tokens,
        lambda node: steps.returning(rollout, lane, node) if after_promotion else None,
        lambda node: node in at_once, seen, now, until,
    )  # fmt: skip


def all_back(rollout: Rollout, seen: Observation, now: float) -> bool:
    ends = rollout.tokens
    back = all(steps.back(lane, node, ends, seen, now) for lane in rollout.lanes for node in lane.nodes)
    return back and steps.all_know(rollout, seen, now)
