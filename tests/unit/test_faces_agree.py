"""One value, several renderings: the numbers of the terminal, the report and the JSON are the same numbers."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console, RenderableType

from controller.faces import cases, lists, plain, report, screen, small, words
from controller.faces.records import story_json
from controller.faces.terminal import STYLES, UNICODE
from controller.model import Arm, OnPath
from controller.stories.story import Story
from controller.stories.telling import tell
from tests import tales
from tests.tales import READ


def text_of(view: RenderableType, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, theme=STYLES)
    console.print(view)
    return re.sub(r"\s+", " ", console.export_text())


class Words(HTMLParser):
    """The words of a page as a reader meets them, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.said.append(data)


def words_of(page: str) -> str:
    reader = Words()
    reader.feed(page)
    return re.sub(r"\s+", " ", " ".join(reader.said))


def story(name: str) -> Story:
    tale = tales.TALES[name]()
    return tell(tale.written, tale.number)


@pytest.mark.parametrize("name", tales.TALES)
def test_the_reason_comes_first_and_is_the_same_everywhere(name: str) -> None:
    told = story(name)
    assert told.sentence in text_of(screen.full(told), 160)
    assert told.sentence in words_of(report.report(told))
    assert story_json(told)["sentence"] == told.sentence
    assert any(told.rollout.why in line for line in plain.lines(told)) or told.sentence.startswith(
        "Every node runs it."
    )


@pytest.mark.parametrize("name", ["reverted", "promoted", "held", "stuck", "both", "superseded"])
def test_every_count_and_every_evidence_agrees(name: str) -> None:
    told = story(name)
    terminal, page, json = text_of(screen.full(told)), words_of(report.report(told)), story_json(told)
    listed = text_of(lists.show(told))
    for said in json["evidence"]["checks"]:
        if said["candidate"] is None:
            continue
        for arm in (said["candidate"], said["last_good"]):
            counts = f"{arm['bad']:,} of {arm['total']:,}"
            assert counts in terminal
            assert counts in listed
            assert counts in page
        evidence = words.evidence(said["evidence"])
        assert re.search(rf"{said['check']}.*{re.escape(evidence)}", terminal)
        assert evidence in page
    together = words.evidence(json["evidence"]["together"])
    assert re.search(rf"goes back at 100 \S+ .*{re.escape(together)}", terminal)
    assert f"together {together}" in page


@pytest.mark.parametrize("name", tales.TALES)
def test_every_budget_agrees(name: str) -> None:
    told = story(name)
    terminal, page = text_of(screen.full(told)), words_of(report.report(told))
    for stage, spent in story_json(told)["budgets"].items():
        used = f"{spent['used_s']:.1f} of {spent['limit_s']:.0f} s"
        assert re.search(rf"{stage} \S+ {re.escape(used)}", terminal)
        assert used in page
    if told.spent[0].used:
        assert f"{told.budget_now.used:.1f} of {told.budget_now.limit:.0f} s" in text_of(small.compact(told), 80)


SAYS = {
    "seen_s": "from the commit to its being seen",
    "deploy_s": "from T0 until every canary served",
    "verdict_s": "watching until it was decided",
    "traffic_off_s": "from the decision to traffic off",
    "nodes_back_s": "from the decision to nodes back",
    "exposure_s": "from T0 until gone, 180 s allowed",
}


@pytest.mark.parametrize("name", ["reverted", "promoted", "held", "stuck"])
def test_every_figure_agrees_down_to_the_demos_table(name: str) -> None:
    told = story(name)
    page, figures = words_of(report.report(told)), story_json(told)["figures"]
    table = cases.DemoTable((cases.column("case", told),), {})
    below = text_of(cases.figures(table, UNICODE))
    for figure, value in figures.items():
        if figure.endswith("_s") and value is not None:
            assert f"{value:.1f} s {SAYS[figure]}" in page
            assert f"{cases.ROWS[figure]} {value:.1f} s" in below
            assert f"{cases.ROWS[figure]} {value:.1f} s" in words_of(cases.figures_html(table))
    harmed = f"{figures['harmed']:,} requests"
    of = f" of {figures['clients']:,} clients" if figures["clients"] else ""
    assert f"harmed {harmed}{of}" in text_of(screen.full(told))
    assert f"{figures['harmed']:,} requests harmed{',' if of else ''}{of}" in page
    assert "of 0 clients" not in page + text_of(screen.full(told))


def test_the_sentences_counts_stand_on_every_surface_beside_those_of_all_paths() -> None:
    told = story("reverted")
    judged = told.checks[0]
    worst = OnPath(READ, Arm(37, 4), Arm(180, 0))
    told = replace(told, checks=(replace(judged, finding=replace(judged.finding, worst=worst)), *told.checks[1:]))
    for surface in (text_of(screen.full(told)), text_of(lists.show(told)), words_of(report.report(told))):
        assert re.search(r"10\.8 % 4 of 37 (0\.0 % 0 of 180|.* 0\.0 % 0 of 180)", surface)
        assert f"on {READ}" in surface
        assert "21 of 1,397" in surface
    said = story_json(told)["evidence"]["checks"][0]["worst_path"]
    assert said == {"path": READ, "candidate": {"bad": 4, "total": 37}, "last_good": {"bad": 0, "total": 180}}


@pytest.mark.parametrize("name", tales.TALES)
def test_the_record_is_the_same_line_by_line(name: str) -> None:
    told = story(name)
    page, listed = words_of(report.report(told)), text_of(lists.show(told), 400)
    for moment, line in zip(story_json(told)["moments"], plain.lines(told), strict=True):
        assert line.endswith(moment["text"])
        assert moment["at"][11:21] == line[:10]
        assert moment["text"] in page
        assert moment["text"] in listed


def test_the_evidence_second_by_second_is_the_json_ticks() -> None:
    told = story("reverted")
    page = words_of(report.report(told))
    for tick in story_json(told)["ticks"]:
        assert f"{tick['t']:+.1f} s {tick['phase']}" in page
