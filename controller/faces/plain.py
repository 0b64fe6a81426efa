"""One line per transition: what a pipe, a CI log and a pager show. Never a spinner, never a line without news."""

from __future__ import annotations

from collections.abc import Iterator

from controller.faces import words
from controller.faces.terminal import UNICODE, Glyphs, plain_ascii
from controller.stories.story import Moment, Story


def lines(story: Story, after: int = 0, g: Glyphs = UNICODE) -> Iterator[str]:
    """A line for each moment whose row came after row ``after``."""
    for moment in story.moments:
        if moment.n > after:
            yield line(story, moment, g)


def line(story: Story, moment: Moment, g: Glyphs = UNICODE) -> str:
    return written(story, moment.at, moment.kind, moment.text, g)


def still(story: Story, g: Glyphs = UNICODE) -> str:
    """For those who end silent jobs: what is being waited for."""
    return written(story, story.at, "still", f"{story.phase}: {story.sentence}", g)


def outcome(story: Story, g: Glyphs = UNICODE) -> str:
    """The last line: the phase and what follows from it."""
    return written(story, story.at, "outcome", f"{story.phase}: {words.promised(story)}. {story.after}", g)


def written(story: Story, at: float, kind: str, text: str, g: Glyphs) -> str:
    said = f"{words.clock(at)} {story.environment} {story.app} {story.candidate} {kind:8} {' '.join(text.split())}"
    return plain_ascii(said) if g.ascii else said
