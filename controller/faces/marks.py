"""The moments of a rollout as vertical lines through its chart, with labels that do not cover each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.faces.svg import LETTER, WIDTH, Axis, label
from controller.stories.story import Story


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line through every row."""

    x: float
    text: str
    colour: str = ""


def marks_of(story: Story, scale: Axis) -> Iterator[Mark]:
    yield Mark(scale.x(0.0), "T0")
    for moment in story.moments:
        if re.fullmatch(r"wave\d+", moment.kind) and moment.t:
            yield Mark(scale.x(moment.t), f"wave {moment.kind[4:]} serves")
    marks = story.marks
    turn = marks.get("turn")
    if "verdict" in marks:
        good = "promoted" in marks
        said = story.verdict.outcome if story.verdict is not None and story.rollout.cause in (None, "harm") else "turn"
        yield Mark(
            scale.x(marks["verdict"]), f"verdict: {said}" if said != "turn" else "turned", "fine" if good else "harm"
        )
    elif turn is not None:
        yield Mark(scale.x(turn), "turned", "harm")
    for gap in story.unled:
        yield Mark(scale.x(gap.begin), "no controller")
        yield Mark(scale.x(gap.end), "a controller again")
    for name, text in (("traffic_off", "traffic off"), ("nodes_back", "nodes back")):
        if name in marks and turn is not None and not story.went_back_alone:
            yield Mark(scale.x(marks[name]), f"{text}, {marks[name] - turn:.1f} s later")
    if "promoted" in marks and "closed" in marks and turn is None:
        yield Mark(scale.x(marks["closed"]), "settled")


def moments_row(story: Story, scale: Axis) -> tuple[list[tuple[Mark, float, bool]], float]:
    """Marks with the height of their labels, placed so that none covers another; and where the rows begin."""
    placed: list[tuple[Mark, float, bool]] = []
    taken: list[list[tuple[float, float]]] = []
    for mark in sorted(marks_of(story, scale), key=lambda mark: mark.colour == ""):
        wide = len(mark.text) * LETTER + 14
        left = mark.x + wide > WIDTH or bool(mark.colour)
        begin, end = (mark.x - wide, mark.x) if left else (mark.x, mark.x + wide)
        tier = next((i for i, row in enumerate(taken) if all(end <= a or begin >= b for a, b in row)), len(taken))
        if tier == len(taken):
            taken.append([])
        taken[tier].append((begin, end))
        placed.append((mark, float(tier), left))
    top = 14.0 * len(taken) + 12
    return [(mark, top - 10 - 14 * tier, left) for mark, tier, left in placed], top


def lines(marks: Sequence[tuple[Mark, float, bool]], top: float, bottom: float) -> str:
    """Every line, and over all of them the labels: a line that would strike a label is broken behind it."""
    out, labels = [], []
    for mark, y, left in marks:
        dash = (
            f'stroke="var(--{mark.colour})" stroke-width="1.6"'
            if mark.colour
            else 'class="axis" stroke-dasharray="2 3"'
        )
        out.append(f'<line x1="{mark.x:.1f}" x2="{mark.x:.1f}" y1="{y - 8:.1f}" y2="{bottom:.1f}" {dash}/>')
        x, anchor = (mark.x - 5, "end") if left else (mark.x + 5, "start")
        labels.append(label(x, y + 1, mark.text, "mark strong" if mark.colour else "mark", anchor, mark.colour))
    return "".join([*out, *labels])
