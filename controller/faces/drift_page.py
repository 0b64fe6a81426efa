"""A drift report as a page: what is the matter, where to look, each finding with what ends it, what is set on purpose.

One file that fetches nothing. Without its script it reads the same: only the filters and the search are the script's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape

from controller.drift.finding import SAYS, Difference, Finding, Kind, Report, Severity, State
from controller.drift.saying import (
    GROUPS,
    SIGNS,
    Intended,
    Mark,
    barriers,
    cell,
    counts,
    covered,
    headline,
    intended,
    state_of,
    summary,
    together,
)
from controller.drift.waiving import suggestion
from controller.faces import words
from controller.faces.drift_roads import roads, sparkline
from controller.faces.page import asset, badge, bar, command, page

KINDS = {"wait": "warn", "unseen": "none"}
STATES = {
    State.UNEXPLAINED: ("harm", "✗"), State.EXPIRED: ("harm", "✗"), State.WAIVED: ("warn", "◷"),
    State.EXPLAINED: ("fine", "✓"), State.UNSEEN: ("none", "?"),
}  # fmt: skip
WEIGHTS = {Severity.HIGH: "harm", Severity.MEDIUM: "warn", Severity.LOW: "none"}
UNSEEN = '<span class="blank" title="not looked at">?</span>'
LISTED = 40
"""More values than these are counted, not listed."""
WAIVED_DAYS = timedelta(days=30)


def drift_page(report: Report, code: int) -> str:
    body = [bar("Turnabout · through the looking glass"), head(report, code), where(report), findings(report)]
    body += [on_purpose(report), *roads(report)]
    title = f"Drift: {together(report.environments)}"
    style = f":root {{ --columns: {len(report.environments)}; }}{asset('drift.css')}"
    return page(title, "\n".join(part for part in body if part), style, asset("drift.js"))


# ---- what is the matter, and where --------------------------------------------------------------------------------


def head(report: Report, code: int) -> str:
    said = headline(report)
    when = f"{words.day(report.at)} · took {report.took:.1f} s · exit code {code}"
    first = "".join(f"<b>{escape(one)}</b> " for one in barriers(report))
    return (
        f'<section class="card"><div class="top">{badge(KINDS.get(said.tone, said.tone), str(said))}'
        f'<h1>{escape(together(report.environments))}</h1><span class="right soft num">{when}</span></div>'
        f'<p class="why">{first}{escape(summary(report))}</p>'
        f'<div class="top trend soft small num">{sparkline(report.trend)}'
        f"<span>{escape(covered(report))}</span></div></section>"
    )


def where(report: Report) -> str:
    names = "".join(
        f'<th>{escape(name)}<span class="soft num">{escape(counts(report, name))}</span></th>'
        for name in report.environments
    )
    rows = "".join(
        f'<tr><td><b>{kind}</b> <span class="soft small says">{SAYS[kind]}</span></td>'
        + "".join(f"<td>{marks(report, kind, name)}</td>" for name in report.environments)
        + "</tr>"
        for kind in report.kinds
    )
    table = f'<table class="matrix"><tr><th></th>{names}</tr>{rows}</table>'
    return f'<section class="card"><h2>Where to look</h2><div class="scroll">{table}</div></section>'


def marks(report: Report, kind: Kind, environment: str) -> str:
    found = cell(report, kind, environment)
    drawn = "".join(mark(one) for one in found)
    if not report.at_cell(kind, environment):
        return drawn
    return f'<button data-cell="{kind} {escape(environment, quote=True)}" title="only these">{drawn}</button>'


def mark(one: Mark) -> str:
    if one.tone in ("ok", "nothing"):
        return f'<span class="soft">{SIGNS[one.tone]} {one.text}</span>'
    return badge(KINDS.get(one.tone, one.tone), str(one))


# ---- the findings -------------------------------------------------------------------------------------------------


def findings(report: Report) -> str:
    shown = {state: report.having(state) for state in GROUPS if state is not State.EXPLAINED}
    everything = [one for found in shown.values() for one in found]
    if not everything:
        return ""
    buttons = [f'<button data-state="" aria-pressed="true">all {len(everything)}</button>']
    buttons += [
        f'<button data-state="{state}" aria-pressed="false">{state} {len(found)}</button>'
        for state, found in shown.items()
        if found
    ]
    filters = (
        f'<div class="filters"><span class="noscript-hides">{" ".join(buttons)}</span>'
        '<input id="search" type="search" placeholder="search findings" aria-label="search findings"></div>'
    )
    names = "".join(f"<span>{escape(name)}</span>" for name in report.environments)
    titles = (
        '<div class="line headline soft small"><span>severity</span><span>finding; open it for the reason and what '
        f"ends it</span>{names}<span>state</span></div>"
    )
    first = next((one for one in report.open), None)
    groups = "".join(
        f'<div data-group><p class="group">{GROUPS[state]} · {len(found)}</p>'
        + "".join(finding(one, report, open=one is first) for one in found)
        + "</div>"
        for state, found in shown.items()
        if found
    )
    return f'<section class="card" id="findings">{filters}{titles}{groups}</section>'


def finding(one: Finding, report: Report, *, open: bool) -> str:
    tone, sign = STATES[one.state]
    state, under = state_of(one, report)
    weight = badge(WEIGHTS[one.severity], one.severity) if one.open else ""
    about = f"{one.id} · {one.kind} · {one.about}"
    columns = "".join(value(one, name, report) for name in report.environments)
    data = (
        f'data-state="{one.state}" data-kind="{one.kind}" data-environments="{escape(" ".join(one.odd), quote=True)}"'
    )
    return (
        f'<details class="finding" id="{one.id}" {data} data-print{" open" if open else ""}><summary class="line">'
        f'<span>{weight}</span><span><span class="what">{escape(one.what)}</span><br><span class="soft small">'
        f'{escape(about)}</span></span>{columns}<span class="state">{badge(tone, f"{sign} {state}")}<br>'
        f'<span class="soft small">{escape(under)}</span></span></summary>{opened(one, report)}</details>'
    )


def value(one: Finding, name: str, report: Report) -> str:
    """What an environment shows; where it shows nothing of this finding, whether anybody looked."""
    text = one.values.get(name, "")
    if not text:
        looked = (one.kind, name) in report.looked
        return '<span class="blank" title="nothing of this">–</span>' if looked else UNSEEN
    odd = " odd" if name in one.odd and text else ""
    high = " high" if odd and one.open and one.severity is Severity.HIGH else ""
    return f'<span class="val mono{odd}{high}" data-env="{escape(name, quote=True)}">{escape(text)}</span>'


def opened(one: Finding, report: Report) -> str:
    ends = "".join(
        f'<div><p class="soft">{escape(remedy.says)}</p>{command(remedy.does)}</div>' for remedy in one.remedies
    )
    return (
        f'<div class="open"><p>{escape(one.why)}</p>{"".join(values(one.differences))}'
        f'<div class="cmds">{ends}</div>{waiver(one, report)}</div>'
    )


def values(differences: tuple[Difference, ...]) -> Iterator[str]:
    if len(differences) < 2 and not any(one.place for one in differences):
        return
    names = list(dict.fromkeys(name for one in differences for name in one.values))
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
    rows = "".join(
        f'<tr><td>{escape(one.where)}<br><span class="soft mono">{escape(one.place)}</span></td>'
        + "".join(f'<td class="mono">{escape(one.values.get(name, ""))}</td>' for name in names)
        + "</tr>"
        for one in differences[:LISTED]
    )
    more = f'<p class="soft small">and {len(differences) - LISTED} more</p>' if len(differences) > LISTED else ""
    yield f'<div class="scroll"><table><tr>{heads}</tr>{rows}</table></div>{more}'


def waiver(one: Finding, report: Report) -> str:
    """What to paste into waivers.toml, for whoever may accept it; nothing where no waiver would help."""
    if one.removed or not one.open or one.kind is Kind.WAIVER:
        return ""
    until = datetime.fromtimestamp(report.at, UTC).date() + WAIVED_DAYS
    text = escape(suggestion(one, until, "who answers for it"))
    return f'<details class="waive"><summary>accept it for a while, reviewed</summary><pre>{text}</pre></details>'


# ---- what is set on purpose ---------------------------------------------------------------------------------------


def on_purpose(report: Report) -> str:
    found = intended(report)
    if not found:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("setting", *report.environments, "makes", "said in"))
    rows = "".join(setting(one, report.environments) for one in found)
    says = "Each was tried: put into the environment before, it makes these differences."
    return (
        f'<section class="card"><h2>Set on purpose · {len(found)}</h2><p class="soft small">{says}</p>'
        f'<div class="scroll"><table class="settings num"><tr>{heads}</tr>{rows}</table></div></section>'
    )


def setting(one: Intended, environments: tuple[str, ...]) -> str:
    cells = "".join(f'<td class="mono">{escape(one.value(name))}</td>' for name in environments)
    places = "<br>".join(
        f'<span title="{escape(place)}">{escape(place.rpartition("/")[2])}</span>'
        for place in dict.fromkeys(one.places.values())
    )
    inner = "".join(values(tuple(each for found in one.findings for each in found.differences)))
    name = f"<details><summary>{escape(one.setting)}</summary>{inner}</details>" if inner else escape(one.setting)
    return f'<tr><td>{name}</td>{cells}<td>{one.differences}</td><td class="soft mono nowrap">{places}</td></tr>'
