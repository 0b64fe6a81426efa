"""What is remembered from one report to the next: since when, how many, and what is new."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from controller.drift.finding import Finding, Kind, Moment, Report, Severity, State
from controller.drift.remembering import Record, read, remember, written

LOOKED = frozenset({(Kind.LIVE, "prod"), (Kind.ALIGNMENT, "prod")})
PORT = Finding(Kind.LIVE, "prod sg ingress", "a port", ("prod",), Severity.HIGH, State.UNEXPLAINED, "It is open.")


def report(at: float, *findings: Finding, looked: frozenset[tuple[Kind, str]] = LOOKED) -> Report:
    return Report(at, 1.0, ("prod",), tuple(Kind), findings, looked)


def test_a_finding_is_new_once_and_then_as_old_as_it_is() -> None:
    record, first = remember(Record(), report(100.0, PORT))
    record, second = remember(record, report(200.0, PORT))
    assert [(one.new, one.first_seen) for one in (*first.findings, *second.findings)] == [(True, 100.0), (False, 100.0)]
    assert second.trend == (Moment(100.0, 1, 1), Moment(200.0, 1, 1))


def test_what_was_gone_and_comes_back_is_new_again() -> None:
    record, _ = remember(Record(), report(100.0, PORT))
    record, _ = remember(record, report(200.0))
    _, again = remember(record, report(300.0, PORT))
    assert (again.findings[0].new, again.findings[0].first_seen) == (True, 300.0)


def test_what_nobody_looked_at_is_not_forgotten() -> None:
    record, _ = remember(Record(), report(100.0, PORT))
    record, _ = remember(record, report(200.0, looked=frozenset({(Kind.ALIGNMENT, "prod")})))
    _, again = remember(record, report(300.0, PORT))
    assert (again.findings[0].new, again.findings[0].first_seen) == (False, 100.0)


def test_what_could_not_be_looked_at_is_known_by_how_long_and_never_counted() -> None:
    missing = replace(PORT, state=State.UNSEEN)
    nowhere: frozenset[tuple[Kind, str]] = frozenset()
    record, _ = remember(Record(), report(100.0, missing, looked=nowhere))
    record, again = remember(record, report(200.0, missing, looked=nowhere))
    assert [(one.new, one.first_seen) for one in again.findings] == [(False, 100.0)]
    assert again.trend == (Moment(100.0, 0, 0), Moment(200.0, 0, 0))
    assert remember(record, report(300.0))[0].known == {}


def test_what_is_explained_or_waived_is_not_counted_as_open() -> None:
    _, one = remember(Record(), report(100.0, replace(PORT, state=State.WAIVED)))
    assert (one.trend, one.findings[0].new) == ((Moment(100.0, 0, 0),), False)


def test_a_record_survives_being_written() -> None:
    record, _ = remember(Record(), report(100.0, PORT))
    assert read(json.loads(json.dumps(written(record)))) == record


@pytest.mark.parametrize("text", ['{"schema": "another/1"}', "[]", '{"schema": "turnabout/drift-record/1"}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"schema|no record"):
        read(json.loads(text))
