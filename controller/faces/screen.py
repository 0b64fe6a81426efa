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
from controller.faces.checks import check_rows, evidence_of
from controller.faces.layout import columns
from controller.faces.terminal import (
    NODE_STYLE,
    PHASE_STYLE,
    UNICODE,
    Bar,
    Few,
    Glyphs,
    Prose,
    heading,
    shown,
)
from controller.model import Lane, Phase
from controller.stories.story import (
    CANDIDATE,
    LAST_GOOD,
    NOBODYS,
    NODE_STATES,
    OVER,
    RUNNING,
    STARTING,
    STOPPING,
    UNUSED,
    WITHIN,
    Spent,
    Story,
)

ROWS, COLUMNS = 30, 100
"""The window the whole screen needs."""
LONGEST = 5
"""Rows of a sentence at most; ``show`` and the report have all of it."""
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
    return sum(min(LONGEST, -(-len(text) // (width - 8))) for text in (story.sentence, story.after) if text)


def rule(text: Text, g: Glyphs) -> Rule:
    return Rule(text, align="left", style="track", characters=g.rest)


def hints(story: Story, g: Glyphs) -> Text:
    commands = [advice.command for advice in story.advice[:2]]
    if not story.over:
        commands = [*commands[:1], "Ctrl-C leaves, the rollout goes on"]
    elif len(f"  {g.dot}  ".join(commands)) > COLUMNS - 6:
        commands = commands[:1]
    return Text(f"  {g.dot}  ".join(commands) or f"turnabout show {story.name}", "quiet")


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


def sentence(story: Story, most: int = LONGEST) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(badge(story.phase), Few(Prose(story.sentence), most))
    if story.after:
        grid.add_row("", Few(Prose(story.after, "quiet"), most))
    return grid


def badge(phase: Phase) -> Text:
    return Text(f" {phase} ", PHASE_STYLE[phase])


# ---- the budgets --------------------------------------------------------------------------------------------------


def budgets(story: Story, g: Glyphs) -> RenderableType:
    grid = columns(6, None, 13, 17, justify={2: "right"})
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
    if spent.state == NOBODYS:
        return "quiet", "track", Text(" no controller", "warn")
    if spent.state == RUNNING:
        tight = spent.left <= spent.limit * 0.2
        return "bold", "harm" if tight else "candidate", Text(f" {spent.left:.0f} s left", "bold")
    if spent.state == WITHIN:
        return "", "lastgood", Text.assemble((f" {g.good} ", "fine"), ("within budget", "quiet"))
    return "quiet", "track", Text(" not used" if spent.state == UNUSED else "", "quiet")


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
    return Group(grid, Padding(legend(story, g), (0, 0, 0, min(first, 16) + 1)))


def legend(story: Story | None, g: Glyphs) -> Text:
    """What the marks of nodes mean; the rare ones only where they are seen."""
    states = [CANDIDATE, STARTING, LAST_GOOD, STOPPING]
    seen = story.nodes.values() if story is not None else ()
    states += [state for state in NODE_STATES if state in seen and state not in states]
    return Text("  ".join(f"{g.node[state]} {state}" for state in states), "quiet")


def harm(story: Story, g: Glyphs) -> Text:
    figures = story.figures
    said = Text.assemble(
        ("harmed ", "quiet"), (words.requests(figures.harmed), "bold"), (words.of_clients(figures.clients), "quiet")
    )
    limits = [judged.finding.sees_from for judged in story.checks if judged.finding.evidence is not None]
    if story.phase is Phase.WATCHING and limits:
        worst = None if None in limits else max(limit for limit in limits if limit is not None)
        said.append(f"  {g.dot}  sees harm from ", "quiet").append(words.smallest_harm(worst), "bold")
    return said
