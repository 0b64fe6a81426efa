"""Walks through the model's world: at random by seed, healed at their end, and shortened when they break a promise."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.model import Phase
from controller.rollout.standing import fold
from tests.model import events
from tests.model.chronicle import Chronicle, before
from tests.model.events import Event, happen
from tests.model.promises import PROMISES, whole_again
from tests.model.world import Scenario, World

HEALING = 90
"""Seconds in which a healed world must have come to rest."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise, how it was broken, and the walk that did it."""

    scenario: Scenario
    promise: str
    how: str
    walk: tuple[Event, ...]
    healed: bool
    """It broke while all was being healed after the walk."""

    def __str__(self) -> str:
        """The walk as a person reads it."""
        steps = [f"  {i:3} {words(event)}" for i, event in enumerate(self.walk, 1)]
        steps += ["      then everything is healed"] if self.healed else []
        return "\n".join((f"{self.scenario.name}: {self.promise}", f"  broken: {self.how}", *steps))


def words(event: Event) -> str:
    return f"{event[0]}: {', '.join(event[1:])}" if len(event) > 1 else event[0]


class Walk:
    """One walk under way: the world, what truly happened in it, and the first promise that broke."""

    def __init__(self, scenario: Scenario) -> None:
        self.world, self.told = World(scenario), Chronicle()
        self.told.follow(self.world)
        self.taken: list[Event] = []
        self.healed_from: int | None = None
        self.broken: tuple[str, str] | None = None

    def step(self, event: Event) -> bool:
        """Take one step if it is possible, and look whether it broke a promise."""
        was = before(self.world, self.told)
        self.world.obeyed.clear()
        if not happen(self.world, event):
            return False
        self.taken.append(event)
        self.told.follow(self.world)
        for promise in PROMISES:
            how = promise(was, self.world, self.told)
            if how:
                self.broken = (sentence(promise), how)
                break
        return True

    def heal(self) -> None:
        """Repair everything, deliver everything, and let the controllers work until nothing is left to do."""
        self.healed_from = len(self.taken)
        for event in mending(self.world):
            self.step(event)
            if self.broken:
                return
        quiet = 0
        for _ in range(HEALING):
            if self.broken or quiet > 3:
                break
            size = len(self.world.ledger.history)
            for event in a_good_second(self.world):
                self.step(event)
                if self.broken:
                    return
            still = len(self.world.ledger.history) == size and not self.world.messages and at_rest(self.world)
            quiet = quiet + 1 if still else 0
        if not self.broken and (how := whole_again(self.world, self.told)):
            self.broken = (sentence(whole_again), how)


def at_rest(world: World) -> bool:
    """No rollout is open, or the newest one waits for a person."""
    rollout = fold(world.ledger.rows()).open_rollout
    waits = rollout is not None and (rollout.phase is Phase.STUCK and rollout.heading is None)
    return rollout is None or waits or (rollout.phase is Phase.PENDING and "an approval" in rollout.why)


def sentence(promise: object) -> str:
    return (promise.__doc__ or "").strip()


def mending(world: World) -> Iterator[Event]:
    """Everything that was broken is repaired; late messages arrive."""
    for name, node in world.nodes.items():
        if not node.powered:
            yield "boots", name
    for name, controller in world.controllers.items():
        yield "wakes", name
        controller.link.loses_answer = False
        yield "ledger back", name
        yield "acts", name
    for link in sorted(world.cut):
        yield "mends the link", *link
    for _ in range(3):
        yield ("a second passes",)
    for message in list(world.messages):
        yield "delivers", str(message)
    if not any(controller.up for controller in world.controllers.values()):
        yield "starts", "A"


def a_good_second(world: World) -> Iterator[Event]:
    for name, controller in world.controllers.items():
        if controller.runs:
            yield "turn, all goes well", name, "PASS"
    for name in world.nodes:
        yield "process moves on", name
    for name, controller in world.controllers.items():
        if controller.runs:
            yield "turn, all goes well", name, "PASS"
    yield ("a second passes",)
    if not any(controller.runs for controller in world.controllers.values()):
        yield "starts", "A"


def wander(scenario: Scenario, seed: int) -> Broken | None:
    """One random walk of ``scenario``, healed at its end; what it broke, if anything, not shortened yet."""
    draw = random.Random(f"{scenario.name} {seed}")
    walk = Walk(scenario)
    if scenario.opening:
        for event in opening(walk.world, scenario.opening):
            walk.step(event)
            if walk.broken:
                return result(walk)
    calm = draw.choice((0.3, 0.6, 0.85))
    for _ in range(draw.randrange(20, 160)):
        walk.step(chosen(walk.world, draw, calm))
        if walk.broken:
            return result(walk)
    walk.heal()
    return result(walk) if walk.broken else None


def chosen(world: World, draw: random.Random, calm: float) -> Event:
    """The next event: on calm stretches only work and time, else anything by its odds."""
    likes = world.scenario.likes
    choice = [(odds * likes.get(event[0], 1.0), event) for odds, event in events.possible(world)]
    if draw.random() < calm:
        well = ("turn, all goes well", "a second passes", "starts", "a newer commit")
        choice = [(odds, event) for odds, event in choice if event[0] in well and "FAIL" not in event]
    event = draw.choices([event for _, event in choice], [odds for odds, _ in choice])[0]
    if event[0] in events.FAULTS:
        world.faults -= 1
    return event


def opening(world: World, phase: str) -> Iterator[Event]:
    """Go quietly to where the newest rollout is in ``phase``."""
    yield "starts", "A"
    yield ("a newer commit",)
    for _ in range(60):
        rollout = world.controllers["A"].record.standing.rollout
        if rollout is not None and rollout.number > 1 and rollout.phase == phase:
            return
        yield from a_good_second(world)


def result(walk: Walk) -> Broken:
    assert walk.broken is not None
    healed = walk.healed_from is not None
    return Broken(walk.world.scenario, *walk.broken, tuple(walk.taken[: walk.healed_from]), healed)


# ---- shortening ---------------------------------------------------------------------------------------------------


def replay(scenario: Scenario, walk: Sequence[Event]) -> Broken | None:
    """Walk the named steps where they are possible, and heal at the end."""
    again = Walk(scenario)
    for event in walk:
        again.step(event)
        if again.broken:
            return result(again)
    again.heal()
    return result(again) if again.broken else None


def shortened(found: Broken, tries: int = 600) -> Broken:
    """The same promise broken by fewer steps: parts are left out as long as it still breaks."""
    size = max(1, len(found.walk) // 2)
    while size:
        i = 0
        while i < len(found.walk) and tries:
            tries -= 1
            shorter = replay(found.scenario, found.walk[:i] + found.walk[i + size :])
            if shorter and shorter.promise == found.promise and len(shorter.walk) < len(found.walk):
                found = shorter
            else:
                i += size
        size //= 2
    return found


def search(scenario: Scenario, walks: int, seed: int = 0) -> Broken | None:
    """The first promise that ``walks`` random walks break, shortened."""
    for number in range(seed, seed + walks):
        found = wander(scenario, number)
        if found:
            return shortened(found)
    return None
