"""What every scene of the demo stands on: the world, the chronicles, the clock, and what was promised and measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from controller.demo.chronicle import Chronicle
from controller.demo.world import ENVIRONMENTS, World
from controller.faces.alone import Alone
from controller.model import Rollout
from controller.stories.story import Story
from infra.local.places import Places

T = TypeVar("T")


class Broken(Exception):
    """A promise of the product did not hold; the message is the sentence that says which, and what was seen instead."""


class Unmet(Exception):
    """A step of the story did not happen, such as in time on a busy machine; no promise was broken by that."""


def busy() -> str:
    """That something else keeps this machine busy, where it does: a reason for what did not happen in time."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f" This machine is busy: {load:.0f} programs want its {cores} cores." if load >= 3 * cores else ""


@dataclass(slots=True)
class Stage:
    """One run of the demo. ``columns`` are the figures by story."""

    root: Path
    sources: Path
    places: Places | None = None
    """Where its nodes are, if not on loopback."""
    world: World | None = None
    chronicles: dict[str, Chronicle] = field(default_factory=dict)
    for_show: dict[str, Chronicle] = field(default_factory=dict)
    columns: dict[str, dict[str, float | None]] = field(default_factory=dict)
    alone: Alone | None = None
    """What the nodes say themselves while the controller is dead."""
    say: Callable[[str], None] = lambda line: None
    """A line of news for those who have no live view."""
    tell: Callable[[str], None] = lambda line: None
    """A line for everybody."""
    watched: tuple[str, str] | None = None
    """The environment and commit that the live view follows now."""
    fate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def here(self) -> World:
        assert self.world is not None, "the first scene makes the world"
        return self.world

    def open_chronicles(self) -> None:
        self.chronicles = {name: Chronicle(self.here.site, name) for name in ENVIRONMENTS}

    def wait(self, what: str, seconds: float, look: Callable[[], T | None], every: float = 0.1) -> T:
        """What ``look`` finds, within ``seconds``. Raises Unmet with what was waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found is not None and found is not False:
                return found
            time.sleep(every)
        raise Unmet(f"{what} did not happen within {seconds:.0f} s.{self.last_words()}")

    def last_words(self) -> str:
        """Where the watched rollout stands, for a sentence about what went wrong."""
        if self.watched is None:
            return ""
        environment, commit = self.watched
        rollout = self.chronicles[environment].read().rollout(commit)
        if rollout is None:
            return f" {environment} knows no rollout of {commit[:7]}."
        return f" Rollout {rollout.number} of {environment} is {rollout.phase}: {rollout.why}"

    def rollout(self, environment: str, commit: str) -> Rollout | None:
        return self.chronicles[environment].read().rollout(commit)

    def stories(self, begin: float, end: float) -> Iterator[Story]:
        """Every rollout that was written down first between two moments (UTC), in that order."""
        found = [
            (at, chronicle, number)
            for chronicle in self.chronicles.values()
            for number, at in chronicle.read().began().items()
            if begin <= at < end
        ]
        for _, chronicle, number in sorted(found, key=lambda one: one[0]):
            yield chronicle.story(number)

    def story_for_show(self) -> Story | None:
        """The watched rollout's story so far, read by a chronicle of the painter's own: it is another thread."""
        if self.watched is None or self.world is None:
            return None
        environment, commit = self.watched
        if environment not in self.for_show:
            self.for_show[environment] = Chronicle(self.world.site, environment)
        chronicle = self.for_show[environment].read()
        rollout = chronicle.rollout(commit)
        return chronicle.story(rollout.number) if rollout is not None else None

    def by_release(self, environment: str, app: str, digest: str) -> Mapping[str, Any]:
        """What clients counted of one release: requests, harmed, first and last times in boot time."""
        apps = self.here.counted().get("environments", {}).get(environment, {})
        found: Mapping[str, Any] = apps.get(app, {}).get("by_release", {}).get(digest, {})
        return found
