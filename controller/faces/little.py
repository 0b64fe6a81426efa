"""One rollout in a few lines, for a list that shows more than it: phase and sentence, nodes, budget, evidence.

Every bar has its own place, so that none changes its length with what stands beside it.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.faces import screen, words
from controller.faces.layout import columns
from controller.faces.terminal import NODE_STYLE, Bar, Few, Glyphs, Prose, position
from controller.stories.story import SUSPICIOUS, Story

MANY = 24
"""More nodes than this are counted instead of drawn, a sign each."""


def little(story: Story, g: Glyphs) -> RenderableType:
    """The running rollout: phase and sentence, nodes, the budget that runs, and the evidence."""
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(no_wrap=True)
    top.add_column(no_wrap=True)
    top.add_column(ratio=1)
    top.add_row(screen.badge(story.phase), Text(story.environment, "bold"), Few(Prose(story.sentence), 3))
    nodes = little_nodes(story, g)
    spent = story.budget_now
    value = story.together or 0.0
    style = "harm" if value >= SUSPICIOUS else "fine"
    meters = columns(6, None, 11, 8, None, 14, justify={5: "right"})
    meters.add_row(
        Text(spent.name, "quiet"), Bar(spent.used / spent.limit, screen.looks_of(spent, g)[1], g),
        Text(f"{spent.used:.0f} of {spent.limit:.0f} s", "quiet"), Text("evidence", "quiet"),
        Bar(position(value, story.threshold), style, g, limit="bold"),
        Text(f"{words.evidence(value)} of {story.threshold:,.0f}", f"{style}.strong"),
    )  # fmt: skip
    legend = Text.assemble(screen.legend(story, g), ("   %: of traffic, drained first", "quiet"))
    return Padding(Group(top, nodes, meters, legend), (1, 0, 1, 2))


def little_nodes(story: Story, g: Glyphs) -> Text:
    nodes = Text()
    many = len(story.rollout.nodes) > MANY
    for lane in story.rollout.lanes:
        for zone, names in lane.zones.items():
            nodes.append(f"{zone} ", "quiet")
            if many:
                nodes.append(screen.node_counts(story, names, g))
            for name in () if many else names:
                state = story.nodes[name]
                nodes.append(f"{g.node[state]} ", NODE_STYLE[state])
            nodes.append(f"{words.share(story.shares[f'{lane.app}/{zone}'])}  ", "quiet")
    return nodes
