"""What a ledger's rows add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model import Cause, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.rollout.standing import Incident, Standing, fold, named
from tests.unit.scene import NOW, L, X, lane, release, rollout


class Ledger:
    """Rows one after the other, as a ledger numbers and chains them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, kind: str, body: Any, generation: int = 3) -> Ledger:
        n = len(self.rows) + 1
        self.rows.append(Row(n, 0.0, generation, kind, body, f"hash {n}"))
        return self

    def moved(self, *steps: Rollout) -> Ledger:
        for step in steps:
            self.add(rows.ROLLOUT, {"rollout": rows.written(rows.ROLLOUTS, step), "event": ""})
        return self

    def order(self, verb: str, subject: str = "") -> Ledger:
        return self.add(rows.ORDER, {"verb": verb, "who": "kim", "reason": "the reason", "subject": subject})

    def standing(self) -> Standing:
        return fold(self.rows)


def before_it(phase: Phase = Phase.PROMOTED) -> Rollout:
    """Rollout 6 brought last good."""
    return rollout(phase, number=6, settled=True, lanes=(lane(candidate=release(L), base=None),))


HARM = {"cause": Cause.HARM, "guilty": ("mqtt",)}


def test_an_empty_ledger_stands_for_nothing() -> None:
    assert fold([]) == Standing()
    assert Standing().open_rollout is None


def test_rows_one_by_one_give_the_same_as_all_at_once() -> None:
    ledger = Ledger().add(rows.LEAD, {}, 5).moved(before_it(), rollout(), rollout(Phase.DEPLOYING)).order("hold")
    step_by_step = Standing()
    for row in ledger.rows:
        step_by_step = fold([row], step_by_step)

    assert step_by_step == ledger.standing()
    assert (step_by_step.generation, step_by_step.last_row, step_by_step.newest) == (5, 5, "hash 5")


def test_a_rollout_comes_back_from_its_row_as_it_was() -> None:
    whole = rollout(Phase.WATCHING, **HARM)

    assert Ledger().moved(whole).standing().rollout == whole


def test_what_was_promoted_last_is_last_good_and_owes_a_note() -> None:
    standing = Ledger().moved(before_it(), rollout(), rollout(Phase.DEPLOYING), rollout(Phase.PROMOTED)).standing()

    assert standing.promoted["mqtt"].digest == X
    assert [owed.number for owed in standing.owed_notes] == [6, 7]


def test_a_promotion_that_is_taken_back_makes_the_one_before_last_good_again() -> None:
    ledger = Ledger().moved(before_it(), rollout(Phase.PROMOTED), rollout(Phase.RETURNING, **HARM))

    assert ledger.standing().promoted["mqtt"].digest == L
    assert X in ledger.standing().quarantine, "harm is quarantined from the moment it is known"


def test_a_first_promotion_that_is_taken_back_leaves_no_last_good() -> None:
    first = rollout(Phase.PROMOTED, lanes=(lane(base=None),))

    assert not Ledger().moved(first, rollout(Phase.RETURNING, lanes=first.lanes)).standing().promoted


def test_harm_is_quarantined_from_the_first_row_that_says_so_for_the_guilty_alone() -> None:
    other = lane("c360", ("region-a", "region-b"), zones={"region": ("region-a", "region-b")})
    other_digest = "sha256:" + "3" * 64
    both = (lane(), lane("c360", candidate=release(other_digest, "c360"), zones=other.zones))

    standing = (
        Ledger().moved(rollout(Phase.DEPLOYING, lanes=both), rollout(Phase.REVERTING, lanes=both, **HARM)).standing()
    )

    assert list(standing.quarantine) == [X]
    assert (standing.quarantine[X].app, standing.quarantine[X].rollout) == ("mqtt", 7)
    assert not standing.owed_reverts, "git follows when the fleet is back"


def test_a_reverted_rollout_owes_git_a_revert_until_a_row_says_that_it_is_paid() -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTING, **HARM), rollout(Phase.REVERTED, **HARM))
    assert [owed.number for owed in ledger.standing().owed_reverts] == [7]

    ledger.add(rows.GIT, {"rollout": 7, "did": "revert"})
    assert not ledger.standing().owed_reverts
    assert [owed.number for owed in ledger.standing().owed_notes] == [7]
    assert not ledger.add(rows.GIT, {"rollout": 7, "did": "note"}).standing().owed_notes


def test_a_blind_ending_is_counted_once_however_often_its_row_comes() -> None:
    blind = rollout(Phase.HELD, cause=Cause.BLIND)

    assert Ledger().moved(rollout(Phase.REVERTING, cause=Cause.BLIND), blind, blind).standing().blind == {X: 1}


def test_an_aborted_release_is_remembered_a_superseded_or_held_one_is_not() -> None:
    aborted = Ledger().moved(rollout(Phase.HELD, cause=Cause.ABORTED)).standing()
    assert aborted.aborted == {X}
    for cause, phase in ((Cause.SUPERSEDED, Phase.SUPERSEDED), (Cause.HOLD, Phase.HELD)):
        other = Ledger().moved(rollout(phase, cause=cause)).standing()
        assert not (other.aborted or other.blind or other.quarantine or other.owed_reverts)


def test_incidents_are_counted_in_a_row_and_forgotten_when_it_is_promoted_or_asked_for_again() -> None:
    met = rollout(Phase.HELD, cause=Cause.INCIDENT, entered_at=NOW)
    ledger = Ledger().moved(met, rollout(Phase.HELD, cause=Cause.INCIDENT, number=8, entered_at=NOW + 99))

    assert ledger.standing().incidents == {X: Incident(2, NOW + 99, met.clock)}
    assert not Ledger().moved(met).order("retry").standing().incidents
    assert not ledger.moved(rollout(Phase.PROMOTED, number=9)).standing().incidents


def test_clearing_a_quarantine_frees_nothing_that_was_given_up_for_another_reason() -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTED, **HARM))
    other = "sha256:" + "3" * 64
    aborted = rollout(Phase.HELD, cause=Cause.ABORTED, number=8)
    aborted = replace(aborted, lanes=tuple(replace(lane, candidate=release(other)) for lane in aborted.lanes))

    cleared = ledger.moved(aborted).order("clear").standing()

    assert not cleared.quarantine
    assert cleared.aborted == {other}
    assert cleared.forgiven == {X}


def test_a_release_that_was_left_for_an_earlier_one_is_quarantined() -> None:
    left = Ledger().moved(rollout(Phase.PROMOTED, settled=True)).order("quarantine", X).standing()

    assert left.quarantine[X].why == "kim reverted it: the reason."
    assert left.promoted["mqtt"].digest == X, "it serves until the earlier one does"


@pytest.mark.parametrize("subject", ["", X[7:15], X, X[7:14]])
def test_a_retry_clears_what_it_names_and_forgives_what_nodes_remember(subject: str) -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTING, **HARM), rollout(Phase.REVERTED, **HARM)).order("retry", subject)

    assert not ledger.standing().quarantine
    assert ledger.standing().forgiven == {X}


def test_a_retry_may_name_any_commit_that_brought_the_release() -> None:
    brought = lane(candidate=replace(release(), commit="cafecafe12"))
    ledger = Ledger().moved(rollout(Phase.REVERTED, lanes=(brought,), **HARM))
    ledger.moved(rollout(Phase.PROMOTED, number=8, lanes=(lane(candidate=release("sha256:" + "8" * 64)),)))
    ledger.add(rows.SEEN, {"commit": "abcdef1234", "apps": {"mqtt": X}})
    standing = ledger.standing()

    assert named(standing, "cafecafe") == {X}, "the commit of the rollout, though it is not the newest any more"
    assert named(standing, "abcdef1") == {X}, "the commit that asks for the same bits again"
    assert not named(standing, "abcdef2")


def test_a_revert_that_waits_on_a_branch_of_its_own_is_owed_still() -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTING, **HARM), rollout(Phase.REVERTED, **HARM))
    ledger.add(rows.GIT, {"rollout": 7, "did": "aside"})

    assert [owed.number for owed in ledger.standing().owed_reverts] == [7]
    assert [owed.number for owed in ledger.standing().owed_notes] == [7]


def test_a_retry_of_something_else_clears_nothing() -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTING, **HARM), rollout(Phase.REVERTED, **HARM)).order("retry", "ffff")

    assert X in ledger.standing().quarantine
    assert not ledger.standing().forgiven


def test_harm_after_a_retry_is_no_longer_forgiven() -> None:
    ledger = Ledger().moved(rollout(Phase.REVERTED, **HARM)).order("retry")
    ledger.moved(rollout(Phase.REVERTING, number=8, **HARM))

    assert not ledger.standing().forgiven
    assert X in ledger.standing().quarantine


def test_hold_and_resume() -> None:
    ledger = Ledger().order("hold")
    held = ledger.standing().hold
    assert held is not None
    assert (held.who, held.reason) == ("kim", "the reason")
    assert ledger.order("resume").standing().hold is None


def test_an_order_waits_until_a_rollout_has_read_it() -> None:
    ledger = Ledger().moved(rollout(Phase.WATCHING)).order("abort")
    assert [order.verb for order in ledger.standing().orders] == ["abort"]

    assert not ledger.moved(rollout(Phase.REVERTING, orders_read=2)).standing().orders


@pytest.mark.parametrize(
    ("phase", "settled", "orders", "is_open"),
    [
        (Phase.PENDING, False, False, True),
        (Phase.STUCK, False, False, True),
        (Phase.PROMOTED, False, False, True),
        (Phase.PROMOTED, True, False, False),
        (Phase.PROMOTED, True, True, True),
        (Phase.HELD, False, False, False),
        (Phase.REVERTED, False, True, False),
    ],
)
def test_which_rollouts_are_open(phase: Phase, settled: bool, orders: bool, is_open: bool) -> None:
    ledger = Ledger().moved(rollout(phase, settled=settled))
    if orders:
        ledger.order("abort")

    assert (ledger.standing().open_rollout is not None) is is_open


def test_an_approval_is_for_what_comes_and_opens_no_rollout_that_is_done() -> None:
    done = Ledger().moved(rollout(Phase.PROMOTED, settled=True)).order("approve", "4444").standing()

    assert done.open_rollout is None
    assert [order.subject for order in done.orders] == ["4444"]


def test_evidence_and_what_only_people_read_change_nothing_else() -> None:
    ledger = Ledger().moved(rollout(Phase.WATCHING))
    was = ledger.standing()
    spooled = {"rollout": rows.written(rows.ROLLOUTS, rollout(Phase.REVERTED, **HARM)), "event": "reverted"}

    ledger.add(rows.EVIDENCE, {"spooled": spooled, "kind": rows.ROLLOUT, "generation": 2}).add(rows.MOMENT, {})

    now = ledger.standing()
    assert (now.rollout, now.quarantine, now.owed_reverts) == (was.rollout, was.quarantine, was.owed_reverts)
    assert now.last_row == 3


def test_whose_rules_are_in_force() -> None:
    ledger = Ledger().moved(replace(before_it(), commit="aaaa")).add(rows.POLICY, {"commit": "bbbb"})
    assert ledger.standing().policy == "bbbb"

    ledger.moved(rollout(Phase.PROMOTED, commit="cccc"))
    assert ledger.standing().policy == "cccc"
    ledger.moved(rollout(Phase.RETURNING, commit="cccc", cause=Cause.ABORTED))
    assert ledger.standing().policy == "bbbb", "who takes a release back takes its rules back"


def test_the_newest_commit_that_was_seen() -> None:
    assert Ledger().add(rows.SEEN, {"commit": "abc"}).standing().last_seen == "abc"


def test_the_clock_is_no_part_of_a_standing() -> None:
    early, late = rollout(Phase.HELD, cause=Cause.BLIND), rollout(Phase.HELD, cause=Cause.BLIND, entered_at=NOW + 99)

    assert Ledger().moved(early).standing().blind == Ledger().moved(late).standing().blind
