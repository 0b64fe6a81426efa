"""The report: one file that fetches nothing, reads without its script, and is well formed whatever a subject says."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from controller.faces import cases, demo, report
from controller.stories.story import Story
from controller.stories.telling import tell
from tests import tales

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Shape(HTMLParser):
    """Fails on what is opened and not closed, and gathers ids, references and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shape(page: str) -> Shape:
    parsed = Shape()
    parsed.feed(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    return parsed


def story(name: str) -> Story:
    tale = tales.TALES[name]()
    return tell(tale.written, tale.number)


def pages() -> list[str]:
    both = [story("reverted"), replace(story("promoted"), rollout=replace(story("promoted").rollout, number=43))]
    table = cases.DemoTable((cases.column("bad change", both[0]),), {"deploy_s": 60.0})
    chapters = [
        report.Chapter(
            "a bad change", "reverted", demo.scene_badge(demo.DemoStep("a bad change", demo.DONE)), (both[0],)
        ),
        report.Chapter("a good change", "promoted", "", (both[1],)),
    ]
    sign = demo.ending_badge(demo.Ending.KEPT)
    return [report.report(story(name)) for name in tales.TALES] + [
        report.several("turnabout demo", "It ran.", chapters, sign, cases.figures_html(table))
    ]


def test_every_page_is_well_formed_and_refers_to_nothing_outside_itself() -> None:
    for page in pages():
        parsed = shape(page)
        for tag, name, value in parsed.attributes:
            assert name not in ("src", "srcset", "action", "data"), (tag, name)
            if name in ("href", "xlink:href"):
                assert value.startswith("#"), value
                assert value[1:] in parsed.ids
            if "url(" in value:
                assert re.fullmatch(r"url\(#[a-z]+\)", value)
                assert value[5:-1] in parsed.ids
        assert "://" not in page
        assert "@import" not in page
        assert "default-src 'none'" in page


def test_a_page_says_everything_without_its_script() -> None:
    page = re.sub(r"<script.*?</script>", "", report.report(story("reverted")), flags=re.S)
    passed, clear = "evidence 132 (the mean of 2 checks) passed 100", "quarantine clear prod 7c1e9f4"
    for said in ("REVERTED", passed, "20.4 s", clear, "e41b07d"):
        assert said in page
    assert "noscript-hides" in page


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>", "a & b"]
)
def test_nothing_that_a_commit_says_becomes_part_of_the_page(evil: str) -> None:
    told = story("reverted")
    lane = replace(told.rollout.lanes[0], app=evil)
    git = replace(told.git, message=evil) if told.git else None
    told = replace(
        told, rollout=replace(told.rollout, subject=evil, environment="prod"), sentence=evil, after=evil, git=git,
        moments=tuple(replace(moment, text=evil) for moment in told.moments),
        ticks=tuple(replace(tick, shares={f"x/{evil}": 0.5}) for tick in told.ticks),
    )  # fmt: skip
    page = report.report(told)
    plain_page = report.report(story("reverted"))
    assert page.count("<script") == plain_page.count("<script")
    assert "<img" not in page
    shape(page)
    assert lane.app == evil


def test_the_timeline_shows_each_node_each_zone_and_each_phase() -> None:
    page = report.report(story("reverted"))
    drawing = page.split('<svg class="timeline"')[1].split("</svg>")[0]
    for said in (
        "bos-a",
        "dfw-c",
        "BOS traffic",
        "WATCHING",
        "REVERTED",
        "verdict: FAIL",
        "traffic off, 0.4 s later",
        "goes back",
    ):
        assert said in drawing
    assert drawing.count(">control<") == 3
    assert "url(#starting)" in drawing
    assert "url(#stopping)" in drawing


def test_labels_of_the_timeline_do_not_cover_each_other() -> None:
    for name in tales.TALES:
        page = report.report(story(name))
        if 'class="timeline"' not in page:
            continue
        drawing = page.split('<svg class="timeline"')[1].split("</svg>")[0]
        right = [float(y) for y in re.findall(r'<text x="964.0" y="([\d.]+)"', drawing)]
        assert all(b - a >= 7 for a, b in zip(sorted(right), sorted(right)[1:], strict=False)), name


def test_labels_are_drawn_over_every_line_with_a_halo_that_breaks_it() -> None:
    page = report.report(story("reverted"))
    drawing = page.split('<svg class="timeline"')[1].split("</svg>")[0]
    assert drawing.index('stroke-dasharray="2 3"') < drawing.rindex('stroke-dasharray="2 3"')
    assert drawing.rindex('stroke-dasharray="2 3"') < drawing.index('class="mark')
    assert re.search(r"\.timeline \.mark \{ paint-order: stroke; stroke: var\(--card\)", page)


def test_a_rollout_that_nobody_led_counts_its_promise_and_asks_for_nothing_any_more() -> None:
    page = report.report(story("orphaned"))
    for said in (
        "Yes: it was gone in time, though no controller was there",
        "No controller was there from 19.3 s to 158.0 s after T0",
        "gone by 158.6 s after it began, when a controller looked again; 180 s were allowed",
        "from T0 until a controller saw it gone, 180 s allowed",
        "It was tried again as rollout 43, which ended PROMOTED.",
        "turnabout show prod/43",
    ):
        assert said.lower() in page.lower()
    for unsaid in ("over budget", "in the morning", "turnabout retry", "0.0 s later"):
        assert unsaid not in page
    assert "it is judged again by itself" in report.report(story("held"))


def test_a_rollout_that_never_began_has_no_timeline_but_a_sentence() -> None:
    page = report.report(story("waiting"))
    assert "nothing to draw" in page
    assert '<svg class="timeline"' not in page


def test_several_rollouts_stand_on_one_page_with_a_link_to_each() -> None:
    page = pages()[-1]
    assert page.index("a bad change") < page.index("prod/42") < page.index("a good change") < page.index("prod/43")
    assert page.count('<svg class="timeline"') == 2
    assert 'href="#prod-42"' in page
    assert 'href="#prod-43"' in page
    assert "✓ KEPT" in page
    assert page.count("<details data-print>") == 2
