"""What a terminal, a small window, a pipe and an ASCII log get to see."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from controller.faces import cases, demo, lists, plain, screen, small, watch, words
from controller.faces.terminal import ASCII, STYLES, UNICODE, Few, Prose, plain_ascii, position, sparkline
from controller.rollout.rows import Row
from controller.stories.looks import looks
from controller.stories.overview import survey
from controller.stories.past import history
from controller.stories.story import Story
from controller.stories.telling import tell
from tests import tales

EVERY_SECOND = (-1.0, 0.5, 1.7, 5.0, 14.5, 19.0, 200.0)


def lines_of(view: RenderableType, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, theme=STYLES)
    console.print(view)
    return console.export_text().splitlines()


def story(name: str, t: float = 1e6) -> Story:
    tale = tales.TALES[name]()
    now = tale.t0_at + t
    rows = [row for row in tale.written if row.at <= now]
    return tell(rows, tale.number, min(now, rows[-1].at))


@pytest.mark.parametrize("name", tales.TALES)
@pytest.mark.parametrize("t", EVERY_SECOND)
def test_the_whole_screen_fits_thirty_rows_of_a_hundred_columns(name: str, t: float) -> None:
    drawn = lines_of(screen.full(story(name, t)))
    assert len(drawn) <= 30
    assert max(map(len, drawn)) <= 100


@pytest.mark.parametrize("name", tales.TALES)
@pytest.mark.parametrize("t", EVERY_SECOND)
def test_the_small_screen_fits_nine_rows_of_eighty_columns(name: str, t: float) -> None:
    drawn = lines_of(small.compact(story(name, t)), 80)
    assert len(drawn) <= 9
    assert max(map(len, drawn)) <= 80


def large() -> Story:
    """Twelve zones of four nodes, and more checks than rows."""
    told = story("reverted")
    lane = told.rollout.lanes[0]
    zones = {f"zone-{z}": tuple(f"zone-{z}-node-{n}" for n in range(4)) for z in range(12)}
    nodes = [node for names in zones.values() for node in names]
    return replace(
        told,
        rollout=replace(told.rollout, lanes=(replace(lane, zones=zones, waves=((nodes[0],), tuple(nodes[:6]))),)),
        nodes=dict.fromkeys(nodes, "last good"),
        shares={f"mqtt/{zone}": 0.25 for zone in zones},
        checks=told.checks * 8,
    )


def test_a_large_fleet_is_counted_instead_of_named() -> None:
    drawn = lines_of(screen.full(large()))
    assert len(drawn) <= 30
    assert any("more zones" in line for line in drawn)
    assert any("more checks" in line for line in drawn)
    assert any("together" in line for line in drawn)
    assert len(lines_of(small.compact(large()), 80)) <= 9
    assert any("12 zones" in line for line in lines_of(small.compact(large()), 80))


CALLS = [{"at": tales.T0_AT, "server": "bos-a", "path": "/readings/größe", "status": 500, "client": "c7", "ms": 12.4}]


def ascii_views(told: Story) -> list[RenderableType]:
    tale = tales.reverted()
    steps = [demo.DemoStep("un café", demo.NOW, 2.0, "läuft… → ✓"), demo.DemoStep("done", demo.DONE, 1.0, "≤ 2 s")]
    counters = demo.Counters(1, 2, 3, 4, 5, 6)
    table = cases.DemoTable((cases.column("case", told),), {"deploy_s": 60})
    return [
        screen.full(told, ASCII),
        small.compact(told, ASCII),
        lists.status([survey("prod", tale.written, told.at)], ASCII),
        lists.history(history(tale.written), told.at, ASCII),
        lists.show(told, ASCII),
        lists.quarantine("prod", told.quarantine, ASCII),
        lists.samples("errors", [*looks(tale.written, told, "errors")], ASCII),
        lists.kept(CALLS, {"bos-a": ["Traceback …", "KeyError: gerät"]}, ASCII),
        demo.live("title", steps, told, counters, "hint · hint", ASCII),
        demo.finished("title", steps, table, counters, (demo.Ending.UNMET, "läuft"), "hint", ASCII),
    ]


@pytest.mark.parametrize("name", ["reverted", "promoted", "held", "stuck", "waiting"])
def test_ascii_mode_is_ascii_whatever_a_subject_says(name: str) -> None:
    told = story(name)
    told = replace(
        told, rollout=replace(told.rollout, subject="Größe ≠ “Maß” 日本 🚀"), sentence=f"Né… – {told.sentence}"
    )
    for view in ascii_views(told):
        drawn = lines_of(view)
        assert "".join(drawn).isascii()
        assert max(map(len, drawn)) <= 100
    assert all(line.isascii() for line in plain.lines(told, 0, ASCII))
    assert plain.outcome(told, ASCII).isascii()


def test_a_sign_outside_ascii_keeps_its_width() -> None:
    assert plain_ascii("é–日🚀") == "e-????"


def test_evidence_is_drawn_from_one_to_the_threshold_and_not_below() -> None:
    assert [position(value, 100) for value in (0.0, 0.3, 1.0, 10.0, 100.0, 1e300, float("inf"))] == [
        0, 0, 0, 0.5, 1, 1, 1,
    ]  # fmt: skip
    assert sparkline([0.1, 1, 10, 100], 100, 30, UNICODE) == "▁▁▄▇"
    assert len(sparkline([1.0] * 100, 100, 30, UNICODE)) <= 30
    assert sparkline([1.0, 100.0, 1.0, 1.0], 100, 2, UNICODE) == "▇▁"


# ---- plain lines --------------------------------------------------------------------------------------------------


def test_a_pipe_gets_one_line_for_each_transition() -> None:
    golden = (Path(__file__).parent / "plain_reverted.txt").read_text().splitlines()
    told = story("reverted")
    assert [*plain.lines(told), plain.outcome(told)] == golden


def test_only_lines_after_a_row_are_new() -> None:
    told = story("reverted")
    half = told.moments[6].n
    assert [*plain.lines(told, half)] == [*plain.lines(told)][7:]


# ---- watching -----------------------------------------------------------------------------------------------------


def watching(
    tale: tales.Tale,
    console: Console,
    style: str | None = None,
    pause: Callable[[], None] | None = None,
    **more: object,
) -> watch.Watch:
    """A watch whose time goes on by a quarter of a second each time it would sleep."""
    clock = [tale.t0_at - 2.2]

    def rest(seconds: float) -> None:
        clock[0] += 0.25
        if pause is not None:
            pause()

    def rows_after(n: int) -> Sequence[Row]:
        return [row for row in tale.written if row.n > n and row.at <= clock[0]]

    return watch.Watch(
        rows_after, console, "prod", number=42, style=style, utc=lambda: clock[0], pause=rest, env={}, **more,  # type: ignore[arg-type]  # keywords of the test
    )  # fmt: skip


def terminal(width: int = 100, height: int = 40) -> Console:
    return Console(
        width=width, height=height, file=io.StringIO(), force_terminal=True, theme=STYLES, legacy_windows=False
    )


def written(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def pipe() -> Console:
    return Console(file=io.StringIO(), theme=STYLES, width=80)


def test_a_pipe_is_followed_line_by_line_and_ends_with_the_outcome() -> None:
    console = pipe()
    assert watching(tales.reverted(), console).run() == 2
    told = [*plain.lines(story("reverted"))]
    shown = written(console).splitlines()
    assert shown[:-1] == told[: len(shown) - 1]
    assert " outcome  REVERTED: gone 20.4 s after it began" in shown[-1]
    assert "\x1b" not in written(console)


@pytest.mark.parametrize(
    ("name", "code"), [("promoted", 0), ("reverted", 2), ("held", 3), ("superseded", 2), ("frozen", 3)]
)
def test_the_exit_code_says_how_it_ended(name: str, code: int) -> None:
    assert watching(tales.TALES[name](), pipe()).run() == code


def test_a_stuck_rollout_is_watched_until_the_time_is_up_and_needs_a_person() -> None:
    assert watching(tales.stuck(), pipe(), timeout=240.0).run() == 3


def test_a_terminal_keeps_the_last_frame_and_uses_no_alternate_screen() -> None:
    console = terminal()
    assert watching(tales.reverted(), console).run() == 2
    assert "\x1b[?1049h" not in written(console)
    assert "REVERTED" in written(console).split("turnabout watch")[-1]


def test_ctrl_c_leaves_with_130_and_says_that_the_rollout_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    for console in (pipe(), terminal()):
        assert watching(tales.reverted(), console, pause=interrupt).run() == 130
    assert "it only looked" in capsys.readouterr().err


def test_silence_is_broken_every_thirty_seconds_for_those_who_end_silent_jobs() -> None:
    console = pipe()
    watching(tales.promoted(), console).run()
    still = [line for line in written(console).splitlines() if " still " in line]
    assert len(still) == 1
    assert "WATCHING" in still[0]


def test_nothing_rolled_out_yet_is_waited_for_not_an_error() -> None:
    console = terminal()
    empty = watch.Watch(lambda n: [], console, "dev", timeout=0.0, utc=lambda: 0.0, env={})
    assert empty.run() == 1
    assert "nothing was rolled out yet" in written(console)


@pytest.mark.parametrize(
    ("console", "env", "asked", "style"),
    [
        (terminal(), {}, None, "full"),
        (terminal(90), {}, None, "small"),
        (terminal(100, 24), {}, None, "small"),
        (terminal(), {"NO_COLOR": "1"}, None, "plain"),
        (terminal(), {"CI": "true"}, None, "plain"),
        (terminal(), {"NO_COLOR": "1"}, "full", "full"),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}), {}, None, "plain"),
        (pipe(), {}, None, "plain"),
        (pipe(), {}, "full", "plain"),
        (terminal(), {}, "plain", "plain"),
    ],
)
def test_what_is_drawn_depends_on_the_window_and_the_environment(
    console: Console, env: dict[str, str], asked: str | None, style: str
) -> None:
    assert watch.chosen(console, env, asked) == style


def test_what_was_kept_of_the_candidate_is_listed_call_by_call_and_line_by_line() -> None:
    shown = "\n".join(lines_of(lists.kept(CALLS, {"bos-a": ["KeyError: 'device'"]})))
    for said in (
        "14:02:14.0",
        "◆ bos-a",
        "500",
        "12",
        "/readings/größe",
        "the last lines that the candidate logged on bos-a",
        "KeyError",
    ):
        assert said in shown
    assert "Nothing was kept" in "".join(lines_of(lists.kept([], {})))


def test_a_watch_stays_a_moment_for_the_revert_commit_but_not_for_ever() -> None:
    console = pipe()
    tale = tales.reverted()
    watching(tale, console).run()
    assert "by revert commit e41b07d" in written(console).splitlines()[-1]
    tale.written = [row for row in tale.written if row.kind != "git"]
    console = pipe()
    assert watching(tale, console).run() == 2
    assert "git does not have the revert commit yet" in written(console)


def test_the_looks_under_a_check_add_up_to_what_was_harmed() -> None:
    tale = tales.reverted()
    told = story("reverted")
    found = [*looks(tale.written, told, "errors")]
    assert sum(look.canary.bad for look in found) == told.figures.harmed
    shown = "\n".join(lines_of(lists.samples("errors", found)))
    assert "GET /readings/{device}" in shown
    assert "No look has counted" in "".join(lines_of(lists.samples("errors", [])))


def test_a_narrow_status_keeps_applications_and_commits_whole_and_cuts_the_subject() -> None:
    tale = tales.promoted()
    for row in tale.written:
        if row.kind == "rollout" and row.body["rollout"]["number"] == 42:
            row.body["rollout"]["lanes"][0]["candidate"]["subject"] = "Look up readings by device first " * 3
    shown = "\n".join(lines_of(lists.status([survey("prod", tale.written, tale.t0_at + 100)]), 80))
    assert re.search(r"  mqtt  ● 7c1e9f4  Look up .*…  for 3\d s, rollout 42", shown)


def test_a_rollout_that_is_shown_does_not_advise_to_show_it() -> None:
    told = story("held")
    assert "turnabout show prod/42" in [one.command for one in told.advice]
    assert "turnabout show prod/42" not in "\n".join(lines_of(lists.show(told)))


def test_what_is_cut_short_keeps_its_words_before_the_dots() -> None:
    assert lines_of(Few(Prose("one two three four five six"), 1), 14) == ["one two three…"]


def test_no_time_is_a_little_less_than_zero() -> None:
    assert [words.since_t0(t) for t in (-0.04, 0.0, -0.06, 1.26)] == ["+0.0 s", "+0.0 s", "-0.1 s", "+1.3 s"]
