"""What becomes of a canary whose controller is dead: killed with SIGKILL at another point of the rollout each time.

It stays dead until every node is back. Beside it stands what a design gives in which only the controller can revert:
the canary would serve until somebody comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from controller.model import IN_FLIGHT, Phase, Rollout
from tests.bench import changes
from tests.bench.mechanics import COUNTED_AGAIN, gone, page_size
from tests.bench.progress import say
from tests.bench.result import Line, Part, median
from tests.bench.witness import Witness, boottime
from tests.bench.world import PATIENCE, Broken, Clients, World, lane

LATE = 2.0
OVERDUE = 15.0
"""Seconds after a node's deadline at which the bench gives up waiting for it."""


@dataclass(slots=True)
class Tally:
    """What all kills gave, one value for each."""

    late: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    harmed: int = 0


Point = Callable[[World, Witness, Rollout], bool]


def watching(seconds: float) -> Point:
    def holds(world: World, witness: Witness, rollout: Rollout) -> bool:
        since = rollout.watch_from
        return rollout.phase is Phase.WATCHING and since is not None and boottime() >= since + seconds

    return holds


def promised(world: World, witness: Witness, rollout: Rollout) -> bool:
    digest = lane(rollout).candidate.digest
    return any(witness.first(node, lambda g: g.promised == digest) is not None for node in world.canaries)


def serves(world: World, witness: Witness, rollout: Rollout) -> bool:
    digest = lane(rollout).candidate.digest
    return any(witness.first(node, lambda g: g.ready == digest) is not None for node in world.canaries)


POINTS: tuple[tuple[str, Point], ...] = (
    ("the first promise is on disk", promised),
    ("the first canary serves", serves),
    ("the watch begins", watching(0)),
    ("two seconds into the watch", watching(2)),
    ("five seconds into the watch", watching(5)),
)


def measure(world: World, runs: int) -> Part:
    budget = world.environment.budget
    title = f"the controller is killed in mid-canary, {runs} times; a node's deadline is T0 + {budget.end:g} s"
    part = Part("deadman", title)
    tally = Tally()
    with world.clients("deadman") as clients:
        try:
            play(world, clients, tally, runs)
        except Broken as broken:
            part.broken = str(broken)
    if not tally.late:
        return part
    fate = clients.fate()
    part.lines += [
        Line("late_median", "nodes back after their deadline, median", median(tally.late), "s",
             (("controller alone reverts", "never"),)),
        Line("late_max", "nodes back after their deadline, slowest", max(tally.late), at_most=LATE),
        Line("exposure_max", "the release is gone, of its budgets' sum at most", max(tally.gone), "%",
             (("budgets' sum", f"{budget.limit:g} s"),), at_most=1.0),
        Line("harmed", "requests harmed while the fleet went back alone", tally.harmed, ""),
        Line("acked", "messages acknowledged", fate["acked"], ""),
        Line("acked_lost", "of these lost", fate["acked_lost"], "", at_most=0),
    ]  # fmt: skip
    part.notes.append(f"Killed as {'; as '.join(name for name, _ in POINTS[: min(runs, len(POINTS))])}.")
    part.notes.append("“never” follows from such a design, it was not measured: nobody else would act.")
    return part


def play(world: World, clients: Clients, tally: Tally, runs: int) -> None:
    """Kill it ``runs`` times; where a rollout ends before its point comes, another one takes its place."""
    commit, tries, alive = "", 0, True
    while len(tally.late) < runs and tries < 2 * runs + 1:
        tries += 1
        name, point = POINTS[len(tally.late) % len(POINTS)]
        before = clients.counted()
        with Witness(world) as witness:
            commit, _ = world.push(changes.good(500 + tries, page_size(world)), hint=alive)
            if not alive:
                world.start_controller()  # it finds the rollout that lost its controller, and a newer commit
            rollout = world.wait(f"Coming to where {name}", partial(at, world, witness, commit, point), every=0.02)
            alive = rollout.phase not in IN_FLIGHT
            if alive:
                say(f"deadman: left out, rollout {rollout.number} ended before {name}: {rollout.why}")
                continue
            world.kill_controller()
            assert rollout.t0 is not None
            deadline = rollout.t0 + rollout.budget.end
            tally.late.append(back_at(world, witness, rollout, deadline) - deadline)
            time.sleep(COUNTED_AGAIN)
        after = clients.counted()
        tally.harmed += after["harmed"] - before["harmed"]
        served = after["by_release"].get(lane(rollout).candidate.digest, {})
        tally.gone.append(gone(witness, rollout, served) / rollout.budget.limit)
        said = f"killed as {name}; nodes back {tally.late[-1]:+.2f} s after their deadline"
        say(f"deadman {len(tally.late)}/{runs}: {said}")
    if not alive:
        world.start_controller()
    world.wait("Promoting the newest commit after all", partial(settled, world, commit), 2 * PATIENCE)


def at(world: World, witness: Witness, commit: str, point: Point) -> Rollout | None:
    """The rollout, once it has come to the point or to its end."""
    rollout = world.rollout(commit)
    if rollout is None or rollout.t0 is None:
        return None
    return rollout if rollout.phase not in IN_FLIGHT or point(world, witness, rollout) else None


def back_at(world: World, witness: Witness, rollout: Rollout, deadline: float) -> float:
    """When every canary answered as last good again, with no promise on its disk."""
    found = lane(rollout)
    base = found.base.digest if found.base else None
    killed = boottime()

    def look() -> float | None:
        # A canary that was not told yet is on last good all the while: it counts from the deadline on as well.
        glances = [witness.first(node, lambda g: g.ready == base and g.promised is None, max(killed, deadline - 0.1))
                   for node in world.canaries]  # fmt: skip
        return max(g.at for g in glances if g is not None) if all(glances) else None

    return world.wait("The nodes' own return", look, deadline - killed + OVERDUE)


def settled(world: World, commit: str) -> bool:
    found = world.rollout(commit)
    return found is not None and found.settled
