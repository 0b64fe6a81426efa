"""A candidate that is not ready: harm where last good is ready beside it, an incident where last good is not either."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
)
from controller.rollout.decide import decide
from controller.rollout.plan import held
from controller.rollout.standing import Standing, closed
from environments import Budget

NOW = 100.0
NODES = ("bos-a", "bos-b", "bos-c")


def release(letter: str) -> AppRelease:
    digest = f"sha256:{letter * 64}"
    return AppRelease("mqtt", digest, digest, digest, letter * 40)


NEW, GOOD = release("c"), release("b")
LANE = Lane("mqtt", NEW, GOOD, {"BOS": NODES}, (("bos-a",),), ("mqtt", "http"))
ROLLOUT = Rollout(
    3, "prod", NEW.commit, "", (LANE,), Budget(60, 60, 60, 5), 1, "boot", Phase.WATCHING, 90.0, t0=80.0, watch_from=90.0
)  # fmt: skip
STAGED = frozenset({NEW.digest, GOOD.digest})
ENDED = frozenset({ROLLOUT.token})
CONTROL = AppView(running=GOOD.digest, good=GOOD.digest, ready=True, staged=STAGED)
WENT = replace(
    CONTROL, ended=ENDED, went_back="had been ready and was not for 6 s", went_back_kind="unready",
    went_back_token=ROLLOUT.token,
)  # fmt: skip
HELD_UP = replace(
    CONTROL, running=NEW.digest, pending=Promise(ROLLOUT.token, NEW.digest, GOOD.digest, 205.0, 1), ready=False
)  # fmt: skip


def seen(canary: AppView, *controls: AppView | None, now: float = NOW) -> Observation:
    """What the fleet answers; None is a node that is silent."""
    weights = {f"{backend}/{node}": BASE_WEIGHT for backend in ("mqtt", "http") for node in NODES}
    views = {
        node: NodeView(node, now, "boot", now, {"mqtt": app}, weights)
        for node, app in zip(NODES, (canary, *controls), strict=True)
        if app is not None
    }
    return Observation(views, silence=5.0)


def after(rollout: Rollout, observation: Observation, now: float = NOW) -> Rollout:
    return decide(rollout, observation, now).rollout


UNREADY = replace(CONTROL, ready=False)


@pytest.mark.parametrize("phase", [Phase.DEPLOYING, Phase.WATCHING])
def test_unready_beside_a_control_node_that_is_ready_is_harm(phase: Phase) -> None:
    turned = after(replace(ROLLOUT, phase=phase), seen(WENT, CONTROL, UNREADY))
    assert (turned.phase, turned.cause, turned.guilty) == (Phase.REVERTING, Cause.HARM, ("mqtt",))
    assert turned.why == "mqtt ccccccc was not ready for 5 s on bos-a while bos-b, on last good, was."
    assert turned.short == "not ready for 5 s on bos-a while bos-b, on last good, was"


@pytest.mark.parametrize("phase", [Phase.DEPLOYING, Phase.WATCHING])
def test_unready_while_no_control_node_is_ready_is_an_incident(phase: Phase) -> None:
    turned = after(replace(ROLLOUT, phase=phase), seen(WENT, UNREADY, UNREADY))
    assert (turned.phase, turned.cause, turned.guilty) == (Phase.REVERTING, Cause.INCIDENT, ())
    assert turned.why == (
        "mqtt: candidate and last good are both not ready (bos-a and bos-b, bos-c): something outside them is broken."
    )
    assert turned.short == "mqtt: candidate and last good are both not ready"


def test_control_nodes_that_are_silent_prove_nothing() -> None:
    turned = after(ROLLOUT, seen(WENT, None, None))
    assert turned.cause is Cause.BLIND
    assert after(ROLLOUT, seen(WENT, UNREADY, None)).cause is Cause.INCIDENT


def test_a_control_node_that_is_ready_again_only_now_was_not_ready_beside_it() -> None:
    """What was away for six seconds is back: it was away for both."""
    again = replace(CONTROL, ready_for=1.0)
    assert after(ROLLOUT, seen(WENT, again, UNREADY)).cause is Cause.INCIDENT
    assert after(ROLLOUT, seen(WENT, again, replace(CONTROL, ready_for=5.0))).cause is Cause.HARM


def test_a_control_node_that_runs_something_else_does_not_speak_for_last_good() -> None:
    foreign = replace(CONTROL, running=NEW.digest)
    assert after(ROLLOUT, seen(WENT, foreign, foreign)).cause is Cause.INCIDENT


def test_where_there_is_no_control_node_unready_is_harm() -> None:
    alone = replace(LANE, base=None, waves=(NODES,))
    turned = after(replace(ROLLOUT, lanes=(alone,)), seen(WENT, CONTROL, CONTROL))
    assert (turned.cause, turned.why) == (Cause.HARM, "mqtt ccccccc was not ready for 5 s on bos-a.")


@pytest.mark.parametrize("kind", ["deadline", "restart", "start", ""])
def test_a_node_that_went_back_for_another_reason_is_blindness_still(kind: str) -> None:
    assert after(ROLLOUT, seen(replace(WENT, went_back_kind=kind), CONTROL, CONTROL)).cause is Cause.BLIND


def test_what_an_earlier_rollout_left_behind_is_no_reason() -> None:
    earlier = replace(HELD_UP, ready=True, ended=frozenset({"prod-r2"}), went_back_kind="unready")
    assert after(ROLLOUT, seen(earlier, CONTROL, CONTROL)).phase is Phase.WATCHING


def test_a_crash_is_harm_whatever_the_control_nodes_do() -> None:
    crashed = replace(WENT, went_back_kind="exit", harmful=frozenset({NEW.digest}))
    assert after(ROLLOUT, seen(crashed, UNREADY, UNREADY)).cause is Cause.HARM


# ---- at the end of the deploy budget


@pytest.mark.parametrize(
    ("controls", "cause", "short"),
    [
        ((CONTROL, UNREADY), Cause.HARM, "not ready on bos-a within 60 s"),
        ((UNREADY, UNREADY), Cause.INCIDENT, "mqtt: candidate and last good are both not ready"),
    ],
)
def test_never_ready_is_harm_only_where_last_good_is_ready(
    controls: tuple[AppView, ...], cause: Cause, short: str
) -> None:
    late = 141.0
    deploying = replace(ROLLOUT, phase=Phase.DEPLOYING, watch_from=None)
    turned = after(deploying, seen(HELD_UP, *controls, now=late), late)
    assert (turned.cause, turned.short) == (cause, short)


def test_never_ready_without_a_control_node_is_harm() -> None:
    alone = replace(ROLLOUT, phase=Phase.DEPLOYING, watch_from=None, lanes=(replace(LANE, base=None, waves=(NODES,)),))
    assert after(alone, seen(HELD_UP, HELD_UP, HELD_UP, now=141.0), 141.0).cause is Cause.HARM


# ---- afterwards


def test_a_node_is_told_that_what_it_gave_up_was_harm() -> None:
    """Alone it could not know; and if the ledger is lost, nodes are what remembers."""
    reverting = after(ROLLOUT, seen(WENT, CONTROL, CONTROL))
    told = decide(reverting, seen(WENT, CONTROL, CONTROL), NOW).actions
    assert Revert("bos-a", "mqtt", ROLLOUT.token, reverting.short, harm=True) in told
    knows = replace(WENT, harmful=frozenset({NEW.digest}))
    assert not any(action.node == "bos-a" for action in decide(reverting, seen(knows, CONTROL, CONTROL), NOW).actions)


def test_after_an_incident_a_node_remembers_no_harm() -> None:
    reverting = after(ROLLOUT, seen(WENT, UNREADY, UNREADY))
    asked = decide(reverting, seen(WENT, UNREADY, UNREADY), NOW).actions
    assert not any(isinstance(action, Revert) and action.harm for action in asked)


def test_an_incident_is_tried_again_once_last_good_is_ready_and_not_before() -> None:
    held_up = replace(after(ROLLOUT, seen(WENT, UNREADY, UNREADY)), phase=Phase.HELD)
    assert held(closed(Standing(), held_up), NEW, "prod") is None, "it may be tried again at once"
    again = replace(ROLLOUT, number=4, phase=Phase.PENDING, t0=None, watch_from=None)
    for nodes in ((CONTROL, UNREADY, UNREADY), (CONTROL, CONTROL, UNREADY), (UNREADY, CONTROL, CONTROL)):
        assert after(again, seen(*nodes)).phase is Phase.PENDING
    assert after(again, seen(WENT, CONTROL, CONTROL)).phase is Phase.DEPLOYING
