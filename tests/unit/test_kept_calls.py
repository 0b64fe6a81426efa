"""The failing calls that are kept of a candidate: whose, since when, in which order, and at which time of the day."""

from __future__ import annotations

from typing import Any

from controller.judge.samples import Telemetry
from controller.loop.looking import Looking
from controller.model import NodeView, Phase
from tests.unit.scene import NOW, rollout

UTC = 1_795_000_000.0
"""What the controller's clock must be moved by; T0 was 20 s before NOW on it."""


def answered(node: str, boottime: float, *calls: Any) -> Telemetry:
    """What a node said at NOW, when its own clock showed ``boottime``."""
    return Telemetry(NodeView(node, NOW, "boot", boottime, {}), 0.0, (), {}, bad=calls)


def call(at: object, server: str = "bos-a", **more: object) -> dict[str, object]:
    return {"at": at, "server": server, "status": 500, **more}


def kept(*seen: Telemetry) -> list[tuple[object, object]]:
    looking = Looking()
    for one in seen:
        looking.observed(one)
    return [(found["at"], found["server"]) for found in looking.bad_calls(rollout(Phase.WATCHING), UTC)]


def test_each_nodes_own_clock_becomes_the_time_of_the_day_and_the_calls_stand_in_one_order() -> None:
    bos_a = answered("bos-a", 5000.0, call(4990.0), call(4999.5))
    bos_b = answered("bos-b", 70.0, call(65.25))
    assert kept(bos_a, bos_b) == [
        (UTC + NOW - 10, "bos-a"), (UTC + NOW - 4.75, "bos-a"), (UTC + NOW - 0.5, "bos-a"),
    ]  # fmt: skip


def test_what_last_good_answered_is_not_the_candidates() -> None:
    before_t0, since = call(4979.9), call(4980.0)
    assert kept(answered("bos-a", 5000.0, before_t0, since, call(4999.0, "bos-b"))) == [(UTC + NOW - 20, "bos-a")]


def test_the_newest_forty_are_kept() -> None:
    found = kept(answered("bos-a", 5000.0, *(call(4985.0 + i / 10) for i in range(60))))
    assert (len(found), found[-1]) == (40, (UTC + NOW - 9.1, "bos-a"))


def test_a_call_without_a_time_is_kept_first_and_undated() -> None:
    assert kept(answered("bos-a", 5000.0, call(4990.0), call("soon"))) == [(None, "bos-a"), (UTC + NOW - 10, "bos-a")]
