"""``make drift-suite``: plant each change, look, and say what was found, what was not, and what was found falsely.

    python -m tests.drift_suite --seed 7 --only cloud store

The list of changes is written to ``build/drift-suite-plan.json`` before anybody looks. A change counts as found when
each finding that it must bring is there; every other new finding is a false one. The figures are written to
``build/drift-suite.json``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from controller.drift.finding import Finding
from tests.bench.result import Line, Part, write
from tests.drift_suite.atlas import Atlas
from tests.drift_suite.changes import ATLAS, CLOUD, FLEET, PROGRAM, STORE, WAIVER, Change, changes
from tests.drift_suite.clouds import MORE_ZONES, Cloud, grown, looked_at, shipped
from tests.drift_suite.fleets import Fleet, makes
from tests.drift_suite.rooms import Checkout, Room, Store

ROOMS: Mapping[str, Callable[[ExitStack], Room]] = {
    CLOUD: Cloud, ATLAS: Atlas, STORE: Store, FLEET: Fleet, PROGRAM: Checkout, WAIVER: Checkout,
}  # fmt: skip
PLAN, RESULT = Path("build/drift-suite-plan.json"), Path("build/drift-suite.json")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One change: whether it was found, what else was, whether its own command ended it, and who else would see it."""

    change: Change
    found: bool
    false: tuple[str, ...]
    names: tuple[str, ...]
    """The findings that it brought."""
    remedied: int
    left: tuple[str, ...]
    """Commands that are run once, at the end, for all whose end they are."""
    ended: bool | None
    """None: what it prints cannot be run here."""
    naive: bool
    engine: bool | None
    """Whether Pulumi's own refresh says more than before; None where it is not here."""
    seconds: float


def tried(room: Room, change: Change) -> Outcome:
    before, seen, stated = {one.name for one in room.look()}, room.naive(), room.engine_before()
    room.plant(change)
    began = time.perf_counter()
    new = [one for one in room.look() if one.name not in before]
    took = time.perf_counter() - began
    found = all(any(part in one.name for one in new) for part in change.expects)
    right = [one for one in new if all_of(change, one)]
    naive, engine = seen != room.naive(), None if stated is None else bool((room.engine() or frozenset()) - stated)
    does = [one.remedies[0].does for one in right if one.remedies]
    left = tuple(dict.fromkeys(command for command in does if room.later(command)))
    ran = [bool(one.remedies) and room.run(one.remedies[0].does) for one in right] if not left else []
    still = {one.name for one in room.look()} if any(ran) else set()
    ended = not any(one.name in still for one in right) if right and ran and all(ran) else None
    room.restore()
    false = tuple(one.name for one in new if one not in right)
    names = tuple(one.name for one in right)
    return Outcome(change, found, false, names, len(does), left, ended, naive, engine, took)


def settled(room: Room, outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes with what came of the commands that were left for the end."""
    if not any(one.left for one in outcomes):
        return outcomes
    still = {one.name for one in room.settle()}
    return [replace(one, ended=not {*one.names} & still) if one.left else one for one in outcomes]


def all_of(change: Change, one: Finding) -> bool:
    """Whether the finding is one that the change must bring; in the program's room every expected part names it."""
    parts = [part in one.name for part in change.expects]
    return all(parts) if change.room == "program" else any(parts)


def share(those: Sequence[bool | None]) -> float:
    return sum(bool(one) for one in those) / max(1, len(those))


def summary(
    outcomes: list[Outcome], untouched: int, took: float, rooms: Mapping[str, Room], unmade: Sequence[str]
) -> Part:
    part = Part("drift", f"{len(outcomes)} planted changes, each made by another process")
    run = [one for one in outcomes if one.ended is not None]
    printed, brought = (sum(each) for each in ((o.remedied for o in outcomes), (len(o.names) for o in outcomes)))
    part.lines = [
        Line("changes", "changes planted", len(outcomes), "", at_least=60),
        Line("recall", "found", share([one.found for one in outcomes]), "%", beside(outcomes), at_least=1.0),
        *(side_by_side(room, [one for one in outcomes if one.change.room == room]) for room in rooms),
        Line("false", "findings that no change explains", sum(len(one.false) for one in outcomes), "", at_most=0),
        Line("untouched", "findings before anything was touched", untouched, "", at_most=0),
        Line("remedied", "findings that print what ends them", printed / max(1, brought), "%", at_least=1.0),
        Line("ended", "changes ended by running what is printed, of those whose command runs here",
             share([one.ended for one in run]), "%", (("of all changes", len(run) / len(outcomes)),), at_least=1.0),
    ]  # fmt: skip
    if isinstance(cloud := rooms.get(CLOUD), Cloud):
        part.lines += cost(cloud)
    part.lines.append(Line("took", "the whole suite", took, "s"))
    part.notes += [
        f"MISSED: {one.change.name} {' '.join(one.change.given)} (wanted {', '.join(one.change.expects)})"
        for one in outcomes if not one.found
    ]  # fmt: skip
    part.notes += [f"FALSE at {one.change.name}: {name}" for one in outcomes for name in one.false]
    part.notes += [f"NOT ENDED: {one.change.name} ({', '.join(one.names)})" for one in outcomes if one.ended is False]
    cannot = sorted({one.change.name for one in outcomes if one.ended is None})
    part.notes += [f"What is printed cannot be run here: {', '.join(cannot)}."] if cannot else []
    if any(one.engine is None for one in outcomes):
        part.notes.append("SKIPPED: Pulumi's refresh; its engine is not here (make engine).")
    part.notes += [f"SKIPPED: {name}; what makes it is not here (cc, dpkg-query)." for name in unmade]
    return part


def side_by_side(room: str, those: list[Outcome]) -> Line:
    """What each detector sees of one room's changes."""
    says = f"found in the {room}, of {len(those)}"
    return Line(f"seen_{room}", says, share([one.found for one in those]), "%", beside(those))


def beside(those: list[Outcome]) -> tuple[tuple[str, float | str], ...]:
    known = [one.engine for one in those]
    refresh = "not here" if None in known else share(known)
    return (("pulumi refresh --preview-only", refresh), ("a describe-only detector", share([o.naive for o in those])))


def cost(cloud: Cloud) -> list[Line]:
    """A look at prod as it is, with as many nodes as its zones may have, and with more zones of as many."""
    own, wide, ten = (looked_at(table) for table in (shipped(), grown(()), grown(MORE_ZONES)))
    sizes = {"with 26 nodes in each of its 3 zones": wide, f"with {3 + len(MORE_ZONES)} zones of 26": ten}
    return [
        Line("resources", "resources that AWS has of prod", own.resources, "",
             tuple((says, float(one.resources)) for says, one in sizes.items())),
        Line("times", "times as many, in the largest", ten.resources / own.resources, "", at_least=10),
        Line("calls", "calls for a look at prod", own.calls, "",
             tuple((says, float(one.calls)) for says, one in sizes.items()), at_most=50),
        Line("look", "a look at prod", own.seconds, "s", tuple((says, one.seconds) for says, one in sizes.items())),
        Line("slowest", "a look at prod, the slowest of all", cloud.seconds, "s",
             (("pulumi refresh", cloud.engine_seconds),)),
    ]  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.drift_suite", description=__doc__)
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--only", nargs="+", choices=[*ROOMS], default=[*ROOMS])
    asked.add_argument(
        "--named", nargs="+", metavar="CHANGE", help="only changes of these names, such as 'add a route'"
    )
    args = asked.parse_args()
    plan = [change for change in changes(args.seed) if change.room in args.only]
    plan = [change for change in plan if not args.named or change.name in args.named]
    unmade = [change.name for change in plan if not makes(change)]
    plan = [change for change in plan if makes(change)]
    PLAN.parent.mkdir(exist_ok=True)
    PLAN.write_text(json.dumps({"seed": args.seed, "changes": [asdict(change) for change in plan]}, indent=1))
    began, untouched = time.perf_counter(), 0
    outcomes: list[Outcome] = []
    rooms: dict[str, Room] = {}
    for name in args.only:
        with ExitStack() as stack:
            room = rooms[name] = ROOMS[name](stack)
            untouched += len(room.look())
            here: list[Outcome] = []
            for change in (change for change in plan if change.room == name):
                here.append(tried(room, change))
                said = "found" if here[-1].found and not here[-1].false else "WRONG"
                print(f"{name:8} {change.name:32} {said}", file=sys.stderr, flush=True)
            outcomes += settled(room, here)
    part = summary(outcomes, untouched, time.perf_counter() - began, rooms, unmade)
    print(part.table())
    return 0 if write([part], RESULT, shlex.join(["python", "-m", "tests.drift_suite", *sys.argv[1:]])) else 2


if __name__ == "__main__":
    sys.exit(main())
