"""What is asked of a fleet next, node by node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model import (
    Activate,
    AppView,
    Cause,
    Confirm,
    Observation,
    Phase,
    Return,
    Revert,
    Stage,
    Traffic,
)
from controller.rollout import steps
from tests.unit.scene import (
    BUDGET,
    NOW,
    L,
    X,
    confirmed,
    lane,
    on_base,
    on_candidate,
    promise,
    rollout,
    seen,
    view,
    weighted,
)

DEPLOYING = rollout(Phase.DEPLOYING)
DRAINED = weighted(seen(on_base(), on_base()), {"mqtt/bos-a": 0})


def led_by(observation: Observation, nodes: tuple[str, ...] = ("bos-a",), **changes: Any) -> list[Any]:
    started, drained = changes.get("started", NOW - 20), changes.get("drained", steps.shifted)
    ends = (BUDGET.end, BUDGET.deploy)
    return list(steps.lead(DEPLOYING, lane(), nodes, "prod-r7", started, ends, observation, NOW, drained))


# ---- what a node is on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "digest", "is_on"),
    [
        (on_base(), L, True),
        (on_base(), X, False),
        (on_base(ready=False), L, False),
        (on_base(switching=True), L, False),
        (AppView(), None, True),
        (AppView(switching=True), None, False),
        (on_base(), None, False),
        (None, L, False),
        (None, None, False),
    ],
)
def test_a_node_is_on_a_release_when_it_serves_with_it(app: AppView | None, digest: str | None, is_on: bool) -> None:
    assert steps.on(app, digest) is is_on


def test_only_nodes_that_lack_the_bits_are_sent_them() -> None:
    lacking = seen(on_base(staged=frozenset({L})), on_base())

    assert list(steps.stage(rollout(), lacking, NOW)) == [Stage("bos-a", "mqtt", X)]


# ---- forward ------------------------------------------------------------------------------------------------------


def test_traffic_leaves_a_node_before_it_is_activated() -> None:
    first = led_by(seen(on_base(), on_base()))

    assert [(type(a), a.node, a.weights) for a in first] == [
        (Traffic, "bos-a", (("mqtt/bos-a", 0),)),
        (Traffic, "bos-b", (("mqtt/bos-a", 0),)),
    ]


def test_a_drained_node_is_activated_with_times_on_its_own_clock() -> None:
    asked = led_by(DRAINED)

    assert asked == [
        Activate("bos-a", "mqtt", X, L, "prod-r7", "boot-of-bos-a", 100.0 - 20 + 125, 100.0 - 20 + 60)
    ]  # fmt: skip


def test_an_old_answer_makes_a_deadline_early_not_late() -> None:
    """The answer was received 3 s ago: the node's clock then is what its times are counted from."""
    aged = replace(DRAINED, nodes={**DRAINED.nodes, "bos-a": view("bos-a", on_base(), age=3.0)})
    aged = weighted(aged, {"mqtt/bos-a": 0})

    assert led_by(aged)[0].until == 205.0


@pytest.mark.parametrize(
    "app",
    [
        None,
        on_base(pending=promise("prod-r6")),
        on_base(ended=frozenset({"prod-r7"})),
        on_base(good=X),
        on_candidate(ready=False),
    ],
    ids=["silent", "pending under another token", "token ended", "other last good", "already on its way"],
)
def test_a_node_that_cannot_take_it_is_not_activated(app: AppView | None) -> None:
    assert not [a for a in led_by(weighted(seen(app, on_base()), {"mqtt/bos-a": 0})) if isinstance(a, Activate)]


def test_nothing_is_activated_after_its_expiry() -> None:
    assert not led_by(DRAINED, started=NOW - 60)


def test_a_balancer_that_does_not_answer_holds_up_an_activation_in_flight_but_no_settling() -> None:
    half = replace(DRAINED, nodes={"bos-a": DRAINED.nodes["bos-a"]})
    assert not [a for a in led_by(half) if isinstance(a, Activate)]
    assert [a for a in led_by(half, drained=steps.shifted_where_seen) if isinstance(a, Activate)]


def test_traffic_comes_back_to_a_node_that_serves_the_candidate() -> None:
    serving = weighted(seen(on_candidate(), on_base()), {"mqtt/bos-a": 0})

    asked = led_by(serving)

    assert {(a.node, a.weights) for a in asked} == {
        ("bos-a", (("mqtt/bos-a", 100),)),
        ("bos-b", (("mqtt/bos-a", 100),)),
    }
    assert not led_by(seen(on_candidate(), on_base())), "asked once, it is enough"


def test_a_lease_ends_with_the_limit_on_the_node_s_clock_and_is_not_taken_after_it_ended() -> None:
    asked = led_by(seen(on_base(), on_base()))
    assert {(a.token, a.boot, a.until, a.expires) for a in asked if a.node == "bos-a"} == {
        ("prod-r7.weights", "boot-of-bos-a", 100.0 - 20 + 180, 100.0 - 20 + 180)
    }
    given_back = on_base(ended=frozenset({"prod-r7.weights"}))
    assert [a.node for a in led_by(seen(on_base(), given_back))] == ["bos-a"]


def test_nodes_of_another_zone_are_not_asked_about_weights() -> None:
    zones = {"BOS": ("bos-a",), "DFW": ("dfw-a",)}
    apart = lane(zones=zones, waves=(("bos-a",),))
    views = {name: view(name, on_base(), weights={f"mqtt/{name}": 100}) for name in ("bos-a", "dfw-a")}

    asked = list(steps.shift(DEPLOYING, apart, {"bos-a": 0}, Observation(views, 5.0), NOW, NOW + 180))

    assert [(type(a), a.node) for a in asked] == [(Traffic, "bos-a")]


# ---- confirming and settling --------------------------------------------------------------------------------------

PROMOTED = rollout(Phase.PROMOTED, settle=2)


def test_the_rollout_s_own_promise_is_confirmed_as_it_is() -> None:
    unready = seen(on_candidate(ready=False), on_base())

    assert list(steps.confirm(PROMOTED, lane(), unready, NOW)) == [Confirm("bos-a", "mqtt", "prod-r7")]


@pytest.mark.parametrize("token", ["prod-r7.settle2", "prod-r7.settle1"])
def test_a_settle_promise_is_confirmed_once_the_node_serves_with_its_traffic(token: str) -> None:
    """Also one of an earlier attempt: behind a one-way door a node is frozen with it."""
    frozen = seen(confirmed(), on_candidate(token, frozen=True))

    assert list(steps.confirm(PROMOTED, lane(), frozen, NOW)) == [Confirm("bos-b", "mqtt", token)]
    assert not list(steps.confirm(PROMOTED, lane(), weighted(frozen, {"mqtt/bos-b": 0}), NOW))
    unready = seen(confirmed(), on_candidate(token, ready=False))
    assert not list(steps.confirm(PROMOTED, lane(), unready, NOW))


def test_a_promise_of_another_rollout_is_not_confirmed() -> None:
    assert not list(steps.confirm(PROMOTED, lane(), seen(on_candidate("prod-r6"), on_base()), NOW))


THREE = lane(nodes=("bos-a", "bos-b", "bos-c"))


def three(a: AppView | None, b: AppView | None, c: AppView | None) -> Observation:
    weights = {f"mqtt/bos-{letter}": 100 for letter in "abc"}
    found = {"bos-a": a, "bos-b": b, "bos-c": c}
    return Observation({n: view(n, app, weights=weights) for n, app in found.items() if app is not None}, 5.0)


def test_one_node_of_a_zone_settles_after_the_other() -> None:
    assert steps.next_to_settle(PROMOTED, THREE, three(confirmed(), on_base(), on_base()), NOW) == ("bos-b",)
    under_way = three(confirmed(), on_base(), on_candidate("prod-r7.settle2", ready=False))
    assert steps.next_to_settle(PROMOTED, THREE, under_way, NOW) == ("bos-c",)


@pytest.mark.parametrize(
    "straggler", [None, on_base(ended=frozenset({"prod-r7.settle2"}))], ids=["silent", "gave this attempt up"]
)
def test_a_node_that_cannot_settle_holds_up_no_other(straggler: AppView | None) -> None:
    observation = three(confirmed(), straggler, on_base())

    assert steps.next_to_settle(PROMOTED, THREE, observation, NOW) == ("bos-c",)
    assert steps.settled(THREE, "bos-a", observation, NOW)
    assert not steps.settled(THREE, "bos-b", observation, NOW)


# ---- back ---------------------------------------------------------------------------------------------------------

REVERTING = rollout(Phase.REVERTING, cause=Cause.BLIND, entered_at=NOW)


def turned(before: Any, observation: Observation, now: float = NOW, after_promotion: bool = False) -> list[Any]:
    the_lane = before.lanes[0]
    go_back = (lambda node: steps.returning(before, the_lane, node)) if after_promotion else (lambda node: None)
    return list(
        steps.turn(before, the_lane, before.tokens, go_back, lambda node: True, observation, now, now + 180)
    )  # fmt: skip


def test_traffic_leaves_before_the_node_is_told_but_is_not_waited_for_longer_than_a_second() -> None:
    serving = seen(on_candidate(), on_base(ended=frozenset({"prod-r7"})))

    first = turned(REVERTING, serving)
    assert {(type(a), a.node) for a in first} == {(Traffic, "bos-a"), (Traffic, "bos-b")}

    drained = weighted(serving, {"mqtt/bos-a": 0})
    assert turned(REVERTING, drained) == [Revert("bos-a", "mqtt", "prod-r7", "because")]
    assert Revert("bos-a", "mqtt", "prod-r7", "because") in turned(REVERTING, serving, NOW + steps.TRAFFIC_PATIENCE)


def test_every_token_is_ended_on_every_node_that_answers() -> None:
    """Also where it never arrived: it may still be under way."""
    settling = replace(REVERTING, settle=2)

    asked = turned(settling, seen(on_base(), None))

    assert [(a.node, a.token) for a in asked if isinstance(a, Revert)] == [
        ("bos-a", "prod-r7"),
        ("bos-a", "prod-r7.settle1"),
        ("bos-a", "prod-r7.settle2"),
    ]


def test_a_silent_node_gets_no_traffic_while_it_may_run_the_candidate() -> None:
    asked = turned(REVERTING, seen(on_base(), None))

    assert [a.weights for a in asked if isinstance(a, Traffic)] == [(("mqtt/bos-b", 0),)]


def test_after_a_promotion_a_node_returns_from_its_own_disk() -> None:
    returning = rollout(Phase.RETURNING, cause=Cause.ABORTED, settle=1)
    drained = weighted(seen(confirmed(), confirmed()), {"mqtt/bos-a": 0, "mqtt/bos-b": 0})

    asked = turned(returning, drained, after_promotion=True)

    assert Return("bos-a", "mqtt", "prod-r7.settle1", X, L) in asked
    assert Revert("bos-a", "mqtt", "prod-r7.settle1", "because") in asked


def test_a_first_release_has_nothing_to_return_to() -> None:
    assert steps.returning(rollout(Phase.RETURNING), lane(base=None), "bos-a") is None


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_half_of_a_zone_returns_at_once(count: int, at_once: int) -> None:
    nodes = tuple(f"bos-{letter}" for letter in "abcd"[:count])
    observation = Observation({node: view(node, confirmed()) for node in nodes}, 5.0)

    assert len(steps.half_at_once(lane(nodes=nodes), observation, NOW)) == at_once


def test_leases_of_every_way_are_given_back_and_asked_for_until_they_are() -> None:
    returning = rollout(Phase.RETURNING, cause=Cause.ABORTED, settle=1)
    tokens = ("prod-r7.weights", "prod-r7.settle1.weights", "prod-r7.return.weights")

    asked = list(steps.end_leases(returning, lane(), seen(on_base(ended=frozenset(tokens[:1])), None), NOW))

    assert [a.token for a in asked if isinstance(a, Revert)] == list(tokens[1:])
    back = on_base(ended=frozenset(tokens))
    assert not steps.leases_ended(returning, seen(back, None), NOW)
    assert steps.leases_ended(returning, seen(back, back), NOW)


def test_only_the_newest_attempts_to_settle_are_ended() -> None:
    """A node remembers so many tokens and no more; what was sent in earlier attempts has expired."""
    tokens = rollout(Phase.STUCK, heading=Phase.PROMOTED, settle=400).tokens

    assert tokens == ("prod-r7", "prod-r7.settle398", "prod-r7.settle399", "prod-r7.settle400")
