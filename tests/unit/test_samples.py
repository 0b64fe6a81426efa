"""From cumulative counters to what happened on both arms between two looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.judge.samples import (
    Cell,
    Counts,
    Sample,
    Telemetry,
    above,
    arm_of,
    arms,
    arms_of_nodes,
    former,
    sample,
    slow_above,
)
from controller.model import AppView, Arm, Check, Lane, NodeView
from tests.unit.scene import NOW, L, X, lane

EDGES = (1.0, 10.0, 100.0)
ONE = lane(nodes=("bos-a", "bos-b", "bos-c"))


def counts(total: int, bad: int = 0, clients: int = 0, bad_clients: int = 0, slow: int = 0) -> Counts:
    """``slow`` of the events took longer than the last edge."""
    return Counts(total, bad, clients, bad_clients, (total - slow, 0, 0, slow))


def telemetry(node: str, runs: str | None, events: dict[tuple[str, str], Counts], **changes: Any) -> Telemetry:
    weights = changes.pop("weights", {f"mqtt/bos-{letter}": 100 for letter in "abc"})
    view = NodeView(node, NOW, "boot", NOW, {"mqtt": AppView(running=runs, ready=True)}, weights)
    return replace(Telemetry(view, 5.0, EDGES, events), **changes)


def fleet(a: str | None, events: dict[str, dict[tuple[str, str], Counts]], **changes: Any) -> dict[str, Telemetry]:
    """bos-a runs ``a``, the others last good; ``events`` by balancer."""
    runs = {"bos-a": a, "bos-b": L, "bos-c": L}
    return {node: telemetry(node, runs[node], events.get(node, {}), **changes) for node in runs}


def sampled(before: dict[str, Telemetry], after: dict[str, Telemetry], on: Lane = ONE) -> Sample:
    return sample(on, before, after, NOW)


def test_a_sample_holds_what_came_between_two_looks_from_every_balancer() -> None:
    before = fleet(X, {"bos-b": {("bos-a", "/x"): counts(100, 5), ("bos-b", "/x"): counts(50, 1)}})
    after = fleet(
        X,
        {
            "bos-b": {("bos-a", "/x"): counts(130, 8), ("bos-b", "/x"): counts(60, 1)},
            "bos-c": {("bos-a", "/x"): counts(7, 1), ("bos-c", "/x"): counts(3)},
        },
    )

    (cell,) = sampled(before, after).cells

    assert (cell.zone, cell.path) == ("BOS", "/x")
    assert (cell.canary.total, cell.canary.bad) == (37, 4)
    assert (cell.control.total, cell.control.bad) == (13, 0)


def test_counters_that_began_again_are_counted_from_zero() -> None:
    before = fleet(X, {"bos-b": {("bos-a", "/x"): counts(100, 5)}})
    after = fleet(X, {"bos-b": {("bos-a", "/x"): counts(4, 1)}}, since=9.0)

    (cell,) = sampled(before, after).cells

    assert (cell.canary.total, cell.canary.bad) == (4, 1)


def test_a_missed_look_loses_nothing() -> None:
    looks = [fleet(X, {"bos-b": {("bos-a", "/x"): counts(n * 10, n)}}) for n in range(4)]
    one_by_one = [sampled(looks[i], looks[i + 1]).cells[0].canary for i in range(3)]

    (at_once,) = sampled(looks[0], looks[3]).cells

    assert at_once.canary.total == sum(part.total for part in one_by_one) == 30
    assert at_once.canary.bad == sum(part.bad for part in one_by_one) == 3


def test_a_balancer_that_was_not_seen_at_both_looks_is_left_out() -> None:
    after = fleet(X, {"bos-b": {("bos-a", "/x"): counts(10)}})
    before = {name: seen for name, seen in after.items() if name != "bos-b"}

    assert sampled(before, after).cells == ()


def test_zones_and_paths_are_kept_apart() -> None:
    zones = {"BOS": ("bos-a", "bos-b"), "DFW": ("dfw-a",)}
    apart = lane(zones=zones)
    runs = {"bos-a": X, "bos-b": L, "dfw-a": L}
    events = {
        "bos-b": {("bos-a", "/x"): counts(1), ("bos-a", "/y"): counts(2)},
        "dfw-a": {("dfw-a", "/x"): counts(4)},
    }
    before = {node: telemetry(node, digest, {}) for node, digest in runs.items()}
    after = {node: telemetry(node, digest, events.get(node, {})) for node, digest in runs.items()}

    cells = sampled(before, after, apart).cells

    assert [(cell.zone, cell.path, cell.canary.total, cell.control.total) for cell in cells] == [
        ("BOS", "/x", 1, 0), ("BOS", "/y", 2, 0), ("DFW", "/x", 0, 4),
    ]  # fmt: skip


# ---- which arm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "now", "weight", "arm"),
    [
        (X, X, 100, "canary"),
        (L, L, 100, "control"),
        (L, X, 0, "canary"),
        (None, X, 0, "canary"),
        (L, X, 100, None),
        (X, L, 0, None),
        (X, None, 0, None),
        (L, None, 100, None),
    ],
    ids=[
        "the candidate at both looks", "last good at both looks", "changed while drained: from its first request on",
        "started while drained", "changed under traffic: nobody knows which", "went back", "stopped", "control stopped",
    ],
)  # fmt: skip
def test_the_arm_of_a_server(then: str | None, now: str | None, weight: int, arm: str | None) -> None:
    weights = {"mqtt/bos-a": weight, "mqtt/bos-b": 100, "mqtt/bos-c": 100}

    assert arm_of(ONE, "bos-a", "bos-b", fleet(then, {}, weights=weights), fleet(now, {})) == arm


def test_a_server_that_is_no_node_of_the_lane_has_no_arm() -> None:
    assert arm_of(ONE, "elsewhere", "bos-b", fleet(X, {}), fleet(X, {})) is None


def test_a_first_release_has_no_control() -> None:
    first = lane(base=None, nodes=("bos-a", "bos-b", "bos-c"))

    assert arm_of(first, "bos-b", "bos-b", fleet(X, {}), fleet(X, {})) is None
    assert arm_of(first, "bos-a", "bos-b", fleet(X, {}), fleet(X, {})) == "canary"


def test_a_node_belongs_to_an_arm_while_it_runs_the_same_release_from_look_to_look() -> None:
    before, after = fleet(X, {}), fleet(X, {})
    assert arms_of_nodes(ONE, before, after) == {"bos-a": "canary", "bos-b": "control", "bos-c": "control"}
    assert arms_of_nodes(ONE, fleet(L, {}), after).keys() == {"bos-b", "bos-c"}
    assert arms_of_nodes(ONE, before, fleet(None, {})).keys() == {"bos-b", "bos-c"}
    assert arms_of_nodes(ONE, {}, after) == {}


# ---- what a check counts ------------------------------------------------------------------------------------------

CELL = Cell("BOS", "/x", counts(100, 50, 10, 2), counts(100, 4, 40, 3), 7, 5)
OTHER = Cell("BOS", "/y", counts(8, 0, 8), counts(9, 0, 9), 0, 0)


def test_a_client_that_retries_counts_once_a_second_where_the_check_says_so() -> None:
    """One broken client hammers: 50 bad calls, 2 bad clients."""
    taken = Sample("mqtt", NOW, (CELL,))

    assert list(arms(taken, (), once_per_client=False)) == [("BOS", "/x", Arm(100, 50), Arm(100, 4))]
    assert list(arms(taken, (), once_per_client=True)) == [("BOS", "/x", Arm(10, 2), Arm(40, 3))]


def test_a_check_counts_the_paths_that_it_names_and_all_when_it_names_none() -> None:
    taken = Sample("mqtt", NOW, (CELL, OTHER))

    assert [path for _, path, _, _ in arms(taken, ("/y",), False)] == ["/y"]
    assert [path for _, path, _, _ in arms(taken, (), False)] == ["/x", "/y"]


def test_slow_events_are_those_above_the_edge() -> None:
    assert above(Counts(10, 0, 0, 0, (1, 2, 3, 4)), EDGES, 10.0) == 7
    assert above(Counts(10, 0, 0, 0, (1, 2, 3, 4)), EDGES, None) == 0
    assert above(Counts(10), EDGES, 10.0) == 0
    assert above(Counts(10, 0, 0, 0, (1, 2, 3, 4)), EDGES, 20.0) == 4, "an edge of an older node program"


def test_last_good_s_slowest_twentieth_is_measured_before_the_rollout() -> None:
    latencies = {("bos-b", "/x"): Counts(1000, 0, 0, 0, (900, 55, 40, 5))}

    assert slow_above(ONE, fleet(L, {"bos-b": latencies})) == 10.0
    assert slow_above(ONE, fleet(L, {"bos-b": {("bos-b", "/x"): counts(99)}})) is None, "too few to say"
    all_slow = {("bos-b", "/x"): Counts(1000, 0, 0, 0, (0, 0, 0, 1000))}
    assert slow_above(ONE, fleet(L, {"bos-b": all_slow})) == EDGES[-1]


def test_the_past_is_kept_where_there_are_no_more_controls_than_canaries() -> None:
    errors = Check("errors", "share", paths=("/x",), once_per="client")
    events = {"bos-b": {("bos-b", "/x"): counts(500, 9, 300, 2), ("bos-b", "/y"): counts(99)}}
    small = lane(nodes=("bos-a", "bos-b"), checks=(errors, replace(errors, name="new", about="new")))

    assert former(small, fleet(L, events)) == {"errors": Arm(300, 2)}
    assert former(replace(ONE, checks=(errors,)), fleet(L, events)) == {}
    assert former(lane(base=None, checks=(errors,)), fleet(L, events)) == {}


# ---- the applications' own counters -------------------------------------------------------------------------------


def test_own_counters_belong_to_the_release_that_exported_them() -> None:
    before = fleet(X, {})
    after = fleet(X, {})
    after["bos-a"] = replace(after["bos-a"], metrics={"stored": 3.0}, metrics_of=X)
    after["bos-b"] = replace(after["bos-b"], metrics={"stored": 5.0}, metrics_of=L)
    after["bos-c"] = replace(after["bos-c"], metrics={"stored": 9.0}, metrics_of=None)

    taken = sampled(before, after)

    assert (taken.canary_metrics, taken.control_metrics) == (
        {"bos-a": {"stored": 3.0}}, {"bos-b": {"stored": 5.0}},
    )  # fmt: skip


def test_a_row_whose_latencies_were_not_kept_before_counts_all_the_same() -> None:
    before = fleet(X, {"bos-b": {("bos-a", "/x"): Counts(10, 1)}})
    after = fleet(X, {"bos-b": {("bos-a", "/x"): counts(30, 2)}, "bos-c": {("bos-a", "/x"): Counts(5, 1)}})

    (cell,) = sampled(before, after).cells

    assert (cell.canary.total, cell.canary.bad) == (25, 2)
