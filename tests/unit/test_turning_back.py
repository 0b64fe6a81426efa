"""The order in which nodes are asked when a rollout turns back: traffic off the candidate before anything else."""

from __future__ import annotations

from dataclasses import replace

from controller.model import (
    BASE_WEIGHT,
    AppRelease,
    AppView,
    Cause,
    Lane,
    NodeView,
    Observation,
    Phase,
    Promise,
    Revert,
    Rollout,
    Traffic,
)
from controller.rollout.decide import decide
from controller.rollout.steps import ENDING_PATIENCE
from environments import Budget

NOW = 100.0
NODES = ("bos-a", "bos-b", "bos-c")


def release(letter: str) -> AppRelease:
    digest = f"sha256:{letter * 64}"
    return AppRelease("mqtt", digest, digest, digest, letter * 40)


NEW, GOOD = release("c"), release("b")
ROLLOUT = Rollout(
    3, "prod", NEW.commit, "", (Lane("mqtt", NEW, GOOD, {"BOS": NODES}, (("bos-a",),), ("mqtt", "http")),),
    Budget(60, 60, 60, 5), 1, "boot", Phase.REVERTING, NOW, "harm", "harm", Cause.HARM, t0=80.0, guilty=("mqtt",),
)  # fmt: skip


def fleet(now: float = NOW) -> dict[str, NodeView]:
    """bos-a serves the candidate with all its traffic, the others are on last good."""
    weights = {f"{backend}/{node}": BASE_WEIGHT for backend in ("mqtt", "http") for node in NODES}
    pending = Promise(ROLLOUT.token, NEW.digest, GOOD.digest, 205.0, 1)
    canary = AppView(running=NEW.digest, good=GOOD.digest, pending=pending, ready=True)
    control = AppView(running=GOOD.digest, good=GOOD.digest, ready=True)
    apps = {node: canary if node == "bos-a" else control for node in NODES}
    return {node: NodeView(node, now, "boot", now, {"mqtt": app}, weights) for node, app in apps.items()}


def test_a_control_node_drains_the_canary_before_it_ends_the_token() -> None:
    late = NOW + ENDING_PATIENCE
    for now, wanted in ((NOW, [Traffic]), (late, [Traffic, Revert])):
        asked = decide(ROLLOUT, Observation(fleet(now), silence=5.0), now).actions
        for node in ("bos-b", "bos-c"):
            kinds = [type(action) for action in asked if action.node == node]
            assert kinds[: len(wanted)] == wanted, f"{node} sends to the candidate while it is asked something else"


def test_tokens_are_ended_everywhere_once_every_node_is_back() -> None:
    views = fleet()
    back = AppView(running=GOOD.digest, good=GOOD.digest, ready=True, ended=frozenset({ROLLOUT.token}))
    views["bos-a"] = replace(views["bos-a"], apps={"mqtt": back})
    asked = decide(ROLLOUT, Observation(views, silence=5.0), NOW).actions
    assert {action.node for action in asked if isinstance(action, Revert)} >= {"bos-b", "bos-c"}


def test_a_balancer_that_cannot_be_turned_does_not_keep_its_node_on_the_candidate() -> None:
    later = NOW + 1.0  # the traffic has had its time to leave
    asked = decide(ROLLOUT, Observation(fleet(), silence=5.0), later).actions
    assert isinstance(next(action for action in asked if action.node == "bos-a"), Revert)
