"""The demo's table keeps its word: what was promised, what came, and which is which."""

from __future__ import annotations

import io
import re
from dataclasses import replace

from rich.console import Console, RenderableType

from controller.faces import cases, demo
from controller.faces.alone import Alone
from controller.faces.terminal import STYLES, UNICODE
from controller.stories.telling import tell
from tests import tales

STEPS = (
    demo.DemoStep("everything starts", demo.DONE, 13.2, "mongod, HAProxy, a git server"),
    demo.DemoStep("a bad change", demo.NOW, 21.9),
    demo.DemoStep("figures", demo.COMING),
)
COUNTERS = demo.Counters(11_946, 23, 4_402, 0, 68.0, 135.0)


def text(view: RenderableType) -> str:
    console = Console(width=100, file=io.StringIO(), record=True, theme=STYLES)
    console.print(view)
    return console.export_text()


def test_a_figure_over_its_promise_breaks_it_and_one_that_did_not_apply_does_not() -> None:
    columns = (
        cases.DemoColumn("a", {"seen_s": 0.8, "acked_lost": 0}),
        cases.DemoColumn("b", {"seen_s": None, "acked_lost": 1}),
    )
    table = cases.DemoTable(columns, {"seen_s": 2.0, "acked_lost": 0})
    assert table.kept("seen_s") is True
    assert table.kept("acked_lost") is False
    assert table.kept("harmed") is None
    assert not table.whole
    lines = text(cases.figures(table, UNICODE)).splitlines()
    assert lines[1].split() == ["commit", "seen", "≤", "2", "s", "0.8", "s", "none", "✓"]
    assert lines[2].split() == ["acknowledged,", "then", "lost", "0", "0", "1", "✗"]


def test_what_is_only_aimed_at_breaks_no_promise_when_it_is_missed() -> None:
    column = cases.DemoColumn("a", {"seen_s": 2.4, "deploy_s": 3.0})
    table = cases.DemoTable((column,), {"deploy_s": 15.0}, {"seen_s": 2.0})
    assert table.whole
    assert table.over == ("seen_s",)
    assert text(cases.figures(table, UNICODE)).splitlines()[1].split() == [
        "commit", "seen", "aim", "≤", "2", "s", "2.4", "s", "◷",
    ]  # fmt: skip
    assert '<b class="warn">◷</b>' in cases.figures_html(table)
    assert '<b class="harm">' not in cases.figures_html(table)


def test_a_promotion_has_no_way_back_in_its_column() -> None:
    tale = tales.promoted()
    column = cases.column("good change", tell(tale.written, 42), acked_lost=0)
    assert "nodes_back_s" not in column.figures
    assert column.figures["acked_lost"] == 0


def test_the_running_step_shows_its_rollout_and_the_others_do_not() -> None:
    tale = tales.reverted()
    now = tale.t0_at + 14.5
    story = tell([row for row in tale.written if row.at <= now], 42, now)
    shown = text(demo.live("everything real", STEPS, story, COUNTERS, "Ctrl-C stops everything it started"))
    assert shown.count("WATCHING") == 1
    assert "11 of 60 s" in shown
    assert "BOS ◆ ◆ ● 67 %" in shown
    assert "customers 11,946 requests, 23 harmed" in shown
    assert "1:08, usually 2:15" in shown
    assert "◆ candidate  ◇ starting  ● last good  ○ stopping" in shown
    assert "WATCHING" not in text(demo.live("everything real", STEPS, None, COUNTERS, "hint"))


def test_the_end_says_whether_every_promise_was_kept() -> None:
    table = cases.DemoTable((), {})

    def ended(ending: demo.Ending) -> str:
        return text(demo.finished("t", STEPS[:1], table, COUNTERS, (ending, "What there is to say."), "hint"))

    assert "✓ every promise was kept" in ended(demo.Ending.KEPT)
    assert "✗ a promise was broken" in ended(demo.Ending.BROKEN)
    assert "◷ not everything happened as it should; no promise was broken" in ended(demo.Ending.UNMET)
    assert all("What there is to say." in ended(ending) for ending in demo.Ending)
    assert "took 1:08" in ended(demo.Ending.KEPT)


def test_no_bar_of_the_demo_changes_its_length_with_what_stands_beside_it() -> None:
    tale = tales.reverted()
    lengths = set()
    for t in (0.5, 4.5, 10.5, 14.5):
        story = tell([row for row in tale.written if row.at <= tale.t0_at + t], 42, tale.t0_at + t)
        shown = text(demo.live("t", STEPS, story, COUNTERS, "hint"))
        lengths |= {tuple(map(len, re.findall(r"[━╸─]{5,}", line))) for line in shown.splitlines() if " of 100" in line}
    assert len(lengths) == 1


def test_zones_are_not_cut_off_in_the_demo() -> None:
    tale = tales.both()
    story = tell(tale.written, 42)
    shown = text(demo.live("t", STEPS, story, COUNTERS, "hint"))
    assert all(f"{zone} ●" in shown for zone in ("BOS", "DFW", "region"))


NODES = {"region-a": "candidate", "region-b": "last good", "region-c": "silent"}


def test_without_a_controller_the_nodes_are_shown_with_their_own_deadline() -> None:
    alone = Alone("prod", tales.T0_AT, 34, 0, 14.2, 30.0, {"region": tuple(NODES)}, NODES)
    shown = text(demo.live("t", STEPS, alone, COUNTERS, "hint"))
    assert "NO CONTROLLER" in shown
    assert "SIGKILL at 14:02:14 UTC, when 34 requests had met" in shown
    assert "◆ region-a  ● region-b  ? region-c    asked just now, of the nodes themselves" in shown
    assert "14 of 30 s" in shown
    assert "16 s left" in shown
    assert "over: they go back" in text(demo.live("t", STEPS, replace(alone, t=30.5), COUNTERS, "hint"))


def test_a_pipe_gets_a_line_for_each_step() -> None:
    words = ["demo", "done", "everything", "starts", "13.2", "s", "mongod,", "HAProxy,", "a", "git", "server"]
    assert demo.line(STEPS[0]).split() == words
