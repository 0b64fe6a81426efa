"""What would be rolled out next, and why not the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model import AppRelease, Cause, Check, Order, Phase, Release
from controller.rollout.plan import Ground, Plan, plan
from controller.rollout.standing import Incident, Quarantined, Standing
from environments import Environment, Fleet, Judge
from tests.unit.scene import BUDGET, NOW, L, X, release, rollout

Y = "sha256:" + "3" * 64
FLEETS = {
    "c360": Fleet("c360", ("region",), 2, ({"region": 1},), 0.0),
    "mqtt": Fleet("mqtt", ("BOS", "DFW"), 2, ({"BOS": 1}, {"BOS": 1, "DFW": 1}), 0.0),
}
ENVIRONMENT = Environment(
    "prod", "prod", None, None, BUDGET, Judge(0.02, 4.0), (), FLEETS, {}, 2.0, require_approval=True
)  # fmt: skip
GROUND = Ground(ENVIRONMENT, {"c360": ("c360",), "mqtt": ("mqtt", "http")}, {}, "this clock", 9, None)
PROMOTED = {"mqtt": release(L), "c360": release(L, "c360")}


def wants(**digests: str) -> Release:
    apps = {app: release(digest, app) for app, digest in digests.items()}
    return Release("prod", "4444444444", "a change", 0.0, apps)


def planned(standing: Standing, wanted: Release, **ground: Any) -> Plan:
    return plan(standing, wanted, replace(GROUND, **ground), NOW)


STANDING = Standing(promoted=PROMOTED)
RETRY = 'turnabout retry prod 222222222222 --reason "WHY"'
CLEAR = 'turnabout quarantine clear prod 222222222222 --reason "WHY"'


def test_only_what_changed_is_rolled_out() -> None:
    found = planned(STANDING, wants(mqtt=X, c360=L))

    assert found.rollout is not None
    assert [(lane.app, lane.candidate.digest, lane.base_digest) for lane in found.rollout.lanes] == [("mqtt", X, L)]
    assert found.rollout.why == "Commit 4444444 wants mqtt to change."
    assert not found.waits


def test_nothing_changed_starts_nothing() -> None:
    assert planned(STANDING, wants(mqtt=L, c360=L)) == Plan(None, {})


def test_an_application_without_a_fleet_here_is_not_rolled_out() -> None:
    assert planned(STANDING, wants(other=X)).rollout is None


def test_a_rollout_carries_everything_that_decides_about_it() -> None:
    found = planned(
        replace(STANDING, rollout=rollout(Phase.HELD, cause=Cause.HOLD, orders_read=4)), wants(mqtt=X)
    ).rollout

    assert found is not None
    assert (found.number, found.generation, found.clock, found.phase) == (8, 9, "this clock", Phase.PENDING)
    assert (found.budget, found.judge, found.needs_approval, found.orders_read) == (BUDGET, Judge(0.02, 4.0), True, 4)
    lane = found.lanes[0]
    assert lane.zones == {"BOS": ("bos-a", "bos-b"), "DFW": ("dfw-a", "dfw-b")}
    assert (lane.waves, lane.backends) == ((("bos-a",), ("bos-a", "dfw-a")), ("mqtt", "http"))


def test_a_first_release_goes_everywhere_at_once() -> None:
    found = planned(Standing(), wants(c360=X)).rollout

    assert found is not None
    assert (found.number, found.lanes[0].waves, found.lanes[0].controls) == (1, (("region-a", "region-b"),), ())


def test_nothing_starts_while_a_rollout_is_open() -> None:
    assert planned(replace(STANDING, rollout=rollout(Phase.STUCK)), wants(mqtt=X)).rollout is None


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        (
            {"quarantine": {X: Quarantined("mqtt", X, "", "", 7, "it failed.")}},
            f"quarantined by rollout 7, which only {CLEAR} lifts: it failed.",
        ),
        ({"aborted": frozenset({X})}, f"taken back by an operator; {RETRY} tries it again"),
        ({"blind": {X: 2}}, f"given up 2 times without a clear verdict; {RETRY} tries it again"),
        ({"hold": Order("hold", "kim", "a visit", 3)}, "held by kim: a visit"),
    ],
)
def test_why_a_release_waits(standing: dict[str, Any], sentence: str) -> None:
    found = planned(replace(STANDING, **standing), wants(mqtt=X))

    assert found == Plan(None, {"mqtt": sentence})


def test_after_an_incident_a_release_rests_twice_as_long_each_time_and_another_does_not() -> None:
    met = replace(STANDING, incidents={X: Incident(3, NOW - 239.0, "this clock")})

    resting = planned(met, wants(mqtt=X))

    assert resting == Plan(
        None,
        {"mqtt": "something outside it is broken: judged again 240 s later, or at once after turnabout retry prod"},
    )
    assert planned(met, wants(mqtt=Y)).rollout is not None, "it may be what mends it"
    assert plan(met, wants(mqtt=X), GROUND, NOW + 1.0).rollout is not None
    assert planned(met, wants(mqtt=X), clock="another").rollout is not None, "no time may be compared with another's"
    long_ago = replace(STANDING, incidents={X: Incident(40, NOW - 600.0, "this clock")})
    assert planned(long_ago, wants(mqtt=X)).rollout is not None, "it never rests longer than ten minutes"


def test_a_freeze_window_holds_everything() -> None:
    found = planned(STANDING, wants(mqtt=X, c360=Y), closed_window="month end")

    said = "the freeze window 'month end' is open; turnabout approve lets it begin all the same"
    assert found == Plan(None, dict.fromkeys(("c360", "mqtt"), said))


def test_an_approval_lets_one_commit_through_a_freeze_window() -> None:
    wanted = wants(mqtt=X)
    approved = replace(STANDING, orders=(Order("approve", "kim", "the pump stands still", 5, wanted.commit),))

    found = planned(approved, wanted, closed_window="month end").rollout
    assert found is not None
    assert (found.approved, found.window, found.orders_read) == ("kim: the pump stands still", "month end", 5)

    another = replace(wanted, commit="5555555555")
    assert planned(approved, another, closed_window="month end").rollout is None
    held = replace(approved, hold=Order("hold", "ann", "a visit", 6))
    assert planned(held, wanted, closed_window="month end").rollout is None, "who holds, resumes"


def test_one_application_s_quarantine_holds_up_no_other() -> None:
    bad = replace(STANDING, quarantine={X: Quarantined("mqtt", X, "", "", 7, "it failed.")})

    found = planned(bad, wants(mqtt=X, c360=Y))

    assert found.rollout is not None
    assert [lane.app for lane in found.rollout.lanes] == ["c360"]
    assert list(found.waits) == ["mqtt"]


def test_what_was_given_up_blind_is_tried_once_more_and_says_so() -> None:
    found = planned(replace(STANDING, blind={X: 1}), wants(mqtt=X)).rollout

    assert found is not None
    assert found.attempt == 2


def test_after_a_supersede_the_next_is_let_finish() -> None:
    superseded = rollout(Phase.SUPERSEDED, cause=Cause.SUPERSEDED)
    found = planned(replace(STANDING, rollout=superseded), wants(mqtt=X)).rollout
    assert found is not None
    assert found.lets_finish

    held = planned(replace(STANDING, rollout=rollout(Phase.HELD, cause=Cause.HOLD)), wants(mqtt=X)).rollout
    assert held is not None
    assert not held.lets_finish


def test_what_a_person_approved_stays_approved_for_the_same_releases_alone() -> None:
    approved = replace(STANDING, rollout=rollout(Phase.HELD, cause=Cause.BLIND, approved="kim: fine"))

    again = planned(approved, wants(mqtt=X)).rollout
    other = planned(approved, wants(mqtt=Y)).rollout

    assert again is not None
    assert other is not None
    assert (again.approved, other.approved) == ("kim: fine", None)


def test_what_a_retry_forgave_the_rollout_forgives() -> None:
    found = planned(replace(STANDING, forgiven=frozenset({X, Y})), wants(mqtt=X)).rollout

    assert found is not None
    assert found.forgiven == (X,)


def test_orders_that_nobody_waited_for_do_not_meet_the_next_rollout() -> None:
    stale = replace(STANDING, orders=(Order("abort", "kim", "too late", 12),), rollout=rollout(Phase.REVERTED))

    found = planned(stale, wants(mqtt=X)).rollout

    assert found is not None
    assert found.orders_read == 12


def test_last_good_s_checks_rule_and_a_candidate_may_add_its_own() -> None:
    mild, strict = Check("errors", "share", smallest_harm=0.5), Check("errors", "share", smallest_harm=0.01)
    added = Check("added", "share", about="new")

    found = planned(STANDING, wants(mqtt=X), checks={L: (strict,), X: (mild, added)}).rollout

    assert found is not None
    assert found.lanes[0].checks == (strict, added)


def test_a_release_type_is_only_compared_by_its_digest() -> None:
    same = AppRelease("mqtt", L, "rebuilt", "rebuilt", "5555555", "another commit")

    assert planned(STANDING, Release("prod", "5555555", "", 0.0, {"mqtt": same})).rollout is None
