"""``python -m tests.bench [--only PART] [--runs N]``: measure, print the tables, write ``build/bench.json``.

Exit code 0 only if every promise was kept; 2 if one was not, 1 if something could not be measured, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from controller.commands.exits import INTERRUPTED
from infra.local.command import DONE, ERROR, NO, Parser
from infra.local.ports import NoPortsLeft
from infra.local.servers import ServerFailed, ServerMissing
from tests.bench import deadman, edge, harmless, ingest, judge, mechanics, seen
from tests.bench.progress import say
from tests.bench.result import Part, write
from tests.bench.world import Broken, World, opened

IN_A_WORLD = {
    "seen": (seen.measure, 10),
    "mechanics": (mechanics.measure, 10),
    "deadman": (deadman.measure, 5),
    "harmless": (harmless.measure, 50),
}
ALONE = {"judge": (judge.measure, judge.ENOUGH), "ingest": (ingest.measure, 3), "edge": (edge.measure, 3)}
PARTS = (*IN_A_WORLD, *ALONE)
"""Each with how many runs it takes when nobody says."""
TROUBLES = (Broken, NoPortsLeft, ServerFailed, ServerMissing, RuntimeError, OSError)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = [arguments.only] if arguments.only else list(PARTS)
    parts: list[Part] = []
    with ExitStack() as stack:
        world: World | None = None
        for name in wanted:
            say(f"{name} …")
            loaded = os.getloadavg()[0]
            try:
                if name in IN_A_WORLD:
                    world = world or stack.enter_context(opened(arguments.root))
                    measure, runs = IN_A_WORLD[name]
                    parts.append(measure(world, arguments.runs or runs))
                else:
                    measure_alone, runs = ALONE[name]
                    parts.append(measure_alone(arguments.root, arguments.runs or runs))
            except TROUBLES as trouble:
                parts.append(Part(name, "could not be measured", broken=f"{type(trouble).__name__}: {trouble}"))
            loads = f"{loaded:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end"
            parts[-1].notes.append(f"Load average of this machine's {os.cpu_count()} cores: {loads}.")
            print(f"\n{parts[-1].table()}", flush=True)
            if world is not None and not set(IN_A_WORLD) & set(wanted[wanted.index(name) + 1 :]):
                stack.close()  # what follows wants the machine for itself
                world = None
    said = " ".join(["python -m tests.bench", *(argv if argv is not None else sys.argv[1:])])
    file = Path("build", f"bench-{arguments.only}.json" if arguments.only else "bench.json")
    kept = write(parts, file, said)
    print(f"{'every promise was kept' if kept else 'A PROMISE WAS NOT KEPT'}; the figures are in {file}")
    if any(part.broken for part in parts):
        return ERROR
    return DONE if kept else NO


def parser() -> argparse.ArgumentParser:
    made = Parser(prog="python -m tests.bench", description="The product's figures beside their peers and limits.")
    made.add_argument("--only", choices=PARTS, help="measure this part alone")
    made.add_argument("--runs", type=positive, help="how often, where a part's own number is not enough")
    made.add_argument("--root", type=Path, default=Path("build/bench"), help="where it keeps its things meanwhile")
    return made


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted; everything it started is stopped, and nothing was written")
        sys.exit(INTERRUPTED)
