"""The single things that a fleet is asked for, so that it comes closer to where a rollout's phase wants it.

Pure and level-triggered: each function compares what the nodes say with what the phase wants and returns the actions
that are still missing, so that asking twice, or after a restart, is harmless. Which phase wants what stands in
``asking``; what a node does with an action stands in ``controller/node``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil

from controller.model import (
    BASE_WEIGHT,
    Action,
    Activate,
    AppView,
    Cause,
    Confirm,
    Lane,
    NodeView,
    Observation,
    Return,
    Revert,
    Rollout,
    Stage,
    Traffic,
)

TRAFFIC_PATIENCE = 1.0
"""Seconds that nodes wait for traffic to leave them before they are told to go back all the same."""
ENDING_PATIENCE = 3.0
"""Seconds that nodes on last good wait for the others to come back before tokens are ended on them."""


def app_on(lane: Lane, node: str, seen: Observation, now: float) -> AppView | None:
    """The lane's application on ``node``, or None while the node is silent."""
    view = seen.answers(node, now)
    return view.apps.get(lane.app, AppView()) if view is not None else None


def on(app: AppView | None, digest: str | None) -> bool:
    """The node runs ``digest`` and serves with it; for no digest, it runs nothing."""
    if app is None or app.switching:
        return False
    return app.running is None if digest is None else app.running == digest and app.ready


# ---- staging ------------------------------------------------------------------------------------------------------


def stage(rollout: Rollout, seen: Observation, now: float) -> Iterator[Action]:
    """Copy the candidate to every node that lacks it; outside the clock, before T0."""
    for lane in rollout.lanes:
        for node in lane.nodes:
            app = app_on(lane, node, seen, now)
            if app is not None and lane.candidate.digest not in app.staged:
                yield Stage(node, lane.app, lane.candidate.digest)


# ---- traffic ------------------------------------------------------------------------------------------------------


def weights_differ(lane: Lane, view: NodeView, wanted: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The ``backend/server`` weights at this node's balancer that are not yet as wanted."""
    return tuple(
        (f"{backend}/{server}", weight)
        for server, weight in wanted.items()
        for backend in lane.backends
        if server in lane.peers(view.node) and view.weights.get(f"{backend}/{server}") != weight
    )


def shift(
    rollout: Rollout, lane: Lane, wanted: Mapping[str, int], seen: Observation, now: float, until: float
) -> Iterator[Action]:
    """Bring every answering balancer to the ``wanted`` weights, leased until ``until`` on the controller's clock."""
    for node in lane.nodes:
        view = seen.answers(node, now)
        if view is None or not view.weights or rollout.lease_token in view.apps.get(lane.app, AppView()).ended:
            continue
        changes = weights_differ(lane, view, wanted)
        if changes:
            local_until = view.local(until)
            yield Traffic(node, changes, rollout.lease_token, view.boot, local_until, local_until)


def shifted(lane: Lane, server: str, weight: int, seen: Observation, now: float) -> bool:
    """Every balancer that sends to ``server`` answers and uses ``weight``."""
    views = [seen.answers(peer, now) for peer in lane.peers(server)]
    return all(view is not None and view.weights and not weights_differ(lane, view, {server: weight}) for view in views)


def shifted_where_seen(lane: Lane, server: str, weight: int, seen: Observation, now: float) -> bool:
    """Every balancer that can be reached uses ``weight`` for ``server``; a silent one holds nobody up."""
    views = [seen.answers(peer, now) for peer in lane.peers(server)]
    return not any(view is not None and weights_differ(lane, view, {server: weight}) for view in views)


def off(lane: Lane, server: str, seen: Observation, now: float) -> bool:
    """No balancer that can be reached sends to ``server`` any more."""
    return shifted_where_seen(lane, server, 0, seen, now)


# ---- forward ------------------------------------------------------------------------------------------------------


def lead(
    rollout: Rollout,
    lane: Lane,
    nodes: tuple[str, ...],
    token: str,
    started: float,
    ends: tuple[float, float],
    seen: Observation,
    now: float,
    drained: Callable[[Lane, str, int, Observation, float], bool] = shifted,
) -> Iterator[Action]:
    """Take ``nodes`` from last good to the candidate under ``token``: drain, activate, and traffic when they serve.

    ``ends`` are the promise's and the activation's last seconds after ``started``. A node whose token has ended is left
    alone: it went back, and whoever called decides what that means. ``drained`` says what counts as a node that no
    traffic is sent to.
    """
    until, expires = ends
    base = lane.base_digest
    wanted = {}
    for node in nodes:
        app = app_on(lane, node, seen, now)
        serves = on(app, lane.candidate.digest)
        wanted[node] = BASE_WEIGHT if serves else 0
        if app is None or serves or app.pending is not None or token in app.ended or app.good != base:
            continue
        if drained(lane, node, 0, seen, now) and now < started + expires:
            view = seen.nodes[node]
            yield Activate(
                node, lane.app, lane.candidate.digest, base, token, view.boot,
                view.local(started + until), view.local(started + expires),
            )  # fmt: skip
    yield from shift(rollout, lane, wanted, seen, now, started + rollout.budget.limit)


def led(lane: Lane, nodes: tuple[str, ...], seen: Observation, now: float) -> bool:
    """Every one of ``nodes`` serves the candidate, and every balancer sends to it."""
    return all(
        on(app_on(lane, node, seen, now), lane.candidate.digest) and shifted(lane, node, BASE_WEIGHT, seen, now)
        for node in nodes
    )


def confirm(rollout: Rollout, lane: Lane, seen: Observation, now: float) -> Iterator[Action]:
    """Make the promises of this rollout final, on nodes that serve the candidate with all their traffic."""
    for node in lane.nodes:
        app = app_on(lane, node, seen, now)
        if app is None or app.pending is None:
            continue
        token, serves = app.pending.token, on(app, lane.candidate.digest)
        settles = token.startswith(f"{rollout.token}.settle")
        if token == rollout.token or (settles and serves and shifted_where_seen(lane, node, BASE_WEIGHT, seen, now)):
            yield Confirm(node, lane.app, token)


def next_to_settle(rollout: Rollout, lane: Lane, seen: Observation, now: float) -> tuple[str, ...]:
    """One node of each zone that is not on the promoted release for good; one that gave this attempt up waits."""
    chosen = []
    for nodes in lane.zones.values():
        waiting = [(node, app_on(lane, node, seen, now)) for node in nodes if not settled(lane, node, seen, now)]
        able = [(node, app) for node, app in waiting if app and (app.pending or rollout.settle_token not in app.ended)]
        under_way = [(node, app) for node, app in able if app.pending]
        chosen += [node for node, _ in (under_way or able)[:1]]
    return tuple(chosen)


def settled(lane: Lane, node: str, seen: Observation, now: float) -> bool:
    app = app_on(lane, node, seen, now)
    return (
        app is not None
        and on(app, lane.candidate.digest)
        and app.good == lane.candidate.digest
        and app.pending is None
        and shifted_where_seen(lane, node, BASE_WEIGHT, seen, now)
    )


# ---- back ---------------------------------------------------------------------------------------------------------


def turn(
    rollout: Rollout,
    lane: Lane,
    tokens: tuple[str, ...],
    go_back: Callable[[str], Action | None],
    at_once: Callable[[str], bool],
    seen: Observation,
    now: float,
    until: float,
) -> Iterator[Action]:
    """Bring the lane to last good: traffic off first, nodes second, and every token ended on every node.

    A node is asked one thing after the other, so ending tokens comes last: on a control node it brings nobody back, and
    its balancer must not go on sending to the candidate meanwhile. It also waits a moment for the nodes that go back:
    where all of them share one machine, that machine is needed there.
    """
    base = lane.base_digest
    wanted = {}
    endings: list[Revert] = []
    hurry = False
    for node in lane.nodes:
        app = app_on(lane, node, seen, now)
        back = on(app, base)
        leaving = app is not None and not back and at_once(node)
        wanted[node] = BASE_WEIGHT if back or (app is not None and not leaving) else 0
        if app is None:
            continue
        hurry = hurry or leaving
        if leaving and not off(lane, node, seen, now) and now - rollout.entered_at < TRAFFIC_PATIENCE:
            continue
        if leaving and (step := go_back(node)) is not None:
            yield step
        harm = rollout.cause is Cause.HARM and lane.app in rollout.guilty
        untold = not knows_of_harm(rollout, lane, app)
        ends = [
            Revert(node, lane.app, token, rollout.short, harm)
            for token in tokens
            if token not in app.ended or (untold and token == rollout.token)
        ]
        if leaving:
            yield from ends
        elif back:
            endings += ends
    yield from shift(rollout, lane, wanted, seen, now, until)
    if not hurry or now - rollout.entered_at >= ENDING_PATIENCE:
        yield from endings


def knows_of_harm(rollout: Rollout, lane: Lane, app: AppView) -> bool:
    """False for a node that left the candidate by itself, for a restart or its deadline, and cannot know what it was.

    It must not close before it knows: nodes are what a controller that lost its ledger's last rows can still ask.
    """
    harm = rollout.cause is Cause.HARM and lane.app in rollout.guilty
    return not harm or app.went_back_token != rollout.token or lane.candidate.digest in app.harmful


def all_know(rollout: Rollout, seen: Observation, now: float) -> bool:
    """Every node that answers knows of the harm that it saw."""
    return all(
        (app := app_on(lane, node, seen, now)) is None or knows_of_harm(rollout, lane, app)
        for lane in rollout.lanes
        for node in lane.nodes
    )


def returning(rollout: Rollout, lane: Lane, node: str) -> Action | None:
    if lane.base is None:
        return None
    return Return(node, lane.app, rollout.settle_token, lane.candidate.digest, lane.base.digest)


def half_at_once(lane: Lane, seen: Observation, now: float) -> frozenset[str]:
    """Nodes that may leave the promoted release together, so that a zone never stands empty."""
    chosen: list[str] = []
    for nodes in lane.zones.values():
        base = lane.base_digest
        waiting = [node for node in nodes if not on(app_on(lane, node, seen, now), base)]
        chosen += waiting[: ceil(len(nodes) / 2)]
    return frozenset(chosen)


def back(lane: Lane, node: str, tokens: tuple[str, ...], seen: Observation, now: float) -> bool:
    """The node serves last good, holds no promise, and every token has ended on it."""
    app = app_on(lane, node, seen, now)
    base = lane.base_digest
    return app is not None and on(app, base) and app.pending is None and all(token in app.ended for token in tokens)


def end_leases(rollout: Rollout, lane: Lane, seen: Observation, now: float) -> Iterator[Action]:
    """Give the weights back: only when no node can serve the candidate any more, or all may."""
    for node in lane.nodes:
        app = app_on(lane, node, seen, now)
        for token in rollout.lease_tokens:
            if app is not None and token not in app.ended:
                yield Revert(node, lane.app, token, "weights back to base")


def leases_ended(rollout: Rollout, seen: Observation, now: float) -> bool:
    return all(
        (app := app_on(lane, node, seen, now)) is not None and app.ended.issuperset(rollout.lease_tokens)
        for lane in rollout.lanes
        for node in lane.nodes
    )
