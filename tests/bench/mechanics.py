"""How quickly a fleet follows a verdict, and what it costs its clients: good and bad releases in turn, six nodes.

Times are measured from outside (``witness``) and by the clients; only when the verdict fell is the ledger's. The limits
are the same application started bare, and one round trip on a balancer's socket.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.demo.changes import Change
from controller.model import Phase, Rollout
from tests.bench import changes
from tests.bench.edges import Edge
from tests.bench.progress import say
from tests.bench.result import Line, Part, median
from tests.bench.witness import Glance, Witness, ask_balancer, balancer_socket
from tests.bench.world import Broken, Clients, World, lane

PROMISED = 2.0
COUNTED_AGAIN = 1.2
"""Clients write what they counted once a second."""


@dataclass(slots=True)
class Tally:
    """What all rollouts of the part gave, one value for each."""

    ready: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    late_starts: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    """Of failed releases: from T0 until no process and no answer of it was left, as a share of the budgets' sum."""
    home: list[float] = field(default_factory=list)
    held: int = 0
    reverted_good: int = 0
    harmed_good: int = 0
    harmed_bad: int = 0
    requests: int = 0
    verdicts: dict[str, float] = field(default_factory=dict)


def measure(world: World, runs: int) -> Part:
    budget = world.environment.budget
    part = Part("mechanics", f"{runs} rollouts, good and bad in turn, on two zones of three nodes")
    tally = Tally()
    with world.clients("mechanics") as clients:
        try:
            play(world, clients, tally, runs)
        except Broken as broken:
            part.broken = str(broken)
    fate = clients.fate()
    if not (tally.ready and tally.off and tally.back):
        return part
    starts, trips = bare_starts(world), round_trips(world)
    start, trip = ("bare start of the app", median(starts)), ("socket round trip", median(trips))
    part.lines += [
        Line("activate_ready_median", "activate → ready, median", median(tally.ready), "s", (start,)),
        Line("activate_ready_max", "activate → ready, slowest", max(tally.ready), at_most=PROMISED),
        Line("traffic_off_median", "verdict → traffic off, median", median(tally.off), "s", (trip,)),
        Line("traffic_off_max", "verdict → traffic off, slowest", max(tally.off), at_most=PROMISED),
        Line("nodes_back_median", "verdict → nodes back, median", median(tally.back), "s", (start,)),
        Line("nodes_back_max", "verdict → nodes back, slowest", max(tally.back), at_most=PROMISED),
        Line("late_start", "last request begun on a canary after traffic off", max(tally.late_starts), at_most=0),
        Line("exposure_max", "a failed release is gone, of its budgets' sum at most", max(tally.gone), "%",
             (("budgets' sum", f"{budget.limit:g} s"),), at_most=1.0),
        Line("devices_home", "devices back on their canary once it serves, median", median(tally.home), "%"),
        Line("reverted_good", "good releases reverted", tally.reverted_good, "", at_most=0),
        Line("held", "rollouts given up without a verdict, tried again", tally.held, ""),
        Line("harmed_good", "requests harmed by good releases", tally.harmed_good, "", at_most=0),
        Line("harmed_bad", "requests harmed by bad releases, each caught", tally.harmed_bad, "",
             (("of requests in all", tally.requests),)),
        Line("acked", "messages acknowledged", fate["acked"], ""),
        Line("acked_lost", "of these lost", fate["acked_lost"], "", at_most=0),
    ]  # fmt: skip
    told = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in tally.verdicts.items())
    part.notes.append(f"From T0 to the verdict: {told}.")
    part.notes.append("Seen from outside ten times a second: a time may be up to 0.1 s shorter than it says.")
    return part


def play(world: World, clients: Clients, tally: Tally, runs: int) -> None:
    """A good and a bad release in turn."""
    bads = 0
    for run in range(1, runs + 1):
        if run % 2:
            rollout = one(world, clients, tally, changes.good(run, page_size(world)), None)
            said = f"{rollout.phase}, ready {tally.ready[-1]:.2f} s after its promise"
        else:
            kind = changes.KINDS[bads % len(changes.KINDS)]
            bads += 1
            rollout = one(world, clients, tally, changes.bad(kind, run), kind)
            gone_s, back_s = tally.gone[-1] * rollout.budget.limit, tally.back[-1]
            said = f"{kind}: {rollout.phase}, gone after {gone_s:.1f} s, nodes back after {back_s:.2f} s"
        say(f"mechanics {run}/{runs}: rollout {rollout.number} {said}")


def page_size(world: World) -> int:
    """What the branch's sources say now: earlier parts have moved it, and so may a revert."""
    before, after = changes.SIZE.split("{}")
    text = world.source(changes.WEB)
    return int(text.partition(before)[2].partition(after)[0])


def one(world: World, clients: Clients, tally: Tally, change: Change, kind: str | None) -> Rollout:
    """One rollout from its push to its end. Raises Broken when it does not end as it must."""
    before = clients.counted()
    with Witness(world) as witness:
        commit, _ = world.push(change)
        rollout = world.became(commit, Phase.REVERTED, *(() if kind else (Phase.PROMOTED,)))
        if rollout.phase is Phase.REVERTED:
            world.wait("The revert commit", lambda: world.chronicle.read().git(rollout.number))
        time.sleep(COUNTED_AGAIN)
    after = clients.counted()
    harmed = after["harmed"] - before["harmed"]
    tally.requests += after["requests"] - before["requests"]
    served = after["by_release"].get(lane(rollout).candidate.digest, {})
    if kind != changes.EXIT:
        tally.ready += ready_times(world, witness, rollout, kind)
    tally.held += rollout.attempt - 1
    if kind is None and rollout.phase is Phase.REVERTED:
        tally.reverted_good += 1
        say(f"a harmless release was reverted: {rollout.why}")
    if kind is None:
        tally.harmed_good += harmed
        tally.home.append(came_home(world, witness, rollout))
    else:
        tally.harmed_bad += harmed
        went_back(world, witness, rollout, kind, served, tally)
    return rollout


def ready_times(world: World, witness: Witness, rollout: Rollout, kind: str | None) -> list[float]:
    """From the promise on disk to the first ready answer, for each canary that came to it."""
    digest, found, t0 = lane(rollout).candidate.digest, [], rollout.t0 or 0.0
    for node in world.canaries:
        promised = witness.first(node, lambda g: g.promised == digest, t0)
        ready = witness.first(node, lambda g: g.ready == digest, t0)
        if promised and ready:
            found.append(max(0.0, ready.at - promised.promised_at))
    return found


def came_home(world: World, witness: Witness, rollout: Rollout) -> float:
    """MQTT sessions on the canaries at the verdict, as a share of those they had before T0."""
    assert rollout.t0 is not None
    assert rollout.verdict_at is not None
    before = sum(before_time(witness, node, rollout.t0).sessions for node in world.canaries)
    then = sum(before_time(witness, node, rollout.verdict_at).sessions for node in world.canaries)
    return then / before if before else 1.0


def before_time(witness: Witness, node: str, at: float) -> Glance:
    return [g for g in witness.glances if g.node == node and g.at <= at][-1]


def went_back(
    world: World, witness: Witness, rollout: Rollout, kind: str, served: Mapping[str, Any], tally: Tally
) -> None:
    """Traffic off, nodes back, and gone: of a release that did harm."""
    assert rollout.t0 is not None
    assert rollout.verdict_at is not None
    found, verdict_at, budget = lane(rollout), rollout.verdict_at, rollout.budget
    base = found.base.digest if found.base else None
    tally.verdicts[kind] = verdict_at - rollout.t0
    backs = [witness.first(node, lambda g: g.ready == base and g.promised is None, verdict_at)
             for node in world.canaries]  # fmt: skip
    tally.back.append(max(glance.at for glance in backs if glance is not None) - verdict_at)
    if kind not in changes.NEVER_SERVES:
        offs = [witness.first(node, lambda g: g.weight == 0 and g.sessions == 0, verdict_at) for node in world.canaries]
        off_at = max(glance.at for glance in offs if glance is not None)
        tally.off.append(off_at - verdict_at)
        tally.late_starts.append(max(0.0, served["last_started"] - off_at))
    tally.gone.append(gone(witness, rollout, served) / budget.limit)


def gone(witness: Witness, rollout: Rollout, served: Mapping[str, Any]) -> float:
    """Seconds from T0 until the release had no process and answered nobody."""
    assert rollout.t0 is not None
    digest, t0 = lane(rollout).candidate.digest, rollout.t0
    last = witness.last(lambda g: digest in g.processes or g.ready == digest)
    ends = [last.at - t0] if last else [0.0]
    if served.get("last_ended"):
        ends.append(served["last_ended"] - t0)
    return max(ends)


def bare_starts(world: World, runs: int = 5) -> list[float]:
    """The same application from the same sources, started with nothing around it until it answers ready."""
    seconds = []
    for run in range(runs):
        with Edge(world.root / f"bare-{run}") as edge:
            seconds.append(edge.ready_after)
    return seconds


def round_trips(world: World, runs: int = 50) -> list[float]:
    path, seconds = balancer_socket(next(iter(world.nodes.values()))), []
    for _ in range(runs):
        began = time.monotonic()
        ask_balancer(path, "get weight mqtt/bos-a")
        seconds.append(time.monotonic() - began)
    return seconds
