"""A ledger's rows, told as people see them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from controller.errors import Refused
from controller.model import Cause, Phase
from controller.rollout.rows import ROLLOUTS, Row, written
from controller.stories.overview import survey
from controller.stories.story import LAST_GOOD, NOBODYS, OVER, SILENT, UNUSED, WITHIN, Story
from controller.stories.telling import newest, tell
from tests import tales


def told(name: str) -> Story:
    tale = tales.TALES[name]()
    return tell(tale.written, tale.number)


def at(tale: tales.Tale, t: float) -> Story:
    """The story as it stood ``t`` seconds after T0."""
    now = tale.t0_at + t
    return tell([row for row in tale.written if row.at <= now], tale.number, now)


def test_the_figures_of_a_revert_are_the_moments_of_its_rows() -> None:
    figures = told("reverted").figures
    assert (figures.seen_s, figures.deploy_s, figures.verdict_s) == (0.8, 3.8, 14.6)
    assert (figures.traffic_off_s, figures.nodes_back_s, figures.exposure_s) == (0.4, 1.9, 20.4)
    assert (figures.harmed, figures.clients) == (21, 17)


def test_a_revert_says_who_serves_what_git_got_and_what_is_not_tried_again() -> None:
    story = told("reverted")
    assert story.sentence == story.rollout.why
    assert story.after.startswith("prod is back on b02d5a1 by revert commit e41b07d; artefact ")
    assert [entry.app for entry in story.quarantine] == ["mqtt"]
    assert [one.command for one in story.advice] == [
        "turnabout show prod/42 --samples errors",
        "git switch -c fix 7c1e9f4",
        'turnabout quarantine clear prod 7c1e9f4 --reason "WHY"',
    ]
    assert story.kept is True


def test_until_git_has_answered_the_story_says_that_it_will_get_the_commit() -> None:
    tale = tales.reverted()
    story = tell([row for row in tale.written if row.kind != "git"], 42)
    assert "git does not have the revert commit yet" in story.after


def test_a_revert_that_waits_for_a_pull_request_is_told_with_its_branch() -> None:
    tale = tales.reverted()
    told = [
        replace(row, body={**row.body, "did": "aside", "message": "turnabout/revert-prod-r42", "why": "Merge it."})
        if row.kind == "git" and row.body["did"] == "revert"
        else row
        for row in tale.written
    ]
    story = tell(told, 42)
    assert story.after.startswith(
        "prod is back on b02d5a1, but its branch is protected: merge turnabout/revert-prod-r42 into it, which takes "
        "the release out; artefact "
    )
    assert ("git", "Merge it.") in [(moment.kind, moment.text) for moment in story.moments]


def test_a_commit_whose_date_means_nothing_is_only_said_to_be_seen() -> None:
    tale = tales.reverted()
    told = [replace(row, body={**row.body, "seen_s": None}) if row.kind == "seen" else row for row in tale.written]
    story = tell(told, 42)
    assert story.figures.seen_s is None
    assert "Commit 7c1e9f4 seen." in [moment.text for moment in story.moments]


def test_a_promotion_has_no_exposure_and_needs_no_revert_budget() -> None:
    story = told("promoted")
    assert story.figures.exposure_s is None
    assert [(spent.name, spent.state) for spent in story.spent] == [
        ("deploy", WITHIN),
        ("watch", WITHIN),
        ("revert", UNUSED),
    ]
    assert [span.name for span in story.spans] == ["staging", "DEPLOYING", "WATCHING", "settling", "PROMOTED"]
    assert set(story.nodes.values()) == {"candidate"}
    assert story.quarantine == ()


def test_a_held_rollout_leaves_git_and_quarantine_alone() -> None:
    story = told("held")
    assert story.phase is Phase.HELD
    assert story.git is None
    assert story.quarantine == ()
    assert story.after.endswith("It is tried once more by itself.")
    assert story.advice[0].command.startswith("turnabout retry prod 7c1e9f4")


def test_a_second_blind_try_waits_for_a_person() -> None:
    tale = tales.held()
    rows = [
        again(row) if row.kind == "rollout" and row.body["rollout"]["number"] == 42 else row for row in tale.written
    ]
    assert "not tried again until somebody asks" in tell(rows, 42).after


def again(row: Row) -> Row:
    return replace(row, body={**row.body, "rollout": {**row.body["rollout"], "attempt": 2}})


def test_a_stuck_node_is_named_with_the_command_that_ends_it_and_breaks_the_promise() -> None:
    story = told("stuck")
    assert story.nodes["dfw-a"] == SILENT
    assert [one.command for one in story.advice] == ["turnabout watch prod", "turnabout doctor"]
    assert story.spent[2].state == OVER
    assert story.kept is False


def test_behind_a_one_way_door_nothing_goes_back_and_a_person_decides() -> None:
    story = told("frozen")
    assert story.spent[2].state == UNUSED
    assert story.kept is None
    assert [one.command.split()[1] for one in story.advice] == ["approve", "switch"]


def test_a_first_release_waits_for_an_approval_and_has_no_clock_yet() -> None:
    story = told("waiting")
    assert (story.t, story.t0_at, story.gone_by) == (None, None, None)
    assert story.advice[0].command == 'turnabout approve prod --reason "WHY"'
    assert set(story.nodes.values()) == {"not seen"}


def test_while_watching_the_sentence_says_what_looks_worse_and_when_it_is_gone() -> None:
    story = at(tales.reverted(), 14.5)
    assert story.phase is Phase.WATCHING
    assert story.sentence.startswith("The check errors on mqtt looks worse on the candidate than on last good (")
    assert story.gone_by == tales.T0_AT + 180
    watch = story.spent[1]
    assert (watch.state, watch.used, watch.left) == ("running", 10.7, 49.3)


def test_a_candidate_that_crashed_was_never_watched() -> None:
    story = told("crashed")
    assert story.figures.deploy_s is None
    assert story.figures.verdict_s is None
    assert [spent.state for spent in story.spent] == [WITHIN, UNUSED, WITHIN]
    assert [moment.kind for moment in story.moments if moment.kind == "lead"] == ["lead"]
    assert "no revert commit is needed" in story.after


def test_the_verdict_shown_is_the_one_that_decided_not_the_last_one_made() -> None:
    tale = tales.reverted()
    late = tales.reverted()
    late.looks(late.t + 1, judge=True)
    assert len(late.written) > len(tale.written)
    assert tell(late.written, 42).verdict == tell(tale.written, 42).verdict


def test_on_another_clock_the_seconds_go_on_from_the_ledgers_own_time() -> None:
    tale = tales.Tale((tales.mqtt(tales.BAD, tales.GOOD),), tales.BAD, tales.SUBJECT)
    tale.begins()
    tale.deploys()
    tale.looks(10.3)
    rollout = replace(tale.rollout, clock="boot-2", t0=None, watch_from=None, phase=Phase.REVERTING, cause=Cause.BLIND)
    tale.t = 12.0
    tale.write("rollout", {"rollout": written(ROLLOUTS, replace(rollout, entered_at=7.0)), "event": "reverting"})
    story = tell(tale.written, 42)
    assert story.marks["turn"] == 12.0
    assert story.figures.deploy_s == 3.8


def test_without_a_controller_the_promise_counts_and_no_budget_was_anybodys_to_keep() -> None:
    story = told("orphaned")
    assert [(gap.begin, gap.end) for gap in story.unled] == [(19.3, 158.0)]
    assert [spent.state for spent in story.spent] == [WITHIN, NOBODYS, UNUSED]
    assert story.kept is True
    figures = story.figures
    assert (figures.verdict_s, figures.traffic_off_s, figures.nodes_back_s, figures.exposure_s) == (
        None, None, None, 158.6,
    )  # fmt: skip


def test_a_controller_that_looks_again_too_late_cannot_say_whether_the_promise_was_kept() -> None:
    tale = tales.orphaned()
    told = tell(tale.written, 42)
    assert replace(told, figures=replace(told.figures, exposure_s=200.0)).kept is None
    assert replace(told, figures=replace(told.figures, exposure_s=200.0), unled=()).kept is False


def test_while_no_controller_writes_the_story_says_so_and_calls_nothing_over_budget() -> None:
    story = at(tales.orphaned(), 90.0)
    assert story.after == ("No controller has written for 71 s: at their own deadline the nodes go back by themselves.")
    assert story.spent[1].state == NOBODYS
    assert at(tales.orphaned(), 19.4).after == ""


def test_what_was_held_and_tried_again_says_what_became_of_it_and_asks_for_nothing() -> None:
    tale = tales.orphaned()
    story = tell(tale.written, 42)
    assert story.after.endswith("It was tried again as rollout 43, which ended PROMOTED.")
    assert [one.command for one in story.advice] == ["turnabout show prod/43"]
    before = tell([row for row in tale.written if row.at < tale.t0_at + 159.0], 42)
    assert before.after.endswith("It is tried once more by itself.")
    during = tell([row for row in tale.written if row.at < tale.t0_at + 200.0], 42)
    assert during.after.endswith("It is tried again as rollout 43, which is DEPLOYING.")
    assert [one.command for one in during.advice] == ["turnabout watch prod"]


def test_when_the_watch_begins_every_canary_is_shown_to_serve() -> None:
    tale = tales.reverted()
    story = tell([row for row in tale.written if row.at <= tale.t0_at + 3.8], 42)
    assert story.phase is Phase.WATCHING
    assert [node for node, state in story.nodes.items() if state == "candidate"] == ["bos-a", "bos-b", "dfw-a"]
    assert {zone: round(share, 2) for zone, share in story.shares.items()} == {"mqtt/BOS": 0.67, "mqtt/DFW": 0.33}


def test_two_applications_go_back_together_and_only_the_guilty_one_is_quarantined() -> None:
    story = told("both")
    assert story.app == "mqtt + c360"
    assert [entry.app for entry in story.quarantine] == list(story.rollout.guilty) == ["mqtt"]
    assert set(story.shares) == {"mqtt/BOS", "mqtt/DFW", "c360/region"}


def test_the_paths_of_all_nodes_are_whole_and_end_on_last_good() -> None:
    story = told("reverted")
    for path in story.paths.values():
        assert all(a.end == b.begin and a.name != b.name for a, b in pairwise(path))
        assert path[-1].name == LAST_GOOD
    assert story.paths["bos-a"][-1].begin == story.marks["nodes_back"]


def test_the_last_twelve_rollouts_of_the_same_application_come_with_it() -> None:
    past = told("reverted").past
    assert [one.number for one in past] == list(range(31, 43))
    assert [one.seconds for one in past[-2:]] == [13.0, 20.4]


def test_a_rollout_that_is_not_there_is_refused_with_those_that_are() -> None:
    tale = tales.reverted()
    with pytest.raises(Refused, match="showing rollout 99: the ledger has rollouts 1 to 42"):
        tell(tale.written, 99)
    with pytest.raises(Refused, match="no rollout yet"):
        tell([], 1)
    assert newest([]) is None


def test_an_overview_says_what_runs_for_good_who_holds_it_and_what_is_never_tried_again() -> None:
    tale = tales.reverted()
    tale.order(60.0, "hold", "the night shift", "the line is moving")
    overview = survey("prod", tale.written, tales.T0_AT + 100)
    running = overview.running[0]
    assert running.release is not None
    assert (running.app, running.release.commit, running.rollout) == ("mqtt", tales.GOOD, 41)
    assert overview.hold is not None
    assert [entry.rollout for entry in overview.quarantine] == [34, 42]
    assert overview.current is not None
    assert overview.current.phase is Phase.REVERTED


def test_an_overview_of_an_empty_ledger_says_nothing_wrong() -> None:
    overview = survey("dev", [], 0.0)
    assert overview.running == ()
    assert overview.current is None


def test_waiting_for_less_is_no_news_and_waiting_for_something_else_is() -> None:
    tale = tales.waiting()
    for t, waits in (
        (-1.0, "b, which is copying; c, which does not answer"),
        (-0.8, "c, which does not answer"),
        (-0.5, "d, which is lost"),
    ):
        tale.moves(t, replace(tale.rollout, why=f"Waits for {waits}."), "waiting")
    texts = [moment.text for moment in tell(tale.written, 1).moments]
    assert "Waits for b, which is copying; c, which does not answer." in texts
    assert "Waits for c, which does not answer." not in texts
    assert texts[-1] == "Waits for d, which is lost."


def test_the_loops_clauses_become_sentences_and_a_name_in_front_stays_small() -> None:
    story = told("crashed")
    texts = {moment.kind: moment.text for moment in story.moments}
    assert texts["traffic"] == "No request starts on the candidate any more."
    assert texts["revert"].startswith("mqtt 7c1e9f4 was given up by bos-a")
    assert texts["lead"] == "A controller took over, generation 4: the one before ended."


@pytest.mark.parametrize(
    ("name", "person"), [("held", True), ("stuck", True), ("waiting", True), ("reverted", False), ("promoted", False)]
)
def test_an_overview_knows_whether_a_person_is_needed(name: str, person: bool) -> None:
    tale = tales.TALES[name]()
    assert survey("prod", tale.written, tale.t0_at + 300).needs_person is person


def test_nodes_that_wait_for_the_same_thing_are_named_together() -> None:
    tale = tales.waiting()
    why = "Waits for a, which is copying the candidate; b, which is copying the candidate; c, which does not answer."
    tale.moves(-1.0, replace(tale.rollout, why=why), "waiting")
    story = tell(tale.written, 1)
    assert story.sentence == "Waits for a, b, which are copying the candidate; c, which does not answer."
    assert story.moments[-1].text == story.sentence


def test_a_watch_that_ends_at_the_look_after_its_budget_kept_it() -> None:
    tale = tales.promoted()
    for row in tale.written:
        if row.kind == "rollout" and row.body["rollout"]["number"] == 42 and row.body["rollout"]["phase"] == "PROMOTED":
            row.body["rollout"]["entered_at"] += 0.02
    story = tell(tale.written, 42)
    assert story.spent[1].used == 60.02
    assert story.spent[1].state == WITHIN
    assert story.kept is True


def test_a_first_release_finds_its_nodes_empty_and_leaves_them_so() -> None:
    tale = tales.Tale((tales.mqtt(tales.BAD, None),), tales.BAD, tales.SUBJECT, number=1)
    tale.begins()
    tale.sets("stopping", *tale.rollout.nodes)
    tale.looks(0.3)
    assert set(tell(tale.written, 1).nodes.values()) == {"empty"}
    tale.sets("starting", *tale.rollout.nodes)
    tale.looks(1.3)
    tale.turns(2.0, Cause.BLIND, "Nobody knows.", "nobody knows")
    tale.closes(3.0, Phase.HELD, "held")
    story = tell(tale.written, 1)
    assert set(story.nodes.values()) == {"empty"}
    assert [span.name for span in story.paths["bos-a"]] == ["empty", "starting", "empty"]


def test_what_a_verdict_passed_is_not_called_suspicious() -> None:
    judged = told("promoted").checks[0]
    assert not replace(judged, finding=replace(judged.finding, evidence=15.0)).suspicious
    judged = at(tales.reverted(), 14.5).checks[0]
    assert judged.suspicious
