"""What a part of the bench measured: lines with their promises, as a table for people and as figures for machines."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, what it is beside, and what was promised of it."""

    name: str
    says: str
    value: float
    unit: str = "s"
    beside: tuple[tuple[str, float | str], ...] = ()
    """Peers and limits of the same run, by what they are."""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def kept(self) -> bool | None:
        """None: nothing was promised, it is only shown."""
        if self.at_most is None and self.at_least is None:
            return None
        over = self.at_most is not None and self.value > self.at_most
        under = self.at_least is not None and self.value < self.at_least
        return not (over or under)


@dataclass(slots=True)
class Part:
    """One part's lines, and what a reader must know of how they came about."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: str | None = None
    """Why the part could not be measured to its end."""

    @property
    def kept(self) -> bool:
        return self.broken is None and all(line.kept is not False for line in self.lines)

    def figures(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for line in self.lines:
            found[f"{self.name}.{line.name}"] = round(line.value, 6)
            for what, value in line.beside:
                if not isinstance(value, str):
                    found[f"{self.name}.{line.name}.{slug(what)}"] = round(value, 6)
        return found

    def table(self) -> str:
        """A Markdown table, which reads as well in a terminal."""
        head = ("", "ours", "beside it", "promised", "kept")
        rows = [head, *(cells(line) for line in self.lines)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        said = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        rule = "|".join("-" * (width + 2) for width in widths)
        body = [f"| {said[0]} |", f"|{rule}|", *(f"| {row} |" for row in said[1:])]
        notes = [f"- {note}" for note in self.notes]
        if self.broken is not None:
            notes.append(f"- NOT MEASURED TO ITS END: {self.broken}")
        return "\n".join([f"## {self.name}: {self.title}", "", *body, *([""] if notes else []), *notes, ""])


def cells(line: Line) -> tuple[str, str, str, str, str]:
    promised = [f"≤ {shown(line.at_most, line.unit)}"] if line.at_most is not None else []
    promised += [f"≥ {shown(line.at_least, line.unit)}"] if line.at_least is not None else []
    beside = "; ".join(f"{what} {value if isinstance(value, str) else shown(value, line.unit)}"
                       for what, value in line.beside)  # fmt: skip
    kept = {True: "yes", False: "NO", None: ""}[line.kept]
    return line.says, shown(line.value, line.unit), beside, " and ".join(promised), kept


def shown(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value * 100:.4g} %"
    if unit == "":
        return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
    if unit == "s" and 0 < abs(value) < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"


def slug(text: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def high(values: Sequence[float], share: float = 0.95) -> float:
    """The value that ``share`` of the values do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(share * (len(ranked) - 1)))]


def write(parts: Sequence[Part], path: Path, command: str) -> bool:
    """The outcome as JSON; whether every promise was kept."""
    kept = all(part.kept for part in parts)
    figures = {name: value for part in parts for name, value in part.figures().items()}
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"kept": kept, "figures": figures, "commit": commit, "date": date, "command": command}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    return kept
