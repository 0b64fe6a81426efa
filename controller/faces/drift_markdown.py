"""A drift report as Markdown, for a pull request: one screen that says whether to go on, and everything else folded."""

from __future__ import annotations

from collections.abc import Iterator

from controller.drift.finding import SAYS, Finding, Kind, Report, State
from controller.drift.saying import GROUPS, cell, covered, headline, intended, sentence, state_of, together

MOST = 8
"""So many findings stand on the first screen."""


def drift_markdown(report: Report) -> str:
    said = headline(report)
    lines = [f"### {said}: {together(report.environments)}", "", text(sentence(report)), ""]
    lines += [*matrix(report), ""]
    open = sorted(report.open, key=lambda one: bool(report.since) and not one.new)
    for one in open[:MOST]:
        state = "" if one.state is State.UNEXPLAINED else f", {one.state}"
        state += "" if one.new or not report.since else ", was there before"
        lines.append(f"- **{one.severity}{state}** {text(one.what)} `{one.id}`{ends(one)}")
    if len(open) > MOST:
        lines.append(f"- and {len(open) - MOST} more, below")
    lines += ["", *folded(report), f"<sub>{covered(report)} · took {report.took:.1f} s</sub>", ""]
    return "\n".join(lines)


def matrix(report: Report) -> Iterator[str]:
    """Kinds that were neither looked at nor missed anywhere are left out: here every line costs."""
    yield f"| | {' | '.join(report.environments)} |"
    yield f"|---|{'---|' * len(report.environments)}"
    for kind in report.kinds:
        if any((kind, name) in report.looked or report.at_cell(kind, name) for name in report.environments):
            marks_of = (marks(report, kind, name) for name in report.environments)
            yield f"| **{kind}** {SAYS[kind]} | {' | '.join(marks_of)} |"


def marks(report: Report, kind: Kind, environment: str) -> str:
    return " ".join(str(mark) for mark in cell(report, kind, environment))


def ends(one: Finding) -> str:
    return f" — {one.remedies[0].says}: {code(one.remedies[0].does)}" if one.remedies else ""


def folded(report: Report) -> Iterator[str]:
    for state, name in GROUPS.items():
        found = report.having(state)
        if not found:
            continue
        yield from ("<details>", f"<summary>{name} · {len(found)}</summary>", "")
        if state is State.EXPLAINED:
            yield from settings(report)
        else:
            for one in found:
                yield from finding(one, report)
        yield from ("", "</details>", "")


def finding(one: Finding, report: Report) -> Iterator[str]:
    _, under = state_of(one, report)
    yield f"**{text(one.what)}** `{one.id}` {one.severity}, {one.kind}, {under}"
    yield f"<br>{text(one.why)}"
    for each in one.differences[:MOST]:
        yield f"- {code(each.where)}: " + ", ".join(f"{name} {code(value)}" for name, value in each.values.items())
    if len(one.differences) > MOST:
        yield f"- and {len(one.differences) - MOST} more values"
    for remedy in one.remedies:
        yield f"- {remedy.says}: {code(remedy.does)}"
    yield ""


def settings(report: Report) -> Iterator[str]:
    yield f"| setting | {' | '.join(report.environments)} | makes | said in |"
    yield f"|---|{'---|' * len(report.environments)}--:|---|"
    for one in intended(report):
        values = " | ".join(text(one.value(name)) for name in report.environments)
        places = "<br>".join(dict.fromkeys(one.places.values()))
        yield f"| {text(one.setting)} | {values} | {one.differences} | {places} |"


def text(said: str) -> str:
    """Text in which nothing is markup: what a name holds is not for us to draw."""
    for sign in "\\`*_[]<>|":
        said = said.replace(sign, f"\\{sign}")
    return " ".join(said.split())


def code(said: str) -> str:
    """Code, whatever it holds: the fence is longer than any run of backticks in it."""
    fence = "`"
    while fence in said:
        fence += "`"
    space = " " if said[:1] == "`" or said[-1:] == "`" else ""
    return f"{fence}{space}{said}{space}{fence}".replace("\n", " ").replace("|", "\\|")
