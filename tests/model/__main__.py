"""``python -m tests.model --walks N --seed S``: look longer than the tests do."""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.scenarios import SCENARIOS
from tests.model.walk import search


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--walks", type=int, default=1000, help="random walks in each scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    args = parser.parse_args()
    broken = False
    for scenario in SCENARIOS:
        if args.only in scenario.name:
            began = time.process_time()
            found = search(scenario, args.walks, args.seed)
            broken = broken or found is not None
            seconds = time.process_time() - began
            print(found or f"{scenario.name}: {args.walks} walks kept every promise ({seconds:.0f} s)", flush=True)
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
