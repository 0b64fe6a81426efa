"""``turnabout watch``: follows an environment's rollouts until one is over, and only looks.

A terminal gets the live screen, whole or small as the window allows; anything else gets one line per transition. The
last frame stays. Ctrl-C leaves the watch and never touches a rollout.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from controller.faces import plain, screen, small, words
from controller.faces.terminal import ASCII, UNICODE, Glyphs, shown
from controller.model import Phase
from controller.rollout.rows import Row
from controller.stories.overview import standstill
from controller.stories.story import Standstill, Story
from controller.stories.telling import newest, tell

DONE, NO, PERSON, INTERRUPTED, FAILED = 0, 2, 3, 130, 1
"""Exit codes: promoted; taken back; a person is needed; Ctrl-C; it took longer than was asked for."""
FRAMES = 4
"""Looks a second; a terminal is redrawn at most as often."""
QUIET_FOR = 30.0
"""Seconds without news after which a plain log says what is being waited for."""
GIT_PATIENCE = 5.0
"""Seconds that a watch stays for the revert commit, which comes after the nodes are back."""
FULL, SMALL, PLAIN = "full", "small", "plain"

EXIT = {
    Phase.PROMOTED: DONE,
    Phase.REVERTED: NO,
    Phase.SUPERSEDED: NO,
    Phase.HELD: PERSON,
    Phase.STUCK: PERSON,
}


def exit_code(story: Story | None, still: Standstill | None = None) -> int:
    """What a story's end means to a script; where the branch asks for more and is not heard, a person is needed."""
    if still is not None and still.blocked and (story is None or story.over):
        return PERSON
    return EXIT.get(story.phase, FAILED) if story is not None else FAILED


def standing_still(still: Standstill) -> list[str]:
    """What keeps everything from going on, a sentence each."""
    led = [f"{still.environment}: {words.unled(still)}"] if still.led is False else []
    return [*led, *words.blocks(still)]


def chosen(console: Console, env: Mapping[str, str], asked: str | None = None) -> str:
    """Which of the three to draw: what was asked for, else what the terminal can show."""
    if asked is not None and (asked == PLAIN or console.is_terminal):
        return asked
    if not console.is_terminal or console.is_dumb_terminal or env.get("NO_COLOR") or env.get("CI"):
        return PLAIN
    wide = console.width >= screen.COLUMNS and console.height > screen.ROWS
    return FULL if wide else SMALL


@dataclass(slots=True)
class Reader:
    """The rows so far, each read once."""

    rows_after: Callable[[int], Sequence[Row]]
    rows: list[Row] = field(default_factory=list)

    def read(self) -> list[Row]:
        self.rows += self.rows_after(self.rows[-1].n if self.rows else 0)
        return self.rows


@dataclass(frozen=True, slots=True)
class Watch:
    """What to follow and how. ``number`` is one rollout; None follows the newest, and goes on to the next."""

    rows_after: Callable[[int], Sequence[Row]]
    """``Ledger.rows``: the rows after a number. Raises Unreachable."""
    console: Console
    environment: str
    number: int | None = None
    style: str | None = None
    ascii: bool = False
    timeout: float | None = None
    led: Callable[[], bool | None] = lambda: None
    """Whether a controller leads the environment; None where nobody can look."""
    forever: bool = False
    """Stay when a rollout is over, and show the next one."""
    utc: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def run(self) -> int:
        """Show until the rollout is over; returns the exit code. Raises Unreachable, Refused."""
        g = ASCII if self.ascii else UNICODE
        style = chosen(self.console, self.env, self.style)
        try:
            return self.print_lines(g) if style == PLAIN else self.draw(style, g)
        except KeyboardInterrupt:
            print("turnabout watch left; it only looked, whatever is going on goes on.", file=sys.stderr)
            return INTERRUPTED

    def stories(self) -> Iterator[tuple[Story | None, Standstill]]:
        """The story, and what keeps it from going on, a few times a second, until all is seen.

        The story is None while nothing was rolled out.
        """
        reader, began = Reader(self.rows_after), self.utc()
        over_since: float | None = None
        while True:
            rows, now = reader.read(), self.utc()
            number = self.number if self.number is not None else newest(rows)
            story = tell(rows, number, now) if number is not None else None
            yield story, standstill(self.environment, rows, now, self.led())
            if story is not None and ended(story) and not self.forever:
                over_since = now if over_since is None else over_since
                if not owes_git(story) or now - over_since >= GIT_PATIENCE:
                    return
            if self.timeout is not None and now - began >= self.timeout:
                return
            self.pause(1 / FRAMES)

    def draw(self, style: str, g: Glyphs) -> int:
        story, still = None, None
        with self.live() as live:
            for story, still in self.stories():
                live.update(self.frame(story, style, g, standing_still(still)), refresh=True)
        return exit_code(story, still)

    @contextmanager
    def live(self) -> Iterator[Live]:
        with Live(console=self.console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
            yield live

    def frame(self, story: Story | None, style: str, g: Glyphs, still: Sequence[str] = ()) -> RenderableType:
        said = [shown(Text(sentence, "warn"), g) for sentence in still]
        if story is None:
            waiting = f"{self.environment}: nothing was rolled out yet. Ctrl-C leaves."
            return Group(*said, shown(Text(waiting, "quiet"), g))
        rows = screen.ROWS + sum(len(self.console.render_lines(line)) for line in said)
        fits = self.console.width >= screen.COLUMNS and self.console.height > rows
        return Group(*said, screen.full(story, g) if style == FULL and fits else small.compact(story, g))

    def print_lines(self, g: Glyphs) -> int:
        printed, spoke_at, story, still = 0, self.utc(), None, None
        told: set[str] = set()
        for story, still in self.stories():
            stands = {one.why: line for one, line in zip(still.blocked, words.blocks(still), strict=True)}
            self.say([" ".join(line.split()) for why, line in stands.items() if why not in told])
            told |= stands.keys()
            if story is None:
                continue
            fresh = [*plain.lines(story, printed, g)]
            if not fresh and not story.over and self.utc() - spoke_at >= QUIET_FOR:
                fresh = [plain.still(story, g)]
            if fresh:
                spoke_at, printed = self.utc(), max(printed, story.last_row)
                self.say(fresh)
        if still is not None and still.led is False:
            self.say([f"{self.environment}: {words.unled(still)}"])
        if story is not None:
            self.say([plain.outcome(story, g)])
        return exit_code(story, still)

    def say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.print(Text(line), soft_wrap=True)


def owes_git(story: Story) -> bool:
    """The fleet is back and git is about to be told."""
    return story.phase is Phase.REVERTED and story.git is None


def ended(story: Story) -> bool:
    """Nothing more will happen by itself: over, or frozen until a person decides."""
    return story.over or (story.phase is Phase.STUCK and story.rollout.heading is None)
