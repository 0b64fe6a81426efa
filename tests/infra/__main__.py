"""``python -m tests.infra``: the lives of the three stacks as a table, from ``build/infra.json``.

The figures are written by the tests in ``tests/infra/engine``; without Pulumi's engine there are none: this says so.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.infra.figures import FIGURES

COMMANDS = ("preview", "up", "again", "refresh", "destroy")


def table(figures: dict[str, Any]) -> Table:
    made = Table(title="Three stacks, brought up by Pulumi's own engine in an emulated cloud", title_justify="left")
    made.add_column("stack")
    made.add_column("resources", justify="right")
    for command in COMMANDS:
        made.add_column(f"{command}, s", justify="right")
    for name in ("second up", "refresh sees", "left at the end"):
        made.add_column(name)
    for name, stack in figures["stacks"].items():
        seconds = [f"{stack['seconds'][command]:.1f}" for command in COMMANDS]
        again = "nothing to do" if stack["idempotent"] else "CHANGES"
        clean = "no drift" if stack["refreshes_clean"] else "DRIFT"
        left = "nothing" if not stack["left_after_destroy"] else f"{stack['left_after_destroy']} RESOURCES"
        made.add_row(name, str(stack["resources"]), *seconds, again, clean, left)
    return made


def main() -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if not FIGURES.exists():
        console.print("No stack was brought up: Pulumi's engine is not here (`make engine` says why).")
        return 0
    figures = json.loads(FIGURES.read_text())
    console.print(table(figures))
    for pair, found in figures["shapes"].items():
        for difference, setting in found.items():
            console.print(f"{pair}: {difference} — {setting or 'EXPLAINED BY NOTHING'}")
    console.print(f"[bright_black]{FIGURES}[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
