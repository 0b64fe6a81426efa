"""What every terminal view shares: colours, shapes, bars, and the console itself.

Colours are the terminal's own sixteen, so that they stay readable on any background; every colour has a shape, a weight
or a word beside it. In ASCII mode every sign outside ASCII is replaced, whoever wrote it.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from rich.theme import Theme

from controller.model import Phase
from controller.stories.story import CANDIDATE, EMPTY, LAST_GOOD, SILENT, STARTING, STOPPING, UNSEEN

WIDTH = 100

STYLES = Theme(
    {
        "candidate": "bold magenta",
        "lastgood": "bright_blue",
        "harm": "red",
        "harm.strong": "bold red",
        "fine": "green",
        "fine.strong": "bold green",
        "warn": "yellow",
        "warn.strong": "bold yellow",
        "quiet": "bright_black",
        "head": "bright_black",
        "track": "bright_black",
    }
)

PHASE_STYLE = {
    Phase.PENDING: "reverse",
    Phase.DEPLOYING: "reverse bright_blue",
    Phase.WATCHING: "reverse magenta",
    Phase.REVERTING: "reverse red",
    Phase.RETURNING: "reverse red",
    Phase.PROMOTED: "reverse bold green",
    Phase.REVERTED: "reverse bold red",
    Phase.HELD: "reverse bold yellow",
    Phase.STUCK: "reverse bold red",
    Phase.SUPERSEDED: "reverse",
}

NODE_STYLE = {
    CANDIDATE: "candidate",
    STARTING: "candidate",
    LAST_GOOD: "lastgood",
    STOPPING: "lastgood",
    SILENT: "warn.strong",
    UNSEEN: "quiet",
    EMPTY: "quiet",
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The shapes; the second set is for terminals and logs that know only ASCII."""

    node: Mapping[str, str]
    full: str
    half: str
    rest: str
    limit: str
    spark: str
    good: str
    bad: str
    open: str
    dot: str
    most: str
    ascii: bool = False


UNICODE = Glyphs(
    {CANDIDATE: "◆", LAST_GOOD: "●", STARTING: "◇", STOPPING: "○", SILENT: "?", UNSEEN: "·", EMPTY: "▫"},
    "━", "╸", "─", "┃", "▁▂▃▄▅▆▇", "✓", "✗", "◷", "·", "≤ ",
)  # fmt: skip
ASCII = Glyphs(
    {CANDIDATE: "#", LAST_GOOD: "o", STARTING: "+", STOPPING: "-", SILENT: "?", UNSEEN: ".", EMPTY: "_"},
    "=", "=", "-", "|", "_.:-=+*", "ok", "X", "?", "-", "<=", ascii=True,
)  # fmt: skip

WRITTEN = {"–": "-", "—": "-", "−": "-", "…": ".", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "→": ">", "≤": "<"}


def plain_ascii(text: str) -> str:
    """The text in ASCII, as wide as it was."""
    return "".join(character if character.isascii() else nearest(character) for character in text)


def nearest(character: str) -> str:
    if character in WRITTEN:
        return WRITTEN[character]
    base = unicodedata.normalize("NFKD", character)[:1]
    return base if base.isascii() and cell_len(character) == 1 else "?" * cell_len(character)


@dataclass(frozen=True, slots=True)
class OnlyAscii:
    """A renderable with every other sign replaced, in subjects and sentences too."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(plain_ascii(segment.text), segment.style)


def shown(view: RenderableType, g: Glyphs) -> RenderableType:
    return OnlyAscii(view) if g.ascii else view


@dataclass(frozen=True, slots=True)
class Bar:
    """A line as wide as its column, ``share`` of it heavy; ``limit`` marks its right end as a threshold."""

    share: float
    style: str
    g: Glyphs
    limit: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - (1 if self.limit else 0))
        halves = round(max(0.0, min(1.0, self.share)) * width * 2)
        heavy = self.g.full * (halves // 2) + (self.g.half if halves % 2 else "")
        yield Text.assemble(
            (heavy, self.style),
            (self.g.rest * (width - len(heavy)), "track"),
            (self.g.limit if self.limit else "", self.limit or ""),
        )


@dataclass(frozen=True, slots=True)
class Prose:
    """Sentences wrapped to the width there is, with a number and its unit on one line."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glued = re.sub(r"(?<=\d) (?=(%|s)\b|%)", "\u00a0", self.text)
        lines = textwrap.wrap(glued, max(1, options.max_width), break_on_hyphens=False)
        yield Text("\n".join(lines).replace("\u00a0", " "), self.style, no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


@dataclass(frozen=True, slots=True)
class Few:
    """At most ``rows`` lines of a renderable; the last one ends in dots when there were more."""

    inner: RenderableType
    rows: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.inner, options, pad=False)
        for i, line in enumerate(lines[: self.rows]):
            cut = i == self.rows - 1 and len(lines) > self.rows
            room = min(Segment.get_line_length(line), options.max_width - 1)
            yield from Segment.adjust_line_length(line, room, pad=False) if cut else line
            yield Segment("…\n" if cut else "\n")


def position(evidence: float, threshold: float) -> float:
    """Where an e-value lies between 1, which says nothing, and the threshold, on a logarithmic scale."""
    if evidence <= 1.0:
        return 0.0
    return min(1.0, math.log(evidence) / math.log(threshold)) if math.isfinite(evidence) else 1.0


def sparkline(values: Sequence[float], threshold: float, width: int, g: Glyphs) -> str:
    """The newest values, a sign each; more than fit are thinned by keeping the highest of each group."""
    steps, size = len(g.spark) - 1, max(1, math.ceil(len(values) / width))
    groups: Iterable[float] = (max(values[i : i + size]) for i in range(0, len(values), size))
    return "".join(g.spark[round(position(value, threshold) * steps)] for value in groups)


def heading(*cells: str) -> list[Text]:
    return [Text(cell, "head") for cell in cells]


def console(file: TextIO | None = None, colour: str = "auto") -> Console:
    """The console all faces print on. ``colour`` is auto, always or never; NO_COLOR and the rest rich reads itself."""
    return Console(
        theme=STYLES,
        file=file,
        highlight=False,
        emoji=False,
        no_color=True if colour == "never" else None,
        force_terminal=True if colour == "always" else None,
        markup=False,
    )


# ---- pictures for the documentation -------------------------------------------------------------------------------


def palette(*colours: str) -> list[tuple[int, int, int]]:
    return [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in colours]


DARK = TerminalTheme(
    palette("16181d")[0],
    palette("d6dae2")[0],
    palette("16181d", "ff6b6b", "5ec98c", "e3b341", "569cf5", "ce8cf5", "56c8d8", "d6dae2"),
    palette("767e8c", "ff8585", "78dca0", "f0c864", "6eacff", "dca5ff", "78d7e6", "ffffff"),
)
LIGHT = TerminalTheme(
    palette("ffffff")[0],
    palette("24292f")[0],
    palette("24292f", "c62828", "168048", "966700", "0956cd", "8c32be", "0a7887", "5a626e"),
    palette("6e7781", "d73a49", "28965a", "aa780a", "1964e1", "9b41cd", "148796", "24292f"),
)


def picture(view: RenderableType, title: str, light: bool = False, width: int = WIDTH) -> str:
    """The view as an SVG picture of a terminal."""
    recording = Console(
        width=width, record=True, theme=STYLES, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )  # fmt: skip
    recording.print(view)
    return recording.export_svg(title=title, theme=LIGHT if light else DARK)
