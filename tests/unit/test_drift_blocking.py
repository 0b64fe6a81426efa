"""Which promotion is stopped, and by what: new, high, explained by nobody, and of the two environments alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.drift.blocking import last_promotion, stopped
from controller.drift.finding import Finding, Kind, Report, Severity, State
from controller.drift.saying import sentence, state_of
from tests import reflections
from tests.tales import TALES

REPORT = reflections.report()
(BY_NAME,) = [one for one in REPORT.open if one.kind is Kind.ALIGNMENT]
WORDS = "aws.ebs.Volume bos-a-data: encrypted is chosen by the environment's name (D-3dbef5)"


def ways(report: Report) -> list[tuple[str, str]]:
    return [(one.source, one.target) for one in stopped(report)]


def with_(**changes: Any) -> Report:
    """The report, in which the one finding of alignment is otherwise."""
    found = tuple(replace(one, **changes) if one is BY_NAME else one for one in REPORT.findings)
    return replace(REPORT, findings=found)


def test_the_first_sentence_says_which_promotion_is_blocked_and_by_what() -> None:
    assert sentence(REPORT).startswith(
        f"Promotion from stage to prod is blocked by 1 new high difference that nobody explains: {WORDS}. "
    )
    assert state_of(BY_NAME, REPORT) == ("waiver expired", "since 1 day, blocks prod")


def test_what_was_known_when_the_target_was_promoted_last_stops_nothing() -> None:
    assert ways(REPORT) == [("stage", "prod")]
    assert ways(replace(REPORT, promoted={**REPORT.promoted, "prod": reflections.AT})) == []
    assert ways(replace(REPORT, promoted={})) == [("dev", "stage"), ("stage", "prod")]  # never promoted: all is new


def test_against_a_commit_only_what_that_commit_has_not_stops() -> None:
    assert ways(replace(REPORT, since="0f1e2d")) == []
    assert ways(replace(with_(new=True), since="0f1e2d")) == [("dev", "stage"), ("stage", "prod")]


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": Severity.MEDIUM},
        {"state": State.WAIVED},
        {"state": State.EXPLAINED},
        {"kind": Kind.RUNTIME},
        {"about": "dev:stage aws.ebs.Volume bos-a-data encrypted"},
        {"about": "dev aws.ebs.Volume bos-a-data encrypted asks for the name"},
    ],
)
def test_what_is_not_high_not_open_or_of_other_environments_stops_nothing(changes: dict[str, Any]) -> None:
    assert ways(with_(**changes)) == []


@pytest.mark.parametrize("about", ["stage:prod aws.ebs.Volume bos-a-data", "prod aws.ebs.Volume bos-a-data"])
def test_what_either_environment_or_the_two_together_have_stops(about: str) -> None:
    assert ways(with_(about=about)) == [("stage", "prod")]


def test_more_than_two_findings_that_stop_are_counted() -> None:
    def copy(n: int) -> Finding:
        return replace(BY_NAME, about=f"stage aws.ebs.Volume bos-{n}-data", what=f"volume {n}")

    said = sentence(replace(REPORT, findings=tuple(copy(n) for n in range(4))))
    assert "is blocked by 4 new high differences that nobody explains: volume 0 (D-" in said
    assert said.partition(". ")[0].endswith(") and 2 more")


def test_the_last_promotion_is_read_from_the_ledger() -> None:
    tale = TALES["promoted"]()
    (last,) = [row for row in tale.written if row.at == last_promotion(tale.written)]
    assert last.body["rollout"]["phase"] == "PROMOTED"
    before = [row for row in tale.written if row.kind != "rollout" or row.body["rollout"]["phase"] != "PROMOTED"]
    assert last_promotion(before) is None
