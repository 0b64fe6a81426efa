"""The pieces that charts are drawn from: an axis, labels, rectangles, stairs. Colours are the page's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 1080, 104, 124
LETTER = 6.3
"""About as wide as a letter of the labels is."""
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds since T0 from left to right."""

    begin: float
    end: float

    def x(self, t: float) -> float:
        inside = min(max(t, self.begin), self.end)
        return LEFT + (inside - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    @property
    def step(self) -> int:
        return next((step for step in STEPS if (self.end - self.begin) / step <= 12), STEPS[-1])


def label(x: float, y: float, text: str, cls: str = "", anchor: str = "start", colour: str = "") -> str:
    fill = f' style="fill:var(--{colour})"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{cls}" text-anchor="{anchor}"{fill}>{escape(text)}</text>'


def rect(scale: Axis, span: tuple[float, float], y: float, high: float, paint: str, tip: str = "") -> str:
    x, wide = scale.x(span[0]), scale.x(span[1]) - scale.x(span[0])
    said = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, wide):.1f}" height="{high:.1f}" rx="2" {paint}>{said}</rect>'
    )


def stairs(scale: Axis, points: Sequence[tuple[float, float]]) -> str:
    first = points[0]
    return f"M{scale.x(first[0]):.1f},{first[1]:.1f}" + "".join(f"H{scale.x(t):.1f}V{y:.1f}" for t, y in points[1:])


def across(y: float, paint: str) -> str:
    """A line from the left end of the chart to the right."""
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" {paint}/>'


def apart(labels: list[tuple[float, str, str, str]], least: float) -> Iterator[tuple[float, str, str, str]]:
    """The labels from the top down, moved so that none covers another."""
    before = -math.inf
    for y, text, ink, cls in sorted(labels):
        before = max(y, before + least)
        yield before, text, ink, cls
