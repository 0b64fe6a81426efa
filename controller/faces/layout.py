"""Grids of fixed and stretching columns, which every terminal view is laid out with."""

from __future__ import annotations

from rich.table import Table


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
