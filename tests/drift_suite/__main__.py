"""``make drift-suite``: plant each change, look, and say what was found, what was not, and what was found falsely.

    python -m tests.drift_suite --seed 7 --only cloud store

The list of changes is written to ``build/drift-suite-plan.json`` before anybody looks. A change counts as found when
each finding that it must bring is there; every other new finding is a false one. The figures are written to
``build/drift-suite.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from controller.drift.finding import Finding
from tests.bench.result import Line, Part, write
from tests.drift_suite.changes import CLOUD, Change, changes
from tests.drift_suite.rooms import ROOMS, Room

PLAN, RESULT = Path("build/drift-suite-plan.json"), Path("build/drift-suite.json")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One change: whether it was found, what else was, whether its own command ended it, and who else would see it."""

    change: Change
    found: bool
    false: tuple[str, ...]
    remedied: int
    printed: int
    ended: bool | None
    """None: what it prints cannot be run here."""
    naive: bool
    seconds: float


def tried(room: Room, change: Change) -> Outcome:
    before, seen = {one.name for one in room.look()}, room.naive()
    room.plant(change)
    began = time.perf_counter()
    new = [one for one in room.look() if one.name not in before]
    took = time.perf_counter() - began
    found = all(any(part in one.name for one in new) for part in change.expects)
    right = [one for one in new if all_of(change, one)]
    naive = seen != room.naive()
    ran = [any(room.run(remedy.does) for remedy in one.remedies[:1]) for one in right]
    left = {one.name for one in room.look()} if any(ran) else set()
    ended = not any(one.name in left for one in right) if right and all(ran) else None
    room.restore()
    false = tuple(one.name for one in new if one not in right)
    return Outcome(change, found, false, sum(bool(one.remedies) for one in right), len(right), ended, naive, took)


def all_of(change: Change, one: Finding) -> bool:
    """Whether the finding is one that the change must bring; in the program's room every expected part names it."""
    parts = [part in one.name for part in change.expects]
    return all(parts) if change.room == "program" else any(parts)


def summary(outcomes: list[Outcome], untouched: int, took: float) -> Part:
    part = Part("drift", f"{len(outcomes)} planted changes, each made by another process")
    found, clouds = sum(one.found for one in outcomes), [one for one in outcomes if one.change.room == CLOUD]
    part.lines = [
        Line("changes", "changes planted", len(outcomes), "", at_least=60),
        Line("recall", "found", found / len(outcomes), "%", (
            ("a describe-only detector", sum(one.naive for one in outcomes) / len(outcomes)),), at_least=1.0),
        Line("false", "findings that no change explains", sum(len(one.false) for one in outcomes), "", at_most=0),
        Line("untouched", "findings before anything was touched", untouched, "", at_most=0),
        Line("remedied", "findings that print what ends them",
             sum(one.remedied for one in outcomes) / max(1, sum(one.printed for one in outcomes)), "%"),
        Line("ended", "changes ended by running what is printed, of those whose command runs here",
             sum(one.ended is True for one in outcomes) / max(1, sum(one.ended is not None for one in outcomes)), "%",
             (("of all changes", sum(one.ended is not None for one in outcomes) / len(outcomes)),), at_least=1.0),
        Line("look", "a look at prod's cloud, the slowest", max((one.seconds for one in clouds), default=0.0), "s"),
        Line("took", "the whole suite", took, "s"),
    ]  # fmt: skip
    part.notes += [
        f"MISSED: {one.change.name} {' '.join(one.change.given)} (wanted {', '.join(one.change.expects)})"
        for one in outcomes if not one.found
    ]  # fmt: skip
    part.notes += [f"FALSE at {one.change.name}: {name}" for one in outcomes for name in one.false]
    part.notes += [f"NOT ENDED: {one.change.name}" for one in outcomes if one.ended is False]
    part.notes.append("`pulumi refresh --preview-only` is not asked here: it could see those of the cloud's room.")
    return part


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.drift_suite", description=__doc__)
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--only", nargs="+", choices=[*ROOMS], default=[*ROOMS])
    args = asked.parse_args()
    plan = [change for change in changes(args.seed) if change.room in args.only]
    PLAN.parent.mkdir(exist_ok=True)
    PLAN.write_text(json.dumps({"seed": args.seed, "changes": [asdict(change) for change in plan]}, indent=1))
    began, outcomes, untouched = time.perf_counter(), [], 0
    for name in args.only:
        with ExitStack() as stack:
            room: Room = ROOMS[name](stack)
            untouched += len(room.look())
            for change in (change for change in plan if change.room == name):
                outcomes.append(tried(room, change))
                said = "found" if outcomes[-1].found and not outcomes[-1].false else "WRONG"
                print(f"{name:8} {change.name:32} {said}", file=sys.stderr, flush=True)
    part = summary(outcomes, untouched, time.perf_counter() - began)
    print(part.table())
    return 0 if write([part], RESULT, f"python -m tests.drift_suite --seed {args.seed}") else 2


if __name__ == "__main__":
    sys.exit(main())
