"""The figures of the demo as a table, on a terminal and on a page: every case beside the most that a figure may be.

What was promised breaks a promise when it is more; what is only aimed at does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from controller.faces import words
from controller.faces.terminal import Glyphs
from controller.stories.story import Story

ROWS = {
    "seen_s": "commit seen",
    "deploy_s": "deploy",
    "verdict_s": "verdict",
    "traffic_off_s": "verdict to traffic off",
    "nodes_back_s": "verdict to nodes back",
    "late_s": "nodes' deadline to nodes back",
    "exposure_s": "T0 to gone",
    "met_s": "clients met it for",
    "harmed": "harmed requests",
    "acked_lost": "acknowledged, then lost",
}
"""The figures that have a name for people, in their order; others stand below under their own."""


@dataclass(frozen=True, slots=True)
class DemoColumn:
    """The figures of one case. A name that is missing does not apply; None means that it did not come to that."""

    title: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class DemoTable:
    """All cases beside the most that a figure may be: what was promised, and what is only aimed at."""

    columns: tuple[DemoColumn, ...]
    promised: Mapping[str, float]
    aimed: Mapping[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[str, ...]:
        named = dict.fromkeys(name for column in self.columns for name in column.figures)
        return (*(name for name in ROWS if name in named), *(name for name in named if name not in ROWS))

    @property
    def whole(self) -> bool:
        """Whether every figure that was promised was kept."""
        return not any(name in self.promised for name in self.over)

    @property
    def over(self) -> tuple[str, ...]:
        """The figures that are more than was promised of them, or aimed at."""
        return tuple(name for name in self.rows if self.kept(name) is False)

    def most(self, name: str) -> float | None:
        """The most that a figure may be."""
        return self.promised.get(name, self.aimed.get(name))

    def kept(self, name: str) -> bool | None:
        """Whether no case came to more than a figure may be; None where it may be anything."""
        most = self.most(name)
        values = (column.figures.get(name) for column in self.columns)
        return None if most is None else all(value is None or value <= most for value in values)


def column(title: str, story: Story, **more: float | None) -> DemoColumn:
    """A case that is one rollout: the figures it came to, and ``more`` of the demo's own."""
    of = story.figures
    figures: dict[str, float | None] = {
        "seen_s": of.seen_s, "deploy_s": of.deploy_s, "verdict_s": of.verdict_s, "harmed": of.harmed,
    }  # fmt: skip
    if "turn" in story.marks:
        back = {"traffic_off_s": of.traffic_off_s, "nodes_back_s": of.nodes_back_s, "exposure_s": of.exposure_s}
        figures |= back
    return DemoColumn(title, {**figures, **more})


def figures(table: DemoTable, g: Glyphs) -> RenderableType:
    drawn = Table(box=None, padding=(0, 2), header_style="head", pad_edge=False)
    drawn.add_column("")
    for name in ("PROMISED", *(one.title.upper() for one in table.columns), ""):
        drawn.add_column(name, justify="right")
    for name in table.rows:
        kept = table.kept(name)
        missed = Text(g.bad, "harm.strong") if name in table.promised else Text(g.open, "warn.strong")
        mark = {True: Text(g.good, "fine"), False: missed, None: Text("")}[kept]
        promised = Text(most(table, name, g.most), "quiet")
        cells = [cell(name, one.figures) for one in table.columns]
        drawn.add_row(ROWS.get(name, name), promised, *cells, mark)
    return drawn


def cell(name: str, of: Mapping[str, float | None]) -> Text:
    if name not in of:
        return Text("")
    value = of[name]
    text = "none" if value is None else said(name, value)
    return Text(text, "bold" if value else "quiet")


def said(name: str, value: float) -> str:
    return words.seconds(value) if name.endswith("_s") else f"{value:,.0f}"


def most(table: DemoTable, name: str, sign: str) -> str:
    """The most a figure may be; what is only aimed at says so."""
    promised = table.most(name)
    if promised is None:
        return ""
    text = f"{promised:g} s" if name.endswith("_s") else f"{promised:,.0f}"
    return f"{'' if name in table.promised else 'aim '}{sign if promised else ''}{text}"


def figures_html(table: DemoTable) -> str:
    """The same table for the page of all rollouts."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", "promised", *(one.title for one in table.columns), ""))
    named = ("", "promised", *(one.title for one in table.columns))
    rows = []
    for name in table.rows:
        cells = [ROWS.get(name, name), most(table, name, "≤ ")]
        cells += [cell(name, one.figures).plain for one in table.columns]
        missed = '<b class="harm">✗</b>' if name in table.promised else '<b class="warn">◷</b>'
        mark = {True: '<b class="fine">✓</b>', False: missed, None: ""}[table.kept(name)]
        told = (f'<td data-of="{escape(of)}">{escape(text)}</td>' for of, text in zip(named, cells, strict=True))
        rows.append(f"<tr>{''.join(told)}<td>{mark}</td></tr>")
    return f'<table class="num figures-of">{"<tr>" + head + "</tr>"}{"".join(rows)}</table>'
