"""Where a rollout goes: a test for each row of the outcome table, each transition, and the sentence it is told with."""

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
    Outcome,
    Phase,
    Return,
    Revert,
    Stage,
    Traffic,
)
from controller.rollout.decide import SETTLE_ATTEMPTS, decide, reconciled, take_over
from tests.unit.scene import (
    BUDGET,
    NOW,
    L,
    X,
    after,
    asked,
    confirmed,
    deafened,
    lane,
    on_base,
    on_candidate,
    order,
    promise,
    release,
    rollout,
    seen,
    verdict,
    view,
    weighted,
)

QUIET = seen(on_base(), on_base())
SERVING = seen(on_candidate(), on_base())
GONE_BACK = frozenset({"prod-r7", "prod-r7.weights"})


# ---- pending ------------------------------------------------------------------------------------------------------


def test_a_rollout_starts_when_every_node_is_on_last_good_and_has_the_bits() -> None:
    started = after(rollout(), QUIET)

    assert (started.phase, started.t0) == (Phase.DEPLOYING, NOW)
    assert started.why == "Wave 1 of 1: bos-a leaves last good."


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        (seen(on_base(), None), "Waits for bos-b, which does not answer."),
        (deafened(seen(on_base(), on_base()), "bos-b"), "Waits for the balancer of bos-b, which does not answer."),
        (seen(on_candidate("prod-r6"), on_base()), "Waits for bos-a, which still holds prod-r6."),
        (seen(on_base(good=X), on_base()), "Waits for bos-a, which is not on last good."),
        (seen(on_base(ready=False), on_base()), "Waits for bos-a, which is not on last good."),
        (seen(on_base(staged=frozenset({L})), on_base()), "Waits for bos-a, which is copying the candidate."),
        (
            seen(on_base(staged=frozenset({L})), on_base(), troubles={"bos-a": "its disk is full"}),
            "Waits for bos-a, which is copying the candidate (its disk is full).",
        ),
        (seen(None, None), "Waits for bos-a, which does not answer; bos-b, which does not answer."),
    ],
)
def test_a_rollout_waits_and_says_what_for(observation: Observation, sentence: str) -> None:
    waiting = after(rollout(), observation)

    assert (waiting.phase, waiting.why) == (Phase.PENDING, sentence)


def test_an_answer_older_than_the_silence_is_no_answer() -> None:
    stale = replace(QUIET, nodes={**QUIET.nodes, "bos-b": view("bos-b", on_base(), age=5.1)})

    assert after(rollout(), stale).why == "Waits for bos-b, which does not answer."


def test_while_it_waits_the_bits_are_copied() -> None:
    decision = decide(rollout(), seen(on_base(staged=frozenset({L})), on_base()), NOW)

    assert decision.actions == (Stage("bos-a", "mqtt", X),)


def test_a_first_release_needs_an_approval_and_stops_nothing_to_go_back_to() -> None:
    first = rollout(lanes=(lane(base=None, waves=(("bos-a", "bos-b"),)),))
    empty = seen(on_base(running=None, good=None), on_base(running=None, good=None))

    waiting = after(first, empty)
    assert waiting.why.startswith("Waits for an approval: first release of mqtt, with no last good to compare with")
    assert "turnabout approve prod" in waiting.why

    approved = after(waiting, replace(empty, order=order("approve")))
    assert (approved.phase, approved.approved, approved.orders_read) == (Phase.DEPLOYING, "kim: the reason", 9)


@pytest.mark.parametrize(
    ("what", "phase", "cause", "sentence"),
    [
        ({"order": order("abort")}, Phase.HELD, Cause.ABORTED, "kim aborted it: the reason"),
        ({"order": order("revert")}, Phase.REVERTED, Cause.HARM, "kim reverted it: the reason"),
        ({"hold": order("hold")}, Phase.HELD, Cause.HOLD, "kim holds prod: the reason"),
        ({"closed_window": "month end"}, Phase.HELD, Cause.HOLD, "The freeze window 'month end' has begun."),
        (
            {"newer": "abcdef0123"},
            Phase.SUPERSEDED,
            Cause.SUPERSEDED,
            "Commit abcdef0 arrived in flight and wants something else.",
        ),
    ],
)
def test_what_is_pending_closes_at_once(what: dict[str, Any], phase: Phase, cause: Cause, sentence: str) -> None:
    closed = after(rollout(), replace(QUIET, **what))

    assert (closed.phase, closed.cause, closed.why) == (phase, cause, sentence)


def test_harm_that_a_node_remembers_is_harm() -> None:
    remembered = seen(on_base(harmful=frozenset({X})), on_base())

    closed = after(rollout(), remembered)

    assert (closed.phase, closed.cause, closed.guilty) == (Phase.REVERTED, Cause.HARM, ("mqtt",))
    assert closed.why == "mqtt 2222222 was given up by bos-a: it did harm there before."


def test_harm_from_before_a_retry_is_forgiven_but_new_harm_is_not() -> None:
    forgiven = rollout(forgiven=(X,))
    remembered = seen(on_base(harmful=frozenset({X})), on_base())
    assert after(forgiven, remembered).phase is Phase.DEPLOYING

    gave_up = seen(on_base(harmful=frozenset({X}), ended=frozenset({"prod-r7"})), on_base())
    assert after(rollout(Phase.DEPLOYING, forgiven=(X,)), gave_up).cause is Cause.HARM


# ---- in flight: the rows of the outcome table ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.DEPLOYING, Phase.WATCHING])
@pytest.mark.parametrize(
    ("what", "cause", "sentence"),
    [
        ({"verdict": verdict(Outcome.FAIL)}, Cause.HARM, "The judge says FAIL."),
        ({"verdict": verdict(Outcome.ERROR)}, Cause.BLIND, "The judge says ERROR."),
        ({"verdict": verdict(Outcome.INCIDENT)}, Cause.INCIDENT, "The judge says INCIDENT."),
        ({"order": order("abort")}, Cause.ABORTED, "kim aborted it: the reason"),
        ({"order": order("revert")}, Cause.HARM, "kim reverted it: the reason"),
        ({"hold": order("hold")}, Cause.HOLD, "kim holds prod: the reason"),
        ({"closed_window": "month end"}, Cause.HOLD, "The freeze window 'month end' has begun."),
        ({"newer": "abcdef0123"}, Cause.SUPERSEDED, "Commit abcdef0 arrived in flight and wants something else."),
    ],
)
def test_the_first_reason_turns_it_back(phase: Phase, what: dict[str, Any], cause: Cause, sentence: str) -> None:
    turned = after(rollout(phase), replace(SERVING, **what))

    assert (turned.phase, turned.cause, turned.why) == (Phase.REVERTING, cause, sentence)
    assert (turned.entered_at, turned.verdict_at) == (NOW, NOW)


@pytest.mark.parametrize("phase", [Phase.DEPLOYING, Phase.WATCHING])
def test_a_window_that_it_was_let_through_does_not_end_it_and_another_one_does(phase: Phase) -> None:
    let_through = rollout(phase, window="month end")

    assert after(let_through, replace(SERVING, closed_window="month end")).cause is None
    assert after(let_through, replace(SERVING, closed_window="the fair")).cause is Cause.HOLD


def test_a_crash_that_a_node_reports_is_harm() -> None:
    gave_up = on_base(
        harmful=frozenset({X}), ended=frozenset({"prod-r7"}), went_back="the candidate exited with code 1"
    )

    turned = after(rollout(Phase.WATCHING), seen(gave_up, on_base()))

    assert (turned.cause, turned.guilty) == (Cause.HARM, ("mqtt",))
    assert turned.why == "mqtt 2222222 was given up by bos-a: the candidate exited with code 1."


def test_a_node_that_went_back_without_harm_blinds() -> None:
    went_back = on_base(ended=frozenset({"prod-r7"}), went_back="the machine restarted")

    turned = after(rollout(Phase.WATCHING), seen(went_back, on_base()))

    assert (turned.cause, turned.why) == (Cause.BLIND, "bos-a went back by itself: the machine restarted.")


def test_a_silent_node_blinds() -> None:
    turned = after(rollout(Phase.WATCHING), seen(on_candidate(), None))

    assert turned.cause is Cause.BLIND
    assert turned.why == "bos-b has not answered for 5 s, so nobody can say how it does."


def test_a_balancer_that_does_not_answer_though_its_node_does_blinds_when_it_was_silent_for_long() -> None:
    watched = seen(on_candidate(), on_base())

    turned = after(rollout(Phase.WATCHING), deafened(watched, "bos-b"))

    assert turned.cause is Cause.BLIND
    assert turned.why == "The balancer of bos-b has not answered for 5 s, so nobody can move its traffic."
    restarting = deafened(watched, "bos-b", 1.0)
    assert after(rollout(Phase.WATCHING), restarting).phase is Phase.WATCHING, "a second is a balancer that starts"


def test_harm_beats_an_order_to_abort() -> None:
    both = replace(SERVING, verdict=verdict(Outcome.FAIL), order=order("abort"))

    assert after(rollout(Phase.WATCHING), both).cause is Cause.HARM


def test_after_one_supersede_the_next_is_let_finish() -> None:
    newer = replace(SERVING, newer="abcdef0123")

    assert after(rollout(Phase.WATCHING, lets_finish=True), newer).phase is Phase.WATCHING


def test_behind_a_one_way_door_every_reason_reads_stay() -> None:
    door = rollout(Phase.WATCHING, lanes=(lane(candidate=release(on_deadline="freeze")),))
    for what in (
        replace(SERVING, verdict=verdict(Outcome.FAIL)),
        replace(SERVING, order=order("abort")),
        replace(SERVING, newer="abcdef0123"),
        replace(SERVING, verdict=verdict(Outcome.ERROR)),
    ):
        decision = decide(door, what, NOW)
        assert (decision.rollout.phase, decision.rollout.heading) == (Phase.STUCK, None)
        assert decision.rollout.why.startswith("Frozen behind a one-way door, nothing goes back: ")
        assert decision.rollout.short.startswith("frozen: ")
        assert not asked(decision, Revert)


def test_a_frozen_rollout_is_promoted_by_an_approval_alone() -> None:
    frozen = rollout(Phase.STUCK, cause=Cause.HARM, lanes=(lane(candidate=release(on_deadline="freeze")),))

    assert after(frozen, replace(SERVING, order=order("abort"))).phase is Phase.STUCK

    approved = after(frozen, replace(SERVING, order=order("approve")))
    assert (approved.phase, approved.cause, approved.settle) == (Phase.PROMOTED, None, 1)
    assert approved.why == "kim approved the frozen release: the reason"


# ---- deploying ----------------------------------------------------------------------------------------------------


def test_the_watch_begins_when_every_canary_serves_with_its_traffic() -> None:
    watching = after(rollout(Phase.DEPLOYING), SERVING)

    assert (watching.phase, watching.watch_from) == (Phase.WATCHING, NOW)
    assert watching.why == "The canaries serve; on last good as control: bos-b."
    undrained = weighted(SERVING, {"mqtt/bos-a": 0})
    assert after(rollout(Phase.DEPLOYING), undrained).phase is Phase.DEPLOYING


def test_a_candidate_that_is_not_ready_in_time_did_harm() -> None:
    late = rollout(Phase.DEPLOYING, t0=NOW - 60.1)

    turned = after(late, seen(on_candidate(ready=False), on_base()))

    assert (turned.cause, turned.guilty) == (Cause.HARM, ("mqtt",))
    assert turned.why == "mqtt 2222222 was not ready on bos-a within the 60 s of deploying."


def test_deploying_too_long_for_no_reason_that_a_node_says_blinds() -> None:
    turned = after(rollout(Phase.DEPLOYING, t0=NOW - 60.1), QUIET)

    assert turned.cause is Cause.BLIND
    assert turned.why == "Not every canary served within the 60 s of deploying, and no node says why."


def test_deploying_asks_for_one_wave_after_the_other() -> None:
    two_waves = rollout(
        Phase.DEPLOYING, lanes=(lane(nodes=("bos-a", "bos-b"), waves=(("bos-a",), ("bos-a", "bos-b"))),)
    )
    drained = weighted(QUIET, {"mqtt/bos-a": 0, "mqtt/bos-b": 0})
    assert [a.node for a in asked(decide(two_waves, drained, NOW), Activate)] == ["bos-a"]

    first_serves = weighted(seen(on_candidate(), on_base()), {"mqtt/bos-b": 0})
    assert [a.node for a in asked(decide(two_waves, first_serves, NOW), Activate)] == ["bos-b"]


# ---- the end of the watch -----------------------------------------------------------------------------------------

WATCHED = rollout(Phase.WATCHING, t0=NOW - 80, watch_from=NOW - 60)
PASSED = replace(SERVING, verdict=verdict(Outcome.PASS))


def test_a_pass_at_the_end_of_the_watch_promotes() -> None:
    promoted = after(WATCHED, PASSED)

    assert (promoted.phase, promoted.settle, promoted.settle_t0) == (Phase.PROMOTED, 1, NOW)
    assert (promoted.why, promoted.short, promoted.verdict_at) == ("The judge says PASS.", "judge: PASS", NOW)


def test_a_pass_after_the_nodes_own_deadline_promotes_nothing_whatever_the_last_views_say() -> None:
    found = after(replace(WATCHED, t0=NOW - WATCHED.budget.end - 0.1), PASSED)

    assert (found.phase, found.cause) == (Phase.REVERTING, Cause.BLIND)
    assert found.why == "The watch could not be ended before the nodes' own deadline, so they have gone back."


def test_a_pass_before_the_end_promotes_nothing() -> None:
    assert after(replace(WATCHED, watch_from=NOW - 59), PASSED).phase is Phase.WATCHING


def test_the_watch_ends_with_deploy_and_watch_used_up_even_if_it_began_late() -> None:
    assert after(replace(WATCHED, t0=NOW - 120, watch_from=NOW - 30), PASSED).phase is Phase.PROMOTED


@pytest.mark.parametrize("outcome", [Outcome.WAIT, Outcome.INCONCLUSIVE])
def test_a_watch_without_a_clear_pass_blinds(outcome: Outcome) -> None:
    turned = after(WATCHED, replace(SERVING, verdict=verdict(outcome)))

    assert (turned.phase, turned.cause) == (Phase.REVERTING, Cause.BLIND)
    assert turned.why == f"The watch ended without a clear PASS. The judge says {outcome}."


def test_a_watch_that_measured_nothing_blinds() -> None:
    assert after(WATCHED, SERVING).why == "The watch ended without a clear PASS. Nothing was measured."


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        (seen(on_candidate(), on_base(running=X)), "The watch ended, but no control node of mqtt serves last good."),
        (seen(on_candidate(ready=False), on_base()), "The watch ended, but bos-a does not serve the candidate."),
        (seen(on_candidate(pending=None), on_base()), "The watch ended, but bos-a does not serve the candidate."),
    ],
)
def test_a_pass_counts_only_beside_control_nodes(observation: Observation, sentence: str) -> None:
    turned = after(WATCHED, replace(observation, verdict=verdict(Outcome.PASS)))

    assert (turned.cause, turned.why) == (Cause.BLIND, sentence)


def test_nobody_is_asked_to_confirm_before_the_promotion_is_decided() -> None:
    assert not asked(decide(rollout(Phase.WATCHING), SERVING, NOW), Confirm)
    assert asked(decide(WATCHED, PASSED, NOW), Confirm) == [Confirm("bos-a", "mqtt", "prod-r7")]


# ---- after the promotion ------------------------------------------------------------------------------------------

ALL_ON_IT = seen(confirmed(), confirmed())
LEASES = frozenset({"prod-r7", "prod-r7.weights", "prod-r7.settle1.weights"})


def test_settled_is_when_every_node_runs_it_and_every_lease_is_given_back() -> None:
    assert not after(rollout(Phase.PROMOTED), ALL_ON_IT).settled

    settled = after(rollout(Phase.PROMOTED), seen(confirmed(ended=LEASES), confirmed(ended=LEASES)))
    assert settled.settled
    assert settled.why == "Every node runs it. Because."


def test_an_attempt_to_settle_that_has_ended_is_followed_by_another_token() -> None:
    late = rollout(Phase.PROMOTED, settle_t0=NOW - 65.1)

    again = after(late, seen(confirmed(), on_base()))

    assert (again.settle, again.settle_token, again.settle_t0) == (2, "prod-r7.settle2", NOW)


def test_a_node_that_will_not_come_along_is_paged_for_and_tried_on() -> None:
    last = rollout(Phase.PROMOTED, settle=SETTLE_ATTEMPTS, settle_t0=NOW - 65.1)
    split = seen(confirmed(), on_base(ended=frozenset({"prod-r7.settle3"})))

    stuck = after(last, split)
    assert (stuck.phase, stuck.heading, stuck.settle) == (Phase.STUCK, Phase.PROMOTED, 4)
    assert stuck.why.startswith("Promoted, but bos-b will not come along. When it answers")
    deaf = after(last, deafened(split, "bos-a"))
    assert deaf.why.startswith("Promoted, but bos-b will not come along. The balancer of bos-a does not answer. When")

    assert after(stuck, split, NOW + 65.1).settle == 5
    assert after(stuck, split, NOW + 65.1).phase is Phase.STUCK


def test_a_stuck_promotion_that_settles_is_promoted() -> None:
    stuck = rollout(Phase.STUCK, heading=Phase.PROMOTED, settle=5, settle_t0=NOW - 10)
    ended = LEASES | {f"prod-r7.settle{n}.weights" for n in (3, 4, 5)}

    done = after(stuck, seen(confirmed(ended=ended), confirmed(ended=ended)))

    assert (done.phase, done.heading, done.settled, done.settle) == (Phase.PROMOTED, None, True, 5)


def test_taking_a_stuck_promotion_back_ends_the_newest_attempts_too() -> None:
    stuck = rollout(Phase.STUCK, heading=Phase.PROMOTED, settle=5, settle_t0=NOW - 10)

    returning = after(stuck, replace(ALL_ON_IT, order=order("abort")))

    assert (returning.phase, returning.settle) == (Phase.RETURNING, 5)
    assert "prod-r7.settle5" in returning.tokens


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(("verb", "cause", "guilty"), [("abort", Cause.ABORTED, ()), ("revert", Cause.HARM, ("mqtt",))])
def test_a_person_takes_a_promotion_back(settled: bool, verb: str, cause: Cause, guilty: tuple[str, ...]) -> None:
    promoted = rollout(Phase.PROMOTED, settled=settled)

    left = after(promoted, replace(ALL_ON_IT, order=order(verb)))

    assert (left.phase, left.cause, left.guilty, left.settled) == (Phase.RETURNING, cause, guilty, False)
    assert left.why == "kim took it back after its promotion: the reason"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"candidate": release(on_deadline="freeze")},
            "The abort of kim is refused: it is behind a one-way door: what it wrote, last good cannot read.",
        ),
        ({"base": None}, "The abort of kim is refused: it is the first release, there is nothing to go back to."),
    ],
)
def test_taking_back_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    promoted = rollout(Phase.PROMOTED, lanes=(lane(**changes),))

    refused = after(promoted, replace(ALL_ON_IT, order=order("abort")))

    assert (refused.phase, refused.why, refused.orders_read) == (Phase.PROMOTED, sentence, 9)


def test_a_promotion_is_no_longer_turned_by_a_verdict_a_hold_or_a_newer_commit() -> None:
    loud = replace(
        ALL_ON_IT, verdict=verdict(Outcome.FAIL), hold=order("hold"), newer="abcdef0123", closed_window="month end"
    )

    assert after(rollout(Phase.PROMOTED), loud).phase is Phase.PROMOTED


# ---- going back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "phase"),
    [
        (Cause.HARM, Phase.REVERTED),
        (Cause.BLIND, Phase.HELD),
        (Cause.HOLD, Phase.HELD),
        (Cause.INCIDENT, Phase.HELD),
        (Cause.ABORTED, Phase.HELD),
        (Cause.SUPERSEDED, Phase.SUPERSEDED),
    ],
)
def test_going_back_closes_when_every_node_said_so(cause: Cause, phase: Phase) -> None:
    reverting = rollout(Phase.REVERTING, cause=cause)
    back = on_base(ended=GONE_BACK)

    assert after(reverting, seen(back, back)).phase is phase


@pytest.mark.parametrize(
    "straggler",
    [
        None,
        on_candidate(),
        on_base(),
        on_base(ended=frozenset({"prod-r7"})),
        on_base(ended=GONE_BACK, ready=False),
        on_base(ended=GONE_BACK, pending=promise("prod-r7")),
    ],
    ids=["silent", "on the candidate", "token not ended", "leases not ended", "not ready", "still holds a promise"],
)
def test_going_back_does_not_close_before(straggler: AppView | None) -> None:
    reverting = rollout(Phase.REVERTING, cause=Cause.BLIND)
    split = seen(on_base(ended=GONE_BACK), straggler)

    assert after(reverting, split).phase is Phase.REVERTING


def test_a_node_that_went_back_by_itself_is_told_that_it_was_harm_before_anything_closes() -> None:
    """It restarted, or its deadline passed: it left the candidate and cannot know what it was."""
    reverting = rollout(Phase.REVERTING, cause=Cause.HARM, guilty=("mqtt",), entered_at=NOW - 5)
    back, restarted = on_base(ended=GONE_BACK), on_base(ended=GONE_BACK, went_back_token="prod-r7")

    decision = decide(reverting, seen(restarted, back), NOW)

    assert decision.rollout.phase is Phase.REVERTING
    assert asked(decision, Revert) == [Revert("bos-a", "mqtt", "prod-r7", "because", harm=True)]
    knows = replace(restarted, harmful=frozenset({X}))
    assert after(reverting, seen(knows, back)).phase is Phase.REVERTED
    assert after(replace(reverting, cause=Cause.BLIND), seen(restarted, back)).phase is Phase.HELD, "it was no harm"
    left_another = replace(restarted, went_back_token="prod-r6")
    assert after(reverting, seen(left_another, back)).phase is Phase.REVERTED, "it never saw this one"


def test_a_node_that_will_not_come_back_is_paged_for_and_the_work_goes_on() -> None:
    reverting = rollout(Phase.REVERTING, cause=Cause.HARM, guilty=("mqtt",), t0=NOW - 180.1)
    split = seen(on_candidate(), on_base(ended=frozenset({"prod-r7"})))

    stuck = decide(reverting, split, NOW)

    assert (stuck.rollout.phase, stuck.rollout.heading) == (Phase.STUCK, Phase.REVERTING)
    assert stuck.rollout.why == "bos-a will not come back within the budget; the others are on last good. Because."
    later = decide(stuck.rollout, split, NOW + 2)
    assert asked(later, Revert) == [Revert("bos-a", "mqtt", "prod-r7", "because", harm=True)], "it is worked on"

    back = on_base(ended=GONE_BACK)
    assert after(stuck.rollout, seen(back, back)).phase is Phase.REVERTED


def test_a_return_closes_like_a_revert_but_counts_from_its_own_beginning() -> None:
    returning = rollout(Phase.RETURNING, cause=Cause.ABORTED, settle=1, t0=NOW - 9999, entered_at=NOW - 59)
    assert after(returning, ALL_ON_IT).phase is Phase.RETURNING
    assert after(returning, ALL_ON_IT, NOW + 1.1).phase is Phase.STUCK

    tokens = {"prod-r7", "prod-r7.settle1"}
    ended = frozenset(tokens | {f"{token}.weights" for token in tokens} | {"prod-r7.return.weights"})
    back = on_base(ended=ended)
    assert after(returning, seen(back, back)).phase is Phase.HELD


def test_a_return_asks_half_of_each_zone_at_once() -> None:
    returning = rollout(Phase.RETURNING, cause=Cause.ABORTED, settle=1, entered_at=NOW - 5)

    decision = decide(returning, ALL_ON_IT, NOW)

    assert asked(decision, Return) == [Return("bos-a", "mqtt", "prod-r7.settle1", X, L)]


def test_only_the_guilty_application_s_nodes_remember_harm() -> None:
    """One application's harm turns all back; nobody may hold it against the other one later."""
    other = lane("c360", ("region-a", "region-b"), zones={"region": ("region-a", "region-b")})
    both = rollout(Phase.REVERTING, lanes=(lane(), other), cause=Cause.HARM, guilty=("mqtt",), entered_at=NOW - 5)
    nodes = {**SERVING.nodes, "region-a": view("region-a", on_candidate(), "c360")}

    reverts = asked(decide(both, replace(SERVING, nodes=nodes), NOW), Revert)

    assert {(revert.app, revert.harm) for revert in reverts} == {("mqtt", True), ("c360", False)}


def test_what_is_closed_stays_closed_and_an_order_to_it_is_read() -> None:
    for phase in (Phase.REVERTED, Phase.SUPERSEDED, Phase.HELD):
        closed = after(rollout(phase), replace(SERVING, verdict=verdict(Outcome.FAIL), order=order("abort")))
        assert (closed.phase, closed.orders_read) == (phase, 9)


# ---- another controller, another clock ----------------------------------------------------------------------------


def test_on_the_same_clock_a_successor_goes_on() -> None:
    before = rollout(Phase.WATCHING)

    assert take_over(before, 8, "this clock", NOW) == replace(before, generation=8)


def test_on_another_clock_what_is_in_flight_goes_back() -> None:
    taken = take_over(rollout(Phase.WATCHING), 8, "another clock", 5.0)

    assert (taken.phase, taken.cause, taken.generation, taken.clock) == (
        Phase.REVERTING, Cause.BLIND, 8, "another clock",
    )  # fmt: skip
    assert (taken.t0, taken.watch_from, taken.entered_at) == (None, None, 5.0)
    assert taken.why == "The controller that led this rollout is gone and its clock with it."


def test_on_another_clock_a_one_way_door_stays_shut() -> None:
    door = rollout(Phase.WATCHING, lanes=(lane(candidate=release(on_deadline="freeze")),))

    assert (take_over(door, 8, "another clock", 5.0).phase) is Phase.STUCK


def test_on_another_clock_going_back_and_settling_begin_their_time_again() -> None:
    reverting = take_over(rollout(Phase.REVERTING, cause=Cause.HARM), 8, "another clock", 5.0)
    assert after(reverting, seen(None, None), 64.9).phase is Phase.REVERTING
    assert after(reverting, seen(None, None), 65.1).phase is Phase.STUCK

    promoted = take_over(rollout(Phase.PROMOTED), 8, "another clock", 5.0)
    assert (promoted.phase, promoted.settle_t0) == (Phase.PROMOTED, 5.0)


# ---- a row that was kept though its answer was lost ---------------------------------------------------------------


def test_what_went_back_not_knowing_of_its_promotion_returns() -> None:
    kept = rollout(Phase.PROMOTED)
    decided = rollout(Phase.REVERTING, cause=Cause.HARM, guilty=("mqtt",), why="It failed.", entered_at=NOW)

    row = reconciled(kept, decided)

    assert (row.phase, row.cause, row.guilty, row.why) == (Phase.RETURNING, Cause.HARM, ("mqtt",), "It failed.")
    assert (row.settle, row.settle_t0) == (kept.settle, kept.settle_t0)
    assert reconciled(row, decided) == row, "a second time changes nothing"


def test_what_closed_not_knowing_that_it_had_begun_reverts_first() -> None:
    kept = rollout(Phase.DEPLOYING)
    decided = rollout(Phase.HELD, cause=Cause.ABORTED, t0=None)

    row = reconciled(kept, decided)

    assert (row.phase, row.cause, row.t0) == (Phase.REVERTING, Cause.ABORTED, kept.t0)
    assert reconciled(row, decided) == row


def test_behind_a_one_way_door_a_kept_promotion_stands() -> None:
    kept = rollout(Phase.PROMOTED)

    assert reconciled(kept, rollout(Phase.STUCK, cause=Cause.HARM)) == kept


@pytest.mark.parametrize("phase", [Phase.REVERTING, Phase.HELD, Phase.REVERTED])
def test_what_follows_from_the_kept_row_is_taken_as_it_is(phase: Phase) -> None:
    decided = rollout(phase, cause=Cause.BLIND)

    assert reconciled(rollout(Phase.WATCHING), decided) == decided
    assert reconciled(rollout(Phase.PROMOTED, number=6), decided) == decided


# ---- when to look again -------------------------------------------------------------------------------------------


def test_a_decision_wakes_when_time_alone_would_change_it() -> None:
    nearly = rollout(Phase.DEPLOYING, t0=NOW - 59.5)
    assert decide(nearly, QUIET, NOW).wake_at == nearly.t0 + BUDGET.deploy if nearly.t0 else False
    assert decide(rollout(Phase.WATCHING, watch_from=NOW - 59.7), SERVING, NOW).wake_at == pytest.approx(NOW + 0.3)
    assert decide(rollout(), QUIET, NOW).wake_at == NOW + 1.0


def test_the_same_arguments_give_the_same_decision_and_change_nothing() -> None:
    before, observation = rollout(Phase.DEPLOYING), SERVING

    assert decide(before, observation, NOW) == decide(before, observation, NOW)
    assert before == rollout(Phase.DEPLOYING)


def test_traffic_never_goes_to_a_balancer_that_does_not_answer() -> None:
    down = replace(SERVING, nodes={**SERVING.nodes, "bos-b": view("bos-b", on_base(), weights={})})

    assert all(
        t.node != "bos-b" for t in asked(decide(rollout(Phase.REVERTING, cause=Cause.BLIND), down, NOW), Traffic)
    )
