"""What becomes of a canary whose controller is dead: killed with SIGKILL at another point of the rollout each time.

It stays dead until every node is back. Beside it stands what a design gives in which only the controller can revert:
the canary would serve until somebody comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from controller.model import Phase, Rollout
from tests.bench import changes
from tests.bench.mechanics import COUNTED_AGAIN, gone
from tests.bench.progress import say
from tests.bench.result import Line, Part, median
from tests.bench.witness import Witness, boottime
from tests.bench.world import World, lane

LATE = 2.0
PATIENCE = 15.0
"""Seconds after a node's deadline at which the bench gives up waiting for it."""
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
    late: list[float] = []
    gone_of: list[float] = []
    harmed, number = 0, 500
    with world.clients("deadman") as clients:
        size = page_size(world)
        for run in range(1, runs + 1):
            name, point = POINTS[(run - 1) % len(POINTS)]
            before = clients.counted()
            with Witness(world) as witness:
                commit, _ = world.push(changes.good(number + run, size), hint=run == 1)
                size = 100 + number + run
                if run > 1:
                    world.start_controller()  # it finds the rollout that lost its controller, and a newer commit
                look = partial(at, world, witness, commit, point)
                rollout = world.wait(f"Coming to where {name}", look, every=0.02)
                world.kill_controller()
                assert rollout.t0 is not None
                deadline = rollout.t0 + budget.end
                late.append(back_at(world, witness, rollout, deadline) - deadline)
                time.sleep(COUNTED_AGAIN)
            after = clients.counted()
            harmed += after["harmed"] - before["harmed"]
            served = after["by_release"].get(lane(rollout).candidate.digest, {})
            gone_of.append(gone(witness, rollout, served) / budget.limit)
            say(f"deadman {run}/{runs}: killed as {name}; nodes back {late[-1]:+.2f} s after their deadline")
        world.start_controller()
        world.wait("Promoting the newest commit after all", partial(settled, world, commit))
    fate = clients.fate()
    part.lines += [
        Line("late_median", "nodes back after their deadline, median", median(late), "s",
             (("controller alone reverts", "never"),)),
        Line("late_max", "nodes back after their deadline, slowest", max(late), at_most=LATE),
        Line("exposure_max", "the release is gone, of its budgets' sum at most", max(gone_of), "%",
             (("budgets' sum", f"{budget.limit:g} s"),), at_most=1.0),
        Line("harmed", "requests harmed while the fleet went back alone", harmed, ""),
        Line("acked", "messages acknowledged", fate["acked"], ""),
        Line("acked_lost", "of these lost", fate["acked_lost"], "", at_most=0),
    ]  # fmt: skip
    part.notes.append(f"Killed as {'; as '.join(name for name, _ in POINTS[: min(runs, len(POINTS))])}.")
    part.notes.append("“never” follows from such a design, it was not measured: nobody else would act.")
    return part


def at(world: World, witness: Witness, commit: str, point: Point) -> Rollout | None:
    """The rollout, once it has come to the point; giving up when it has gone past it."""
    rollout = world.rollout(commit)
    return rollout if rollout is not None and rollout.t0 is not None and point(world, witness, rollout) else None


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

    return world.wait("The nodes' own return", look, deadline - killed + PATIENCE)


def settled(world: World, commit: str) -> bool:
    found = world.rollout(commit)
    return found is not None and found.settled


def page_size(world: World) -> int:
    """What the branch's sources say now: earlier parts have moved it."""
    before, after = changes.SIZE.split("{}")
    text = (world.forge.clone / changes.WEB).read_text()
    return int(text.partition(before)[2].partition(after)[0])
