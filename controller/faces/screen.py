"""One rollout on a terminal: the whole screen, and the small one.

Read from the top: the sentence that says why, the three budgets, who runs what and how much traffic it gets, the
evidence, the harm. No side borders, so that what is copied from it is clean. A screen only shows: acting is a command
of its own, written in the last line.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from controller.faces import words
from controller.faces.terminal import (
    NODE_STYLE,
    PHASE_STYLE,
    UNICODE,
    Bar,
    Few,
    Glyphs,
    Prose,
    heading,
    position,
    shown,
    sparkline,
)
from controller.model import Lane, Outcome, Phase
from controller.story import (
    CANDIDATE,
    LAST_GOOD,
    NODE_STATES,
    OVER,
    RUNNING,
    STARTING,
    STOPPING,
    SUSPICIOUS,
    UNUSED,
    WITHIN,
    Judged,
    Spent,
    Story,
)

ROWS, COLUMNS = 30, 100
"""The window the whole screen needs; the small one takes nine rows at 80 columns."""
SMALL_ROWS = 9
FIXED = 11
"""Rows that are always there: two rules, four of budgets, two of heads and legends each for fleet and checks, harm."""
FIRST_EMPTY = (2, 4, 3, 1, 5, 0, 6)
"""Before which sections an empty row stands, as long as there is room."""


def full(story: Story, g: Glyphs = UNICODE) -> RenderableType:
    """The whole screen. What does not fit into its thirty rows is counted instead of named."""
    zones, checks = [*zone_rows(story, g)], [*check_rows(story, g)]
    room = ROWS - FIXED - title_rows(story) - lines_of(story)
    shown_zones = min(len(zones), max(2, room - len(checks)))
    shown_checks = min(len(checks), max(2, room - shown_zones))
    sections = (
        title(story, g), sentence(story), budgets(story, g), fleet(story, zones, shown_zones, g),
        evidence_of(story, checks, shown_checks, g), harm(story, g),
    )  # fmt: skip
    empty = FIRST_EMPTY[: max(0, room - shown_zones - shown_checks)]
    body: list[RenderableType] = []
    for i, section in enumerate((*sections, None)):
        body += [""] if i in empty else []
        body += [section] if section is not None else []
    top = Text.assemble(
        ("turnabout watch ", "quiet"), (story.environment, "bold"), (f"  {words.time_of_day(story.at)}", "quiet")
    )  # fmt: skip
    return shown(Group(rule(top, g), Padding(Group(*body), (0, 1)), rule(hints(story, g), g)), g)


def lines_of(story: Story) -> int:
    """How many lines the sentences take at most, beside the phase."""
    width = COLUMNS - 8 - len(story.phase)
    return sum(-(-len(text) // (width - 8)) for text in (story.sentence, story.after) if text)


def rule(text: Text, g: Glyphs) -> Rule:
    return Rule(text, align="left", style="track", characters=g.rest)


def hints(story: Story, g: Glyphs) -> Text:
    commands = [advice.command for advice in story.advice[:2]]
    if not story.over:
        commands = [*commands[:1], "Ctrl-C leaves, the rollout goes on"]
    elif len(f"  {g.dot}  ".join(commands)) > COLUMNS - 6:
        commands = commands[:1]
    return Text(f"  {g.dot}  ".join(commands) or f"turnabout show {story.environment} {story.number}", "quiet")


def columns(*widths: int | None, justify: dict[int, str] | None = None) -> Table:
    """A grid: a width for each column, None for the one that takes the rest."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for i, width in enumerate(widths):
        right = (justify or {}).get(i) == "right"
        grid.add_column(
            width=width, ratio=None if width else 1, no_wrap=True, overflow="ellipsis",
            justify="right" if right else "left",
        )  # fmt: skip
    return grid


# ---- who and why --------------------------------------------------------------------------------------------------


def title(story: Story, g: Glyphs) -> RenderableType:
    width = max(6, *(len(lane.app) for lane in story.rollout.lanes))
    day, number = Text(words.day(story.at), "quiet"), Text(f"rollout {story.number}", "quiet")
    if len(story.rollout.lanes) == 1:
        lane = story.rollout.lanes[0]
        base, good = last_good(lane, g)
        grid = columns(width, 9, None, 28, justify={3: "right"})
        grid.add_row(Text(lane.app, "bold"), candidate(lane, g), Text(story.rollout.subject, "bold"), day)
        grid.add_row("", base, good, number)
        return grid
    grid = columns(width, 9, 9, None, 28, justify={4: "right"})
    for i, lane in enumerate(story.rollout.lanes):
        base, good = last_good(lane, g)
        subject = Text(story.rollout.subject, "bold") if i == 0 else good
        grid.add_row(Text(lane.app, "bold"), candidate(lane, g), base, subject, (day, number, "")[min(i, 2)])
    return grid


def title_rows(story: Story) -> int:
    return max(2, len(story.rollout.lanes))


def candidate(lane: Lane, g: Glyphs) -> Text:
    return Text(f"{g.node[CANDIDATE]} {lane.candidate.commit[:7]}", "candidate")


def last_good(lane: Lane, g: Glyphs) -> tuple[Text, Text]:
    if lane.base is None:
        return Text("none", "quiet"), Text("no last good yet", "quiet")
    return Text(f"{g.node[LAST_GOOD]} {lane.base.commit[:7]}", "lastgood"), Text("last good", "quiet")


def sentence(story: Story) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(badge(story.phase), Prose(story.sentence))
    if story.after:
        grid.add_row("", Prose(story.after, "quiet"))
    return grid


def badge(phase: Phase) -> Text:
    return Text(f" {phase} ", PHASE_STYLE[phase])


# ---- the budgets --------------------------------------------------------------------------------------------------


def budgets(story: Story, g: Glyphs) -> RenderableType:
    grid = columns(6, None, 13, 16, justify={2: "right"})
    for spent in story.spent:
        name, bar, note = looks_of(spent, g)
        used = f"{spent.used:.1f} of {spent.limit:.0f} s"
        grid.add_row(Text(spent.name, name), Bar(spent.used / spent.limit, bar, g), Text(used, name), note)
    promise = Text(words.promised(story), "quiet")
    promise.highlight_regex(r"(?<=gone )[\d.]+ s|(?<=promoted )[\d.]+ s|[\d:]{8}", "default bold")
    return Group(grid, Padding(promise, (0, 0, 0, 7)))


def looks_of(spent: Spent, g: Glyphs) -> tuple[str, str, Text]:
    """Style of the name, style of the bar, and what is said of it."""
    if spent.state == OVER:
        return "harm.strong", "harm", Text(f" {g.bad} over budget", "harm.strong")
    if spent.state == RUNNING:
        tight = spent.left <= spent.limit * 0.2
        return "bold", "harm" if tight else "candidate", Text(f" {spent.left:.0f} s left", "bold")
    if spent.state == WITHIN:
        return "", "lastgood", Text.assemble((f" {g.good} ", "fine"), ("within budget", "quiet"))
    return "quiet", "track", Text(" not needed" if spent.state == UNUSED else "", "quiet")


# ---- the fleet ----------------------------------------------------------------------------------------------------


def zone_rows(story: Story, g: Glyphs) -> Iterator[tuple[RenderableType, ...]]:
    for lane in story.rollout.lanes:
        for zone, names in lane.zones.items():
            share = story.shares[f"{lane.app}/{zone}"]
            yield (
                Text(words.zone_name(story, lane.app, zone), "bold"),
                node_names(story, names, g),
                Bar(share, "candidate", g),
                Text(words.share(share), "bold" if share else "quiet"),
            )


def node_names(story: Story, names: tuple[str, ...], g: Glyphs) -> Text:
    if sum(len(name) + 4 for name in names) > 42:
        return node_counts(story, names, g)
    nodes = Text()
    for name in names:
        state = story.nodes[name]
        nodes.append(f"{g.node[state]} {name}", NODE_STYLE[state]).append("  ")
    return nodes


def node_counts(story: Story, names: tuple[str, ...], g: Glyphs) -> Text:
    states = [story.nodes[name] for name in names]
    nodes = Text()
    for state in (state for state in NODE_STATES if state in states):
        nodes.append(f"{g.node[state]} {states.count(state)}  ", NODE_STYLE[state])
    return nodes


def fleet(story: Story, zones: list[tuple[RenderableType, ...]], most: int, g: Glyphs) -> RenderableType:
    first = max([6, *(len(words.zone_name(story, a.app, z)) for a in story.rollout.lanes for z in a.zones)])
    grid = columns(min(first, 16), 42, None, 6, justify={3: "right"})
    grid.add_row(*heading("ZONE", "NODES", "TRAFFIC ON THE CANDIDATE", ""))
    for row in zones if len(zones) <= most else zones[: most - 1]:
        grid.add_row(*row)
    if len(zones) > most:
        grid.add_row("", Text(f"and {len(zones) - most + 1} more zones", "quiet"), "", "")
    states = [CANDIDATE, STARTING, LAST_GOOD, STOPPING]
    states += [state for state in NODE_STATES if state in story.nodes.values() and state not in states]
    legend = Text("  ".join(f"{g.node[state]} {state}" for state in states), "quiet")
    return Group(grid, Padding(legend, (0, 0, 0, min(first, 16) + 1)))


# ---- the evidence -------------------------------------------------------------------------------------------------


def check_rows(story: Story, g: Glyphs) -> Iterator[tuple[RenderableType, ...]]:
    for judged in story.checks:
        arms = words.both_arms(judged)
        yield measured(story, judged, arms, g) if arms is not None else exact(story, judged, g)


def measured(
    story: Story, judged: Judged, arms: tuple[tuple[str, str], tuple[str, str]], g: Glyphs
) -> tuple[RenderableType, ...]:
    """A row whose evidence grows with the counts."""
    (share, counts), (share_then, counts_then) = arms
    strong = "harm.strong" if judged.suspicious else ""
    style = "harm" if judged.suspicious else "fine"
    key = f"{judged.finding.app}/{judged.finding.check}"
    past = [tick.evidence.get(key, 1.0) for tick in story.ticks if tick.together is not None]
    return (
        Text(words.check_name(story, judged), "bold" if judged.suspicious else ""),
        Text.assemble((f"{share:>6}", strong), (f"  {counts}", "quiet")),
        Text.assemble((f"{share_then:>6}", ""), (f"  {counts_then}", "quiet")),
        Text(sparkline(past, story.threshold, 30, g), style),
        Text(words.evidence(judged.finding.evidence or 0.0), strong or "quiet"),
    )


def exact(story: Story, judged: Judged, g: Glyphs) -> tuple[RenderableType, ...]:
    """A row that holds or does not: no statistics."""
    outcome = judged.finding.outcome
    mark, style = {Outcome.PASS: (g.good, "fine"), Outcome.FAIL: (g.bad, "harm.strong")}.get(outcome, (g.open, "warn"))
    word = {Outcome.PASS: "holds", Outcome.FAIL: "broken"}.get(outcome, words.OUTCOME_WORDS[outcome])
    return (
        Text(words.check_name(story, judged), "harm.strong" if outcome is Outcome.FAIL else ""),
        Text.assemble((f"{mark} {word}", style)),
        Text("exact", "quiet"),
        Text(judged.finding.sentence, "harm" if outcome is Outcome.FAIL else "quiet"),
        "",
    )


def together(story: Story, g: Glyphs) -> tuple[RenderableType, ...]:
    """The row that decides: the mean of the checks against the threshold."""
    value = story.together or 0.0
    proven = value >= story.threshold
    style = "harm" if value >= SUSPICIOUS else "fine"
    said = words.evidence(value)
    return (
        Text("together", "bold"),
        Text("mean of the checks", "quiet"),
        Text(f"goes back at {story.threshold:,.0f}", "quiet"),
        Bar(position(value, story.threshold), style, g, limit="harm.strong" if proven else "bold"),
        Text(f"{g.bad} {said}" if proven else said, f"{style}.strong"),
    )


def evidence_of(story: Story, checks: list[tuple[RenderableType, ...]], most: int, g: Glyphs) -> RenderableType:
    if not checks:
        return Text("Nothing is judged yet: evidence begins with the candidate's first request.", "quiet")
    width = max(8, *(len(words.check_name(story, judged)) for judged in story.checks))
    grid = columns(min(width, 18), 22, 20, None, 8, justify={4: "right"})
    grid.add_row(*heading("CHECK", "CANDIDATE", "LAST GOOD", "EVIDENCE OF HARM", ""))
    for row in checks if len(checks) <= most else checks[: most - 1]:
        grid.add_row(*row)
    if len(checks) > most:
        grid.add_row("", Text(f"and {len(checks) - most + 1} more checks", "quiet"), "", "", "")
    if any(judged.statistical for judged in story.checks):
        grid.add_row(*together(story, g))
    return grid


def harm(story: Story, g: Glyphs) -> Text:
    figures = story.figures
    said = Text.assemble(
        ("harmed ", "quiet"), (f"{figures.harmed:,} requests", "bold"), (f" of {figures.clients:,} clients", "quiet")
    )
    limits = [judged.finding.sees_from for judged in story.checks if judged.finding.evidence is not None]
    if story.phase is Phase.WATCHING and limits:
        worst = None if None in limits else max(limit for limit in limits if limit is not None)
        said.append(f"  {g.dot}  sees harm from ", "quiet").append(words.smallest_harm(worst), "bold")
    return said


# ---- the small screen ---------------------------------------------------------------------------------------------


def compact(story: Story, g: Glyphs = UNICODE) -> RenderableType:
    """Nine rows for small windows and large fleets: counts instead of names, one meter instead of a table."""
    running = next((spent for spent in story.spent if spent.state in (RUNNING, OVER)), None)
    spent = running or next((spent for spent in reversed(story.spent) if spent.used), story.spent[0])
    meters = columns(8, None, 17, justify={2: "right"})
    name, bar, _ = looks_of(spent, g)
    meters.add_row(
        Text(spent.name, name), Bar(spent.used / spent.limit, bar, g), f"{spent.used:.1f} of {spent.limit:.0f} s"
    )
    value = story.together or 0.0
    style = "harm" if value >= SUSPICIOUS else "fine"
    said = f"{words.evidence(value)} of {story.threshold:,.0f}"
    meters.add_row(
        Text("evidence"), Bar(position(value, story.threshold), style, g, limit="bold"), Text(said, f"{style}.strong")
    )
    for label, names, share in small_zones(story):
        meters.add_row(Text(label, "bold"), Bar(share, "candidate", g), node_counts(story, names, g))
    head = Text.assemble(
        (f"{story.environment} {story.app} ", "bold"), (f"{g.node[CANDIDATE]} {story.candidate} ", "candidate"),
        (story.rollout.subject, ""), no_wrap=True, overflow="ellipsis",
    )  # fmt: skip
    why = Table.grid(expand=True, padding=(0, 2))
    why.add_column(no_wrap=True)
    why.add_column(ratio=1)
    why.add_row(badge(story.phase), Prose(story.sentence))
    return shown(Group(head, Few(why, SMALL_ROWS - 4 - len([*small_zones(story)])), meters, harm(story, g)), g)


def small_zones(story: Story) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """At most two rows of the fleet: its zones, or all of it together."""
    zones = [(app.app, zone, names) for app in story.rollout.lanes for zone, names in app.zones.items()]
    if len(zones) <= 2:
        for app, zone, names in zones:
            yield zone, names, story.shares[f"{app}/{zone}"]
        return
    yield f"{len(zones)} zones", story.rollout.nodes, story.share
