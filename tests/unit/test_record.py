"""The loop's hold on its ledger: forward waits for its row, backward waits for nothing, orders are never overlooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import Conflict, Unreachable
from controller.ledgers.sqlite import Spool, SqliteLedger
from controller.loop.record import Record
from controller.model import Cause, Phase
from controller.rollout import rows
from controller.rollout.standing import fold
from tests.model.ledgers import Link
from tests.unit.scene import X, rollout

REVERTING = rollout(Phase.REVERTING, cause=Cause.HARM, guilty=("mqtt",))
REVERTED = rollout(Phase.REVERTED, cause=Cause.HARM, guilty=("mqtt",))


class Place:
    """A ledger on a disk, and leaders that reach it through links that can fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = SqliteLedger(folder / "ledger.db", lambda: 0.0)

    def leader(self, generation: int = 1, machine: str = "one") -> tuple[Record, Link]:
        link = Link(self.ledger)
        record = Record(link, Spool(self.folder / machine / "spool.jsonl"))
        record.read()
        record.generation = generation
        record.row(rows.LEAD, {"generation": generation})
        return record, link

    def order(self, verb: str) -> None:
        self.ledger.append(rows.ORDER, {"verb": verb, "who": "kim", "reason": "so"}, 0)

    def phases(self) -> list[str]:
        return [row.body["rollout"]["phase"] for row in self.ledger.rows(kind=rows.ROLLOUT)]

    def spooled(self, machine: str = "one") -> list[Any]:
        return list(Spool(self.folder / machine / "spool.jsonl").waiting())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_decision_is_a_row_and_the_standing_follows(place: Place) -> None:
    record, _ = place.leader()

    assert record.rollout(rollout(), "pending") is None

    assert place.phases() == ["PENDING"]
    assert record.standing == fold(place.ledger.rows())


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.DEPLOYING, Phase.WATCHING, Phase.PROMOTED])
def test_forward_without_a_ledger_raises_and_nothing_moves(place: Place, phase: Phase) -> None:
    record, link = place.leader()
    was = record.standing
    link.away = True

    with pytest.raises(Unreachable):
        record.rollout(rollout(phase), "forward")

    assert (record.standing, place.phases(), place.spooled()) == (was, [], [])


@pytest.mark.parametrize(
    "phase", [Phase.REVERTING, Phase.RETURNING, Phase.STUCK, Phase.REVERTED, Phase.HELD, Phase.SUPERSEDED]
)
def test_backward_without_a_ledger_is_spooled_and_goes_on(place: Place, phase: Phase) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True

    said = record.rollout(rollout(phase, cause=Cause.BLIND), "back")

    assert said == "Spooled on the controller's own disk: writing the ledger: it is away."
    assert record.standing.rollout == rollout(phase, cause=Cause.BLIND)
    assert place.phases() == ["WATCHING"]
    assert len(place.spooled()) == 1


def test_a_stuck_promotion_goes_forward_and_waits_for_its_row_too(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.PROMOTED), "promoted")
    link.away = True

    with pytest.raises(Unreachable):
        record.rollout(rollout(Phase.STUCK, heading=Phase.PROMOTED, settle=4), "stuck")

    assert place.spooled() == []


def test_spooled_rows_come_in_their_order_and_add_up_to_the_same(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    record.rollout(REVERTING, "reverting")
    record.rollout(REVERTED, "reverted")
    link.away = False

    record.unspool()

    assert place.phases() == ["WATCHING", "REVERTING", "REVERTED"]
    assert (place.spooled(), record.standing) == ([], fold(place.ledger.rows()))
    assert [owed.number for owed in record.standing.owed_reverts] == [7], "what closing owes is owed"


def test_a_spooled_ending_counts_though_it_was_known_before(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.REVERTING, cause=Cause.BLIND), "reverting")
    link.away = True
    record.rollout(rollout(Phase.HELD, cause=Cause.BLIND), "held")
    link.away = False
    record.read()
    record.unspool()

    assert record.standing.blind == {X: 1}


def test_nothing_newer_comes_to_the_ledger_before_what_was_spooled(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    record.rollout(REVERTING, "reverting")
    link.away = False  # and nobody unspooled

    record.rollout(REVERTED, "reverted")

    assert place.phases() == ["WATCHING", "REVERTING", "REVERTED"]


def test_a_reading_while_a_row_is_spooled_forgets_no_decision(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    record.rollout(REVERTING, "reverting")
    link.away = False
    place.order("abort")

    record.read()

    assert record.standing.rollout == REVERTING
    assert [order.verb for order in record.standing.orders] == ["abort"]


def test_a_row_whose_answer_was_lost_is_not_written_twice(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.loses_answer = True
    record.rollout(REVERTING, "reverting")
    assert len(place.spooled()) == 1

    record.unspool()

    assert place.phases() == ["WATCHING", "REVERTING"]
    assert place.spooled() == []


def test_a_spool_that_is_cut_off_half_way_goes_on_where_it_was(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    record.rollout(REVERTING, "reverting")
    record.rollout(REVERTED, "reverted")
    link.away, link.loses_answer, link.goes_with_it = False, True, True
    record.unspool()
    assert len(place.spooled()) == 2, "kept, but nobody heard of it"
    link.away = False

    record.unspool()

    assert place.phases() == ["WATCHING", "REVERTING", "REVERTED"]


def test_a_promotion_kept_without_an_answer_is_returned_from_when_harm_was_acted_upon(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.loses_answer = link.goes_with_it = True
    with pytest.raises(Unreachable):
        record.rollout(rollout(Phase.PROMOTED), "promoted")
    record.rollout(REVERTING, "reverting")
    record.rollout(REVERTED, "reverted")
    link.away = False

    record.unspool()

    assert place.phases() == ["WATCHING", "PROMOTED", "RETURNING"]
    assert record.standing.rollout is not None
    assert record.standing.rollout.phase is Phase.RETURNING
    assert place.spooled() == []


def test_a_decision_made_on_an_older_row_than_the_ledger_kept_is_made_again(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(), "pending")
    link.loses_answer = True
    with pytest.raises(Unreachable):
        record.rollout(rollout(Phase.DEPLOYING), "deploying")

    with pytest.raises(Unreachable, match="Decide again"):
        record.rollout(rollout(why="Waits for something."), "waiting")

    assert place.phases() == ["PENDING", "DEPLOYING"]


def test_orders_that_came_between_are_read_before_the_row(place: Place) -> None:
    record, _ = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    place.order("abort")

    record.rollout(rollout(Phase.WATCHING, why="Still."), "waiting")

    assert [order.verb for order in record.standing.orders] == ["abort"]
    assert record.standing == fold(place.ledger.rows())


def test_who_reads_that_a_higher_generation_leads_stops(place: Place) -> None:
    first, _ = place.leader(1)
    first.rollout(rollout(Phase.WATCHING), "watching")
    place.leader(2, "two")

    with pytest.raises(Conflict, match="generation 2 leads now"):
        first.read()
    with pytest.raises(Conflict):
        first.rollout(rollout(Phase.PROMOTED), "promoted")

    assert place.phases() == ["WATCHING"]


def test_two_that_start_at_once_do_not_lead_with_the_same_generation(place: Place) -> None:
    slow = Record(place.ledger, Spool(place.folder / "slow.jsonl"))
    slow.read()
    slow.generation = 1
    place.leader(1, "quick")

    with pytest.raises(Conflict):
        slow.row(rows.LEAD, {"generation": 1})


def test_what_an_earlier_generation_spooled_is_evidence(place: Place) -> None:
    first, link = place.leader(1)
    first.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    first.rollout(REVERTING, "reverting")

    successor, _ = place.leader(2)  # on the same machine, after a crash
    successor.unspool()

    assert place.phases() == ["WATCHING"]
    evidence = place.ledger.rows(kind=rows.EVIDENCE)[0].body
    assert (evidence["generation"], evidence["spooled"]["rollout"]["phase"]) == (1, "REVERTING")
    assert place.spooled() == []


def test_half_a_line_that_a_power_cut_left_is_no_entry_and_spoils_none(place: Place) -> None:
    record, link = place.leader()
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True
    path = place.folder / "one" / "spool.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"kind":"rollout","bo')

    record.rollout(REVERTING, "reverting")
    assert [entry[1]["event"] for entry in place.spooled()] == ["reverting"]

    link.away = False
    record.unspool()
    assert place.phases() == ["WATCHING", "REVERTING"]


def test_a_full_disk_under_the_spool_does_not_hold_up_the_way_back(place: Place) -> None:
    class Full(Spool):
        def add(self, kind: str, body: object, generation: int) -> None:
            raise OSError(28, "No space left on device")

    link = Link(place.ledger)
    record = Record(link, Full(place.folder / "spool.jsonl"))
    record.generation = 1
    record.rollout(rollout(Phase.WATCHING), "watching")
    link.away = True

    said = record.rollout(REVERTING, "reverting")

    assert said is not None
    assert said.startswith("Neither the ledger nor the spool took it, the way back goes on: ")
    link.away = False
    record.unspool()
    assert place.phases() == ["WATCHING", "REVERTING"]


def test_a_remark_is_lost_without_a_ledger_and_nobody_waits_for_it(place: Place) -> None:
    record, link = place.leader()
    link.away = True
    record.remark(rows.MOMENT, {"text": "seen"})
    link.away = False

    record.remark(rows.MOMENT, {"text": "seen again"})

    assert [row.body["text"] for row in place.ledger.rows(kind=rows.MOMENT)] == ["seen again"]
