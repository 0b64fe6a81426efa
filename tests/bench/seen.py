"""How long it takes from a pushed commit to its SEEN row: with a forge's hint, and by polling alone.

The environment is held meanwhile, so that commits are seen and built and nothing rolls out. The limit is a bare
``git ls-remote`` of the same server: nobody can know sooner than they can ask.
"""

from __future__ import annotations

import os
import random
import subprocess
import time

from controller.demo.changes import Change
from controller.sources.gitcli import environment
from tests.bench.changes import SIZE, WEB, good
from tests.bench.progress import say
from tests.bench.result import Line, Part, high, median
from tests.bench.world import World

PATIENCE = 15.0


def measure(world: World, runs: int) -> Part:
    poll = world.environment.poll_seconds
    part = Part("seen", f"commit pushed → SEEN row; the branch is polled every {poll:g} s")
    world.order("hold", "measuring how soon commits are seen")
    hinted: list[float] = []
    polled: list[float] = []
    asked: list[float] = []
    size = 100
    chance = random.Random(7)
    for run in range(1, runs + 1):
        for hint, found in ((True, hinted), (False, polled)):
            time.sleep(chance.uniform(0, poll))  # any phase of the polling
            number = 2 * run + hint
            found.append(seen(world, good(number, size), hint))
            size = 100 + number
        asked.append(ls_remote(world))
        say(f"seen {run}/{runs}: {hinted[-1]:.2f} s hinted, {polled[-1]:.2f} s polled, ls-remote {asked[-1]:.3f} s")
    back = Change("mqtt", "Make a page 100 readings long again", WEB, SIZE.format(size), SIZE.format(100))
    seen(world, back, hint=True)
    world.order("resume", "seen often enough")
    limit = ("bare git ls-remote", median(asked))
    part.lines += [
        Line("hinted_median", "with the webhook's hint, median", median(hinted), "s", (limit,), at_most=1.0),
        Line("hinted_max", "with the webhook's hint, slowest", max(hinted)),
        Line("polled_median", "by polling, median", median(polled), "s", (limit,)),
        Line("polled_p95", "by polling, p95", high(polled), at_most=2.0),
        Line("runs", "commits seen each way", runs, ""),
    ]
    part.notes.append(
        f"By polling a commit waits half a period on average ({poll / 2:g} s) and a whole one at worst before anybody "
        "asks; both ways hold the fetch and the building of the release. Time counts from the end of the push."
    )
    return part


def seen(world: World, change: Change, hint: bool) -> float:
    commit, pushed = world.push(change, hint)
    at = world.wait(f"Seeing {commit[:7]}", lambda: world.chronicle.read().seen_at(commit), PATIENCE, 0.02)
    return max(0.0, at - pushed)


def ls_remote(world: World) -> float:
    url = world.platform.outputs["bench"].repository
    began = time.monotonic()
    env = {**os.environ, **environment()}
    subprocess.run(["git", "ls-remote", "--heads", url], check=True, capture_output=True, timeout=10, env=env)
    return time.monotonic() - began
