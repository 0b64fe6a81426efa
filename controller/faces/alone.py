"""Nodes without a controller, on a terminal: what they say themselves, and how long until their own deadline.

Nobody decides here and no ledger says anything new, so this is drawn from what the nodes answered, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.faces import words
from controller.faces.layout import columns
from controller.faces.terminal import NODE_STYLE, Bar, Few, Glyphs, Prose


@dataclass(frozen=True, slots=True)
class Alone:
    """``t`` and ``deadline`` are seconds since T0; ``requests`` had met the candidate when the controller died."""

    environment: str
    killed_at: float
    requests: int
    harmed: int
    t: float
    deadline: float
    zones: Mapping[str, tuple[str, ...]]
    nodes: Mapping[str, str]

    @property
    def left(self) -> float:
        return max(0.0, self.deadline - self.t)

    @property
    def sentence(self) -> str:
        harmed = "none harmed" if self.harmed == 0 else f"{self.harmed:,} harmed"
        return (
            f"The controller is dead: SIGKILL at {words.time_of_day(self.killed_at)} UTC, when "
            f"{words.requests(self.requests)} had met the candidate, {harmed} until now. "
            "Nobody decides; each node has its deadline on its own disk."
        )


def alone(of: Alone, g: Glyphs) -> RenderableType:
    """The sentence, the nodes as they answered, and the deadline that runs out."""
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(no_wrap=True)
    top.add_column(no_wrap=True)
    top.add_column(ratio=1)
    badge = Text(" NO CONTROLLER ", "reverse bold red")
    top.add_row(badge, Text(of.environment, "bold"), Few(Prose(of.sentence), 3))
    nodes = Text()
    for zone, names in of.zones.items():
        nodes.append(f"{zone} ", "quiet")
        for name in names:
            nodes.append(f"{g.node[of.nodes[name]]} {name}  ", NODE_STYLE[of.nodes[name]])
    nodes.append("  asked just now, of the nodes themselves", "quiet")
    meter = columns(15, None, 11, 22, justify={3: "right"})
    left = f"{of.left:.0f} s left" if of.left else "over: they go back"
    meter.add_row(
        Text("nodes' deadline", "quiet"), Bar(of.t / of.deadline, "candidate", g),
        Text(f"{of.t:.0f} of {of.deadline:.0f} s", "quiet"), Text(left, "bold"),
    )  # fmt: skip
    return Padding(Group(top, nodes, meter), (1, 0, 1, 2))
