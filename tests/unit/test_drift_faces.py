"""The faces of a drift report: the same words and counts on each, every finding once, nothing fetched or forged."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from controller.drift.finding import Finding, Report, State
from controller.drift.saying import sentence
from controller.faces.drift import drift
from controller.faces.drift_markdown import drift_markdown
from controller.faces.drift_page import drift_page
from controller.faces.drift_records import report_json
from controller.faces.sarif import sarif
from controller.faces.terminal import ASCII, console
from tests import reflections

REPORT = reflections.report()
EVIL = '<img src=x onerror=alert(1)> `|` [a](javascript:b) "quoted"'


def terminal(report: Report, **how: Any) -> str:
    out = io.StringIO()
    screen = console(out, colour="never")
    screen.width = 200
    screen.print(drift(report, **how))
    return out.getvalue()


class Tags(HTMLParser):
    """Every tag and what it refers to, and whether each that was opened was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [str(value) for name, value in attrs if name in ("src", "href")]
        self.wrong += [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "br", "input", "line", "polyline", "circle", "path", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag not in ("path", "line", "circle", "polyline"):
            self.wrong.append(f"</{tag}> in {self.open[-3:]}")


def parsed(report: Report) -> tuple[str, Tags]:
    page, tags = drift_page(report, 2), Tags()
    tags.feed(page)
    return page, tags


FACES: dict[str, Callable[[Report], str]] = {
    "terminal": lambda report: terminal(report),
    "page": lambda report: drift_page(report, 2),
    "markdown": drift_markdown,
    "json": lambda report: json.dumps(report_json(report), ensure_ascii=False),
}


@pytest.mark.parametrize("face", FACES)
def test_every_face_says_the_same_sentence_and_has_every_finding_that_is_not_explained(face: str) -> None:
    said = " ".join(html.unescape(FACES[face](REPORT).replace("<b>", "").replace("</b>", "")).split())
    assert sentence(REPORT) in said
    assert REPORT.open and all(one.id in said for one in REPORT.findings if one.state is not State.EXPLAINED)


def test_the_sentence_counts_what_is_open_high_and_new() -> None:
    assert sentence(REPORT).endswith(
        "4 of the open differences are high; 4 concern prod; 1 is new since the last report."
    )
    assert sentence(reflections.nothing()) == (
        "1 difference between stage and prod is set on purpose; nothing else differs."
    )


def test_the_page_fetches_nothing_and_is_well_formed() -> None:
    page, tags = parsed(REPORT)
    assert (tags.asked, tags.wrong, tags.open) == ([], [], [])
    assert "default-src 'none'" in page


def test_where_an_environment_shows_nothing_the_page_says_whether_anybody_looked() -> None:
    page = drift_page(REPORT, 2)
    (by_name,) = [one for one in REPORT.open if one.kind == "alignment"]
    row = page.partition(f'id="{by_name.id}"')[2].partition("</summary>")[0]
    assert re.findall(r'<span class="(?:blank|val)[^>]*>([^<]*)', row) == ["–", "false", "–"]

    blind = replace(REPORT, looked=REPORT.looked - {(by_name.kind, "dev")})
    row = drift_page(blind, 2).partition(f'id="{by_name.id}"')[2].partition("</summary>")[0]
    assert re.findall(r'title="([^"]*)">(.)</span>', row)[:2] == [("not looked at", "?"), ("nothing of this", "–")]


def test_what_a_name_holds_is_never_markup() -> None:
    def evil(one: Finding) -> Finding:
        return replace(one, what=EVIL, why=EVIL, values=dict.fromkeys(one.values, EVIL))

    bad = replace(REPORT, findings=tuple(map(evil, REPORT.findings)))
    page, tags = parsed(bad)
    assert (tags.wrong, "<img" in page) == ([], False)
    assert not re.search(r"(?<!\\)<img|(?<!\\)\[a\]", drift_markdown(bad))


def test_a_setting_that_explains_two_pairs_is_one_line_with_three_values() -> None:
    (line,) = [line for line in terminal(REPORT).splitlines() if line.startswith("infra.vpc")]
    assert [one in line for one in ("10.20.0.0/16", "10.21.0.0/16", "10.22.0.0/16", " 14 ")] == [True] * 4


def test_the_first_screen_of_a_pull_request_is_one_screen() -> None:
    first = drift_markdown(REPORT).split("<details>")[0]
    assert len(first.splitlines()) <= 30


def test_only_ascii_is_only_ascii() -> None:
    assert terminal(REPORT, g=ASCII).isascii()


def test_an_index_that_is_gone_has_no_waiver_to_copy_and_a_patched_rule_has() -> None:
    page = drift_page(REPORT, 2)
    assert page.count("match = &quot;") == page.count("[[waiver]]") == 4
    assert "match = &quot;data stage:prod" not in page


# ---- SARIF --------------------------------------------------------------------------------------------------------


def test_sarif_obeys_the_rules_of_its_schema() -> None:
    log = sarif(REPORT, "0.1.0")
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    run = log["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    for one in run["results"]:
        assert rules[one["ruleIndex"]] == one["ruleId"]
        assert one["level"] in ("none", "note", "warning", "error") and one["message"]["text"]
        assert one["baselineState"] in ("new", "unchanged", "updated", "absent")
        place = one["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1 and not place["artifactLocation"]["uri"].startswith("/")
        assert all(each["kind"] in ("inSource", "external") for each in one.get("suppressions", ()))
    prints = [one["partialFingerprints"]["turnaboutDrift/v1"] for one in run["results"]]
    assert len(prints) == len(set(prints))


def test_sarif_has_what_is_open_suppresses_what_is_waived_and_notes_what_was_not_seen() -> None:
    run = sarif(REPORT, "0.1.0")["runs"][0]
    open = [one for one in run["results"] if "suppressions" not in one]
    waived = [one["suppressions"][0]["justification"] for one in run["results"] if "suppressions" in one]
    assert len(open) == len(REPORT.open)
    assert waived == ["replaced with the next image (platform, until 2026-11-27)"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "data was not looked at in dev" in invocation["toolExecutionNotifications"][0]["message"]["text"]
