"""Values for tests of deciding: a fleet of two nodes (one canary, one control), a rollout on it, and what is seen.

``Scene`` builds what one test needs; every default is the quiet case, and a test says only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.model import (
    Action,
    AppRelease,
    AppView,
    Decision,
    Finding,
    Lane,
    NodeView,
    Observation,
    Order,
    Outcome,
    Phase,
    Promise,
    Rollout,
    Verdict,
)
from controller.rollout.decide import decide
from environments import Budget

BUDGET = Budget(deploy=60.0, watch=60.0, revert=60.0, margin=5.0)
L, X = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NOW = 1000.0
BOOT = "boot-of-"


def release(digest: str = X, app: str = "mqtt", on_deadline: str = "revert") -> AppRelease:
    return AppRelease(
        app, digest, f"artifact of {digest}", f"config of {digest}", digest[7:47], "a change", on_deadline
    )


def lane(app: str = "mqtt", nodes: tuple[str, ...] = ("bos-a", "bos-b"), **changes: Any) -> Lane:
    made = Lane(app, release(app=app), release(L, app), {"BOS": nodes}, ((nodes[0],),), (app,))
    return replace(made, **changes)


def rollout(phase: Phase = Phase.PENDING, **changes: Any) -> Rollout:
    """Rollout 7 as it stands in ``phase``: T0 was 20 s ago, the watch began 10 s ago."""
    t0 = None if phase is Phase.PENDING else NOW - 20
    watch_from = None if phase in (Phase.PENDING, Phase.DEPLOYING) else NOW - 10
    made = Rollout(
        7, "prod", X[7:47], "a change", (lane(),), BUDGET, 3, "this clock", phase, entered_at=NOW - 10, why="Because.",
        short="because", t0=t0, watch_from=watch_from,
    )  # fmt: skip
    if phase is Phase.PROMOTED:
        made = replace(made, settle=1, settle_t0=NOW - 10)
    return replace(made, **changes)


def promise(token: str = "prod-r7", digest: str = X) -> Promise:
    return Promise(token, digest, L, 500.0, 3)


def on_base(**changes: Any) -> AppView:
    return replace(AppView(running=L, good=L, ready=True, staged=frozenset({L, X})), **changes)


def on_candidate(token: str = "prod-r7", **changes: Any) -> AppView:
    made = AppView(running=X, good=L, pending=promise(token), ready=True, staged=frozenset({L, X}))
    return replace(made, **changes)


def confirmed(**changes: Any) -> AppView:
    ended = frozenset({"prod-r7"})
    return replace(AppView(running=X, good=X, previous=L, ready=True, staged=frozenset({L, X}), ended=ended), **changes)


def view(node: str, app: AppView, name: str = "mqtt", age: float = 0.0, **changes: Any) -> NodeView:
    """What ``node`` answered ``age`` seconds ago; its boot clock is 900 s behind the controller's."""
    at = NOW - age
    weights = {f"{name}/bos-a": 100, f"{name}/bos-b": 100}
    return replace(NodeView(node, at, BOOT + node, at - 900.0, {name: app}, weights), **changes)


def seen(a: AppView | None, b: AppView | None, **changes: Any) -> Observation:
    """Nodes bos-a and bos-b as they answered just now; None: never answered."""
    nodes = {name: view(name, app) for name, app in (("bos-a", a), ("bos-b", b)) if app is not None}
    return replace(Observation(nodes, silence=5.0), **changes)


def weighted(observation: Observation, weights: Mapping[str, int]) -> Observation:
    nodes = {n: replace(v, weights={**v.weights, **weights}) for n, v in observation.nodes.items()}
    return replace(observation, nodes=nodes)


def deafened(observation: Observation, node: str, seconds: float = 6.0) -> Observation:
    """The node answers, and its balancer has not for so long."""
    view = replace(observation.nodes[node], weights_at=NOW - seconds)
    return replace(observation, nodes={**observation.nodes, node: view})


def verdict(outcome: Outcome, app: str = "mqtt") -> Verdict:
    finding = Finding(app, "errors", "existing", outcome, "said so")
    return Verdict(outcome, f"The judge says {outcome}.", f"judge: {outcome}", (finding,), 3.0, 100.0)


def order(verb: str, row: int = 9) -> Order:
    return Order(verb, "kim", "the reason", row)


def after(before: Rollout, observation: Observation, now: float = NOW) -> Rollout:
    return decide(before, observation, now).rollout


def asked(decision: Decision, kind: type[Action]) -> list[Any]:
    return [action for action in decision.actions if isinstance(action, kind)]
