"""What people are told of drift: each news once; what is known, measured or not looked at is none."""

from __future__ import annotations

import json
from dataclasses import replace

from controller.drift.finding import Difference, Finding, Kind, Report, Severity, State, unseen
from controller.drift.remembering import Record, read, remember, written
from controller.drift.told import CHANGED, ENDED, MOST, NEW, News, after_failing, after_telling, news

LOOKED = frozenset({(Kind.LIVE, "prod")})
PORT = Finding(
    Kind.LIVE, "prod sg ingress", "a port is open", ("prod",), Severity.HIGH, State.UNEXPLAINED, "Somebody opened it.",
    differences=(Difference("sg ingress", {"declared": "443", "prod": "22"}),),
)  # fmt: skip


def report(*findings: Finding, looked: frozenset[tuple[Kind, str]] = LOOKED) -> Report:
    return Report(100.0, 1.0, ("prod",), tuple(Kind), findings, looked)


def told(record: Record, *findings: Finding, looked: frozenset[tuple[Kind, str]] = LOOKED) -> tuple[Record, list[News]]:
    """The record after a look whose news were told, and the news; it is written and read as on disk."""
    after, _ = remember(record, report(*findings, looked=looked))
    said = [*news(after)]
    return read(json.loads(json.dumps(written(after_telling(after))))), said


def test_a_finding_is_told_when_it_is_new_when_it_changes_and_when_it_ends_and_never_twice() -> None:
    record, first = told(Record(), PORT)
    assert [(one.environment, one.event, one.sentence) for one in first] == [
        ("prod", NEW, "a port is open (high): Somebody opened it. See: turnabout drift --env prod")
    ]
    record, again = told(record, PORT)
    assert again == []
    other = replace(PORT, differences=(Difference("sg ingress", {"declared": "443", "prod": "23"}),))
    record, changed = told(record, other)
    assert [one.event for one in changed] == [CHANGED]
    record, ended = told(record)
    assert [(one.event, one.sentence) for one in ended] == [(ENDED, "a port is open: ended")]
    assert told(record)[1] == []


def test_a_report_by_hand_tells_nothing_and_swallows_nothing() -> None:
    record, _ = remember(Record(), report(PORT))
    assert [one.event for one in told(record, PORT)[1]] == [NEW]
    record, _ = told(record, PORT)
    gone, _ = remember(record, report())
    assert [one.event for one in told(gone)[1]] == [ENDED]


def test_another_figure_of_a_measurement_is_no_news_and_another_weight_is() -> None:
    clock = replace(PORT, measured=True)
    record, _ = told(Record(), clock)
    later = replace(clock, differences=(Difference("bos-a clock", {"bos-a": "+2.4 s"}),))
    record, said = told(record, later)
    assert said == []
    assert [one.event for one in told(record, replace(later, severity=Severity.MEDIUM))[1]] == [CHANGED]


def test_what_nobody_looked_at_has_not_ended() -> None:
    record, _ = told(Record(), PORT)
    record, said = told(record, looked=frozenset())
    assert said == []
    assert told(record, PORT)[1] == []


def test_what_cannot_be_looked_at_is_told_once_and_again_when_it_can() -> None:
    blind = unseen(Kind.LIVE, ("prod",), "AccessDenied.")
    record, first = told(Record(), blind, looked=frozenset())
    assert [one.sentence for one in first] == [
        "live was not looked at in prod: AccessDenied. See: turnabout drift --env prod"
    ]
    record, said = told(record, replace(blind, why="AccessDenied, request 4711."), looked=frozenset())
    assert said == []
    assert [one.event for one in told(record)[1]] == [ENDED]


def test_many_news_of_an_environment_are_one_sentence_with_all_of_their_ids() -> None:
    many = [replace(PORT, about=f"prod sg {n}") for n in range(MOST + 1)]
    (one,) = told(Record(), *many)[1]
    assert (
        one.sentence
        == f"{MOST + 1} findings of drift are new, {MOST + 1} of them high. See: turnabout drift --env prod"
    )
    assert {*one.findings} == {each.id for each in many}


def test_a_failure_is_news_once_until_it_is_another() -> None:
    record, fresh = after_failing(Record(), "no credentials")
    assert fresh
    assert after_failing(record, "no credentials") == (record, False)
    assert after_failing(record, "no disk")[1]


def test_what_is_waived_or_explained_is_told_to_nobody() -> None:
    assert told(Record(), replace(PORT, state=State.WAIVED), replace(PORT, state=State.EXPLAINED))[1] == []
