"""The demo on a terminal: a list of steps that tells the whole story, one of them open at a time.

A finished step is one line: what happened, in a sentence, and how long it took. The running step shows its rollout in
little under it. The last line counts harm the whole time, because that is what a visitor is asked to believe. At the
end the same list stays, with the figures under it; nothing is cleared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from controller.faces.alone import Alone, alone
from controller.faces.cases import DemoTable, figures
from controller.faces.layout import columns
from controller.faces.little import little
from controller.faces.page import badge
from controller.faces.terminal import UNICODE, Glyphs, Prose, plain_ascii, shown
from controller.stories.story import CANDIDATE, Story

DONE, NOW, COMING, FAILED = "done", "running", "coming", "failed"


class Ending(StrEnum):
    """How a demo ended."""

    KEPT = "every promise was kept"
    BROKEN = "a promise was broken"
    UNMET = "not everything happened as it should; no promise was broken"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """``state`` is done, running, coming or failed."""

    name: str
    state: str
    seconds: float | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Counters:
    """What customers and devices counted themselves."""

    requests: int
    harmed: int
    acked: int
    lost: int
    elapsed: float
    expected: float


# ---- while it runs ------------------------------------------------------------------------------------------------


def live(
    title: str,
    steps: Sequence[DemoStep],
    seen: Story | Alone | None,
    counters: Counters,
    hint: str,
    g: Glyphs = UNICODE,
) -> RenderableType:
    """The list with the running rollout in little, or the nodes that no controller leads, and the counters."""
    body: list[RenderableType] = []
    for step in steps:
        body.append(step_line(step, g))
        if step.state == NOW and seen is not None:
            body.append(alone(seen, g) if isinstance(seen, Alone) else little(seen, g))
    return shown(frame(title, Group(*body, "", counted(counters, g)), hint, g), g)


def step_line(step: DemoStep, g: Glyphs) -> RenderableType:
    mark, style, name = {
        DONE: (g.good, "fine", ""),
        NOW: (g.node[CANDIDATE], "candidate", "bold"),
        FAILED: (g.bad, "harm.strong", "harm.strong"),
    }.get(step.state, (g.dot, "quiet", "quiet"))
    grid = columns(len(mark), 18, None, 8, justify={3: "right"})
    said = Prose(step.sentence, "harm" if step.state == FAILED else "quiet")
    took = "" if step.seconds is None or step.state == COMING else f"{step.seconds:.1f} s"
    grid.add_row(Text(mark, style), Text(step.name, name), said, Text(took, "bold" if step.state == NOW else "quiet"))
    return grid


def line(step: DemoStep, g: Glyphs = UNICODE) -> str:
    """A step for a pipe or a CI log: one line when it begins and one when it ends."""
    took = "" if step.seconds is None else f"{step.seconds:.1f} s"
    text = f"demo {step.state:8} {step.name:22} {took:>8}  {step.sentence}".rstrip()
    return plain_ascii(text) if g.ascii else text


def counted(counters: Counters, g: Glyphs, over: bool = False) -> RenderableType:
    grid = columns(None, 20, justify={1: "right"})
    lost = "harm.strong" if counters.lost else "bold"
    said = Text.assemble(
        ("customers ", "quiet"), (f"{counters.requests:,}", "bold"), (" requests, ", "quiet"),
        (f"{counters.harmed:,}", "bold"), (" harmed", "quiet"), (f"   {g.dot}   devices ", "quiet"),
        (f"{counters.acked:,}", "bold"), (" acked, ", "quiet"), (f"{counters.lost:,}", lost),
        (" lost", "quiet"),
    )  # fmt: skip
    grid.add_row(said, Text(took(counters, over), "quiet"))
    return grid


def took(counters: Counters, over: bool) -> str:
    """How long it has taken, beside what it usually takes: no promise, and no bar that could run over."""
    usual = f"{minutes(counters.elapsed)}, usually {minutes(counters.expected)}"
    return f"took {minutes(counters.elapsed)}" if over else usual


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def frame(title: str, body: RenderableType, hint: str, g: Glyphs) -> RenderableType:
    head = Text.assemble(("turnabout demo  ", "bold"), (title, "quiet"))
    return Group(
        Rule(head, align="left", style="track", characters=g.rest),
        Padding(body, (1, 1)),
        Rule(Text(hint, "quiet"), align="left", style="track", characters=g.rest),
    )


# ---- at the end ---------------------------------------------------------------------------------------------------


def finished(
    title: str,
    steps: Sequence[DemoStep],
    table: DemoTable,
    counters: Counters,
    outcome: tuple[Ending, str],
    hint: str,
    g: Glyphs = UNICODE,
) -> RenderableType:
    """The list, the figures, the counters and the outcome: whether every promise was kept, and a sentence on it."""
    ending, sentence = outcome
    sign, style = {
        Ending.KEPT: (g.good, "fine.strong"), Ending.BROKEN: (g.bad, "harm.strong"),
    }.get(ending, (g.open, "warn.strong"))  # fmt: skip
    body = Group(
        *(step_line(step, g) for step in steps), "", figures(table, g), "", counted(counters, g, over=True), "",
        Text(f"{sign} {ending}", style), Prose(sentence, "quiet"),
    )  # fmt: skip
    return shown(frame(title, body, hint, g), g)


def ending_badge(ending: Ending) -> str:
    """How it ended, for the page of all rollouts."""
    kind, text = {
        Ending.KEPT: ("fine", "✓ KEPT"), Ending.BROKEN: ("harm", "✗ NOT KEPT"),
    }.get(ending, ("warn", "◷ NOT SHOWN"))  # fmt: skip
    return badge(kind, text)


def scene_badge(step: DemoStep) -> str:
    """How a scene ended, for the page of all rollouts."""
    return {DONE: badge("fine", "✓"), FAILED: badge("harm", "✗")}.get(step.state, "")
