"""The demo's table keeps its word: what was promised, what came, and which is which."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from controller.faces import demo
from controller.faces.terminal import STYLES, UNICODE
from controller.telling import tell
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
        demo.DemoColumn("a", {"seen_s": 0.8, "acked_lost": 0}),
        demo.DemoColumn("b", {"seen_s": None, "acked_lost": 1}),
    )
    table = demo.DemoTable(columns, {"seen_s": 2.0, "acked_lost": 0})
    assert table.kept("seen_s") is True
    assert table.kept("acked_lost") is False
    assert table.kept("harmed") is None
    lines = text(demo.figures(table, UNICODE)).splitlines()
    assert lines[1].split() == ["commit", "seen", "≤", "2", "s", "0.8", "s", "none", "✓"]
    assert lines[2].split() == ["acknowledged,", "then", "lost", "0", "0", "1", "✗"]


def test_a_promotion_has_no_way_back_in_its_column() -> None:
    tale = tales.promoted()
    column = demo.column("good change", tell(tale.written, 42), acked_lost=0)
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
    assert "1:08 of 2:15" in shown
    assert "WATCHING" not in text(demo.live("everything real", STEPS, None, COUNTERS, "hint"))


def test_the_end_says_whether_every_promise_was_kept() -> None:
    table = demo.DemoTable((), {})
    kept = text(demo.finished("t", STEPS[:1], table, COUNTERS, (True, "exit code 0"), "hint"))
    broken = text(demo.finished("t", STEPS[:1], table, COUNTERS, (False, "exit code 2"), "hint"))
    assert "✓ every promise was kept   exit code 0" in kept
    assert "✗ a promise was broken   exit code 2" in broken


def test_a_pipe_gets_a_line_for_each_step() -> None:
    words = ["demo", "done", "everything", "starts", "13.2", "s", "mongod,", "HAProxy,", "a", "git", "server"]
    assert demo.line(STEPS[0]).split() == words
