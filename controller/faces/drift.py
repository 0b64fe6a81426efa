"""A drift report on a terminal: the sentence, the matrix, what nobody explains with what ends it, then the rest."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.drift.finding import SAYS, Difference, Finding, Report, Severity, State
from controller.drift.saying import (
    GROUPS,
    Intended,
    Mark,
    cell,
    counts,
    covered,
    headline,
    intended,
    sentence,
    state_of,
    together,
)
from controller.faces import words
from controller.faces.terminal import UNICODE, Glyphs, Prose, shown

STYLES = {
    "harm": "harm.strong", "warn": "warn.strong", "none": "bold", "fine": "fine", "wait": "warn",
    "unseen": "warn.strong", "ok": "quiet", "nothing": "quiet",
}  # fmt: skip
WEIGHT = {Severity.HIGH: "harm.strong", Severity.MEDIUM: "warn.strong", Severity.LOW: "bold"}
VALUES = 5
"""More differing values than this are counted, not listed."""


def drift(report: Report, g: Glyphs = UNICODE, *, whole: bool = False) -> RenderableType:
    """The report; ``whole`` lists every value of what is explained too."""
    head = headline(report)
    title = Text.assemble(
        (f" {head} ".upper(), f"reverse {STYLES[head.tone]}"), (f"  {together(report.environments)}", "bold"),
        (f"  {words.day(report.at)}, took {report.took:.1f} s", "quiet"),
    )  # fmt: skip
    parts: list[RenderableType] = [
        title,
        "",
        Prose(sentence(report)),
        "",
        matrix(report),
        Text(covered(report), "quiet"),
    ]
    for state, name in GROUPS.items():
        if found := report.having(state):
            parts += ["", Text(f"{name} · {len(found)}", "head")]
            if state is State.EXPLAINED:
                parts += [explained(intended(report), report.environments)]
            parts += [part for one in found if state is not State.EXPLAINED or whole for part in finding(one, report)]
    return shown(Group(*parts), g)


def matrix(report: Report) -> Table:
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for _ in report.environments:
        drawn.add_column()
    drawn.add_row("", "", *(Text(name, "bold") for name in report.environments))
    for kind in report.kinds:
        cells = (marks(cell(report, kind, name)) for name in report.environments)
        drawn.add_row(Text(kind, "bold"), Text(SAYS[kind], "quiet"), *cells)
    drawn.add_row("", "", *(Text(counts(report, name), "quiet") for name in report.environments))
    return drawn


def marks(found: tuple[Mark, ...]) -> Text:
    return Text("  ").join(Text(str(one), STYLES[one.tone]) for one in found)


def finding(one: Finding, report: Report) -> Iterator[RenderableType]:
    _, under = state_of(one, report)
    weight = (f"{one.severity:6} ", WEIGHT[one.severity]) if one.open else (" " * 7, "")
    yield Text.assemble(weight, (one.what, "bold"), (f"  {one.id} · {one.kind} · {under}", "quiet"))
    yield Padding(Prose(one.why), (0, 0, 0, 7))
    inner = [Padding(values(each), (0, 0, 0, 7)) for each in one.differences[:VALUES]]
    yield from inner
    if len(one.differences) > VALUES:
        yield Text(f"       and {len(one.differences) - VALUES} more values", "quiet")
    for remedy in one.remedies:
        yield Padding(Text.assemble((f"{remedy.says}: ", "quiet"), (remedy.does, "bold")), (0, 0, 0, 7))


def values(one: Difference) -> Text:
    sides = ((f"  {name} {value}", "") for name, value in one.values.items())
    return Text.assemble((one.where, "quiet"), *sides)


def explained(found: tuple[Intended, ...], environments: tuple[str, ...]) -> Table:
    """A line for each setting: what it is where, how much it explains, and the line that says it."""
    drawn = Table.grid(padding=(0, 2))
    for ratio in (3, *(2 for _ in environments)):
        drawn.add_column(ratio=ratio, overflow="fold")
    drawn.add_column(justify="right", no_wrap=True)
    drawn.add_column(no_wrap=True)
    drawn.add_row(*(Text(name, "quiet") for name in ("setting", *environments, "makes", "said in")))
    for one in found:
        values = (Text(one.value(name), "quiet") for name in environments)
        place = next((one.places[name] for name in reversed(environments) if name in one.places), "")
        drawn.add_row(Text(one.setting), *values, Text(str(one.differences), "quiet"), Text(place, "quiet"))
    return drawn
