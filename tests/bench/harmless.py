"""How often a harmless release is taken back: real rollouts on real processes, one after the other, each of them good.

The judges of peers see the very same rollouts, read back from the ledger. A release that could not be judged and was
tried again is no false revert, but it is counted: somebody waited for it.
"""

from __future__ import annotations

from controller.model import Cause, Outcome, Phase, Rollout
from controller.rollout import rows
from controller.stories import rejudge
from tests.bench import changes
from tests.bench.mechanics import page_size
from tests.bench.progress import say
from tests.bench.result import Line, Part
from tests.bench.world import Broken, World


def measure(world: World, runs: int) -> Part:
    part = Part("harmless", f"{runs} harmless releases, rolled out one after the other")
    first = newest(world) + 1
    with world.clients("harmless") as clients:
        try:
            for run in range(1, runs + 1):
                commit, _ = world.push(changes.good(1000 + run, page_size(world)))
                rollout = world.became(commit, Phase.PROMOTED, Phase.REVERTED)
                say(f"harmless {run}/{runs}: rollout {rollout.number} {rollout.phase}, attempt {rollout.attempt}")
        except Broken as broken:
            part.broken = str(broken)
        harmed = clients.counted()["harmed"]
    fate = clients.fate()
    ended = rollouts(world, first)
    reverted = [one for one in ended if one.cause is Cause.HARM]
    peers = [(name, false_alarms(world, ended, name)) for name in ("threshold", "mann-whitney")]
    part.lines += [
        Line("rollouts", "rollouts", len(ended), "", at_least=runs),
        Line("reverted", "taken back as harmful", len(reverted), "", tuple(peers), at_most=0),
        Line("held", "given up without a verdict, tried again", sum(o.phase is Phase.HELD for o in ended), ""),
        Line("harmed", "requests that failed for clients meanwhile", harmed, "", at_most=0),
        Line("acked_lost", "acknowledged messages lost", fate["acked_lost"], "",
             (("acknowledged", fate["acked"]),), at_most=0),
    ]  # fmt: skip
    others = (one for one in ended if one.phase is not Phase.PROMOTED)
    part.notes += [f"Rollout {one.number} was {one.phase}: {one.why}" for one in others]
    return part


def newest(world: World) -> int:
    last = world.chronicle.read().standing.rollout
    return last.number if last is not None else 0


def rollouts(world: World, first: int) -> list[Rollout]:
    """Each rollout from ``first`` on as its newest row has it."""
    found: dict[int, Rollout] = {}
    for row in world.chronicle.read().rows:
        if row.kind == rows.ROLLOUT and row.body["rollout"]["number"] >= first:
            rollout: Rollout = rows.read(rows.ROLLOUTS, row.body["rollout"])
            found[rollout.number] = rollout
    return list(found.values())


def false_alarms(world: World, ended: list[Rollout], judge: str) -> int:
    history = world.chronicle.read().rows
    said = [rejudge.JUDGES[judge](rejudge.looks(history, one.number), one.judge.alpha) for one in ended if one.t0]
    return sum(one.outcome is Outcome.FAIL for one in said)
