"""The evidence of a rollout on a terminal: a row for each check, and the row that decides."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from controller.faces import words
from controller.faces.layout import columns
from controller.faces.terminal import Bar, Glyphs, heading, position, sparkline
from controller.model import Outcome
from controller.stories.story import SUSPICIOUS, Judged, Story


def check_rows(story: Story, g: Glyphs) -> Iterator[tuple[RenderableType, ...]]:
    for judged in story.checks:
        arms = words.both_arms(judged)
        yield measured(story, judged, arms, g) if arms is not None else exact(story, judged, g)
        worst = words.on_worst_path(judged)
        if worst is not None:
            path, (share, counts), (share_then, counts_then) = worst
            yield (
                "",
                Text.assemble((f"{share:>6}", "harm.strong"), (f"  {counts}", "quiet")),
                Text.assemble((f"{share_then:>6}", ""), (f"  {counts_then}", "quiet")),
                Text(path, "quiet"),
                "",
            )


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
        Text(sparkline(past, story.threshold, 24, g), style),
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
    name = max(8, *(len(words.check_name(story, judged)) for judged in story.checks))
    arms = [both for both in map(words.both_arms, story.checks) if both is not None]
    first, second = (max([20, *(8 + len(both[i][1]) for both in arms)]) for i in (0, 1))
    grid = columns(min(name, 18), first, second, None, 8, justify={4: "right"})
    grid.add_row(*heading("CHECK", "CANDIDATE", "LAST GOOD", "EVIDENCE OF HARM", ""))
    for row in checks if len(checks) <= most else checks[: most - 1]:
        grid.add_row(*row)
    if len(checks) > most:
        grid.add_row("", Text(f"and {len(checks) - most + 1} more checks", "quiet"), "", "", "")
    if any(judged.statistical for judged in story.checks):
        grid.add_row(*together(story, g))
    return grid
