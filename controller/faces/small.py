"""One rollout in nine rows of 80 columns, for small windows and large fleets: counts instead of names."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.faces import words
from controller.faces.layout import columns
from controller.faces.screen import badge, harm, looks_of, node_counts
from controller.faces.terminal import UNICODE, Bar, Few, Glyphs, Prose, position, shown
from controller.stories.story import CANDIDATE, SUSPICIOUS, Story

ROWS = 9


def compact(story: Story, g: Glyphs = UNICODE) -> RenderableType:
    """Nine rows for small windows and large fleets: counts instead of names, one meter instead of a table."""
    spent = story.budget_now
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
    return shown(Group(head, Few(why, ROWS - 4 - len([*small_zones(story)])), meters, harm(story, g)), g)


def small_zones(story: Story) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """At most two rows of the fleet: its zones, or all of it together."""
    zones = [(app.app, zone, names) for app in story.rollout.lanes for zone, names in app.zones.items()]
    if len(zones) <= 2:
        for app, zone, names in zones:
            yield zone, names, story.shares[f"{app}/{zone}"]
        return
    yield f"{len(zones)} zones", story.rollout.nodes, story.share
