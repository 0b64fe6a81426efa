"""From what balancers and applications counted to one sample: both arms, in one look, zone by zone.

Pure. Nodes count cumulatively; a sample holds what came between two looks, so that a missed look loses nothing. Which
server belongs to which arm is decided here, and an event that may belong to neither arm is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from controller.model import Arm, Lane, NodeView

OTHER = "other"
"""The class of paths that no check names."""
ENOUGH_FOR_P95 = 100
ENOUGH_EXPOSURE = 20.0
"""Less exposure than this does not say how often a node's devices are heard."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one server and path class as one balancer counted them; ``buckets`` by latency, where they have one."""

    total: int = 0
    bad: int = 0
    clients: int = 0
    bad_clients: int = 0
    buckets: tuple[int, ...] = ()
    bytes_in: int = 0
    bytes_out: int = 0
    """What went through the balancer, to the server and back; no check judges by it."""

    @property
    def timed(self) -> int:
        """Events with a latency; the length of a session is none."""
        return sum(self.buckets) if self.buckets else self.total

    def since(self, earlier: Counts | None) -> Counts:
        if earlier is None:
            return self
        buckets = tuple(a - b for a, b in zip_longest(self.buckets, earlier.buckets, fillvalue=0))
        return Counts(
            self.total - earlier.total,
            self.bad - earlier.bad,
            self.clients - earlier.clients,
            self.bad_clients - earlier.bad_clients,
            buckets,
            self.bytes_in - earlier.bytes_in,
            self.bytes_out - earlier.bytes_out,
        )


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What one node counted until now: its balancer's events, and its application's own metrics."""

    view: NodeView
    since: float
    """Boot time since when the counters run; another value means that they began at zero again."""
    edges_ms: tuple[float, ...]
    events: Mapping[tuple[str, str], Counts]
    """(server, path class) to counts."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_of: str | None = None
    bad: tuple[Mapping[str, Any], ...] = ()
    """The newest bad calls, as the balancer logged them."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What the application's processes hold: ``rss_bytes``, ``open_files``, ``threads``, ``sockets``."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One zone and path class in one look: both arms' events, distinct clients and slow events."""

    zone: str
    path: str
    canary: Counts
    control: Counts
    canary_slow: int
    control_slow: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server outside of the platform said to one check: by query, the value of each node; or why nothing."""

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one application. ``metrics`` are the applications' own counters by node, absolute."""

    app: str
    at: float
    cells: tuple[Cell, ...]
    canary_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    control_metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Node to how long its metrics have counted since the look before; looks are never equally far apart."""
    probes: Mapping[str, bool] = field(default_factory=dict)
    """Node to whether the round trip from outside worked at this look."""
    ran: Mapping[str, str] = field(default_factory=dict)
    """Node to its arm, ``canary`` or ``control``, if it ran the same release since the look before."""
    held: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Node to what its processes hold: ``memory_mb``, ``open_files``, ``threads``, ``connections``."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Check to what a server outside of the platform has answered since the look before."""


def sample(lane: Lane, before: Mapping[str, Telemetry], after: Mapping[str, Telemetry], at: float) -> Sample:
    """What happened on both arms between two looks, as all of the lane's balancers counted it."""
    sums: dict[tuple[str, str, bool], Counts] = {}
    for balancer in lane.nodes:
        new, old = after.get(balancer), before.get(balancer)
        if new is None or old is None:
            continue
        zone = next(name for name, nodes in lane.zones.items() if balancer in nodes)
        for (server, path), counts in new.events.items():
            arm = arm_of(lane, server, balancer, before, after)
            if arm is None:
                continue
            earlier = old.events.get((server, path)) if old.since == new.since else None
            gained = counts.since(earlier)
            if gained.total:
                key = (zone, path, arm == "canary")
                sums[key] = plus(sums.get(key), gained)
    cells = []
    for zone, path in sorted({(zone, path) for zone, path, _ in sums}):
        canary, control = sums.get((zone, path, True), Counts()), sums.get((zone, path, False), Counts())
        edges = next(t.edges_ms for t in after.values())
        slow = lane.slow_above_ms
        cells.append(Cell(zone, path, canary, control, above(canary, edges, slow), above(control, edges, slow)))
    ran = arms_of_nodes(lane, before, after)
    return Sample(
        lane.app, at, tuple(cells), own(lane, before, after, True), own(lane, before, after, False),
        intervals(before, after), ran=ran, held=held(lane, ran, before, after),
    )  # fmt: skip


def arm_of(
    lane: Lane, server: str, balancer: str, before: Mapping[str, Telemetry], after: Mapping[str, Telemetry]
) -> str | None:
    """Which arm a server's events between two looks belong to.

    The canary's from the first request on: at the look before, the server had the candidate already or this balancer
    sent it nothing. The control's only if it ran last good at both looks.
    """
    new, old = after.get(server), before.get(server)
    if new is None or old is None:
        return None
    now_runs, then_ran = new.view.apps[lane.app].running, old.view.apps[lane.app].running
    weights = before[balancer].view.weights
    was_drained = all(weights.get(f"{backend}/{server}") == 0 for backend in lane.backends)
    if now_runs == lane.candidate.digest and (then_ran == lane.candidate.digest or was_drained):
        return "canary"
    base = lane.base_digest
    return "control" if base is not None and now_runs == then_ran == base else None


def plus(one: Counts | None, two: Counts) -> Counts:
    if one is None:
        return two
    buckets = tuple(a + b for a, b in zip_longest(one.buckets, two.buckets, fillvalue=0))
    return Counts(
        one.total + two.total,
        one.bad + two.bad,
        one.clients + two.clients,
        one.bad_clients + two.bad_clients,
        buckets,
        one.bytes_in + two.bytes_in,
        one.bytes_out + two.bytes_out,
    )


def above(counts: Counts, edges_ms: tuple[float, ...], slow_above_ms: float | None) -> int:
    """How many events took longer than ``slow_above_ms``, which is one of the edges as they were when it was taken."""
    if slow_above_ms is None or not counts.buckets:
        return 0
    return sum(counts.buckets[sum(edge < slow_above_ms for edge in edges_ms) + 1 :])


def own(
    lane: Lane, before: Mapping[str, Telemetry], after: Mapping[str, Telemetry], canary: bool
) -> dict[str, Mapping[str, float]]:
    """The applications' own metrics by node, of one arm. A node that has not answered since the last look has no new
    ones: the old ones a second time would say that nothing happened on it.
    """
    base = lane.base_digest
    digest = lane.candidate.digest if canary else base
    return {
        node: seen.metrics
        for node, seen in after.items()
        if node in lane.nodes
        and digest is not None
        and seen.metrics_of == digest
        and seen.metrics
        and seen is not before.get(node)
    }


def arms_of_nodes(lane: Lane, before: Mapping[str, Telemetry], after: Mapping[str, Telemetry]) -> dict[str, str]:
    """Node to its arm; one that ran something else, or nothing, at either look has none."""
    arms_by_release = {lane.base_digest: "control", lane.candidate.digest: "canary"}
    found = {}
    for node in lane.nodes:
        new, old = after.get(node), before.get(node)
        if new is not None and old is not None:
            now_runs, then_ran = new.view.apps[lane.app].running, old.view.apps[lane.app].running
            if now_runs is not None and now_runs == then_ran and now_runs in arms_by_release:
                found[node] = arms_by_release[now_runs]
    return found


def held(
    lane: Lane, ran: Mapping[str, str], before: Mapping[str, Telemetry], after: Mapping[str, Telemetry]
) -> dict[str, Mapping[str, float]]:
    """What the processes of each node of an arm hold, of nodes that have answered since the look before.

    What balancers have open to a node is no leak of the node's: it is left out of its connections and of its files.
    """
    found: dict[str, Mapping[str, float]] = {}
    for node in ran:
        seen = after[node]
        if seen.resources and seen is not before.get(node):
            led_there = [f"{backend}/{node}" for backend in lane.backends]
            views = [after[balancer].view for balancer in lane.nodes if balancer in after]
            clients = sum(view.sessions.get(server, 0) for view in views for server in led_there)
            own_of = seen.resources
            found[node] = {
                "memory_mb": round(own_of.get("rss_bytes", 0.0) / 1e6, 2),
                "open_files": max(0.0, own_of.get("open_files", 0.0) - clients),
                "threads": own_of.get("threads", 0.0),
                "connections": max(0.0, own_of.get("sockets", 0.0) - clients),
            }
    return found


def intervals(before: Mapping[str, Telemetry], after: Mapping[str, Telemetry]) -> dict[str, float]:
    return {
        node: round(seen.view.received_at - before[node].view.received_at, 3)
        for node, seen in after.items()
        if node in before
    }


def slow_above(lane: Lane, telemetry: Mapping[str, Telemetry]) -> float | None:
    """The latency that the slowest twentieth of last good's requests exceeded, in milliseconds, as one of the edges."""
    rows = [counts for node, seen in telemetry.items() if node in lane.nodes for counts in seen.events.values()]
    timed = [counts for counts in rows if counts.buckets]
    total = sum(counts.timed for counts in timed)
    if total < ENOUGH_FOR_P95:
        return None
    edges = next(seen.edges_ms for seen in telemetry.values())
    return next((edge for edge in edges if sum(above(c, edges, edge) for c in timed) <= total / 20), edges[-1])


def former(lane: Lane, telemetry: Mapping[str, Telemetry]) -> dict[str, Arm]:
    """What last good did before the rollout, by check: only for a fleet with no more control nodes than canaries."""
    if len(lane.controls) > len(lane.canaries) or lane.base is None:
        return {}
    found = {}
    for check in lane.checks:
        if check.kind == "share" and check.about == "existing":
            counted = [
                counts
                for node, seen in telemetry.items()
                if node in lane.nodes
                for (_, path), counts in seen.events.items()
                if not check.paths or path in check.paths
            ]
            once = check.once_per == "client"
            total = sum(counts.clients if once else counts.total for counts in counted)
            found[check.name] = Arm(total, sum(counts.bad_clients if once else counts.bad for counts in counted))
    return found


def pace(lane: Lane, telemetry: Mapping[str, Telemetry]) -> dict[str, Mapping[str, float]]:
    """Events for each unit of exposure on each node of last good, by check: devices differ, and each has its node."""
    return {
        check.name: {
            node: seen.metrics.get(check.events, 0.0) / seen.metrics[check.per]
            for node, seen in telemetry.items()
            if node in lane.nodes and seen.metrics_of == lane.base_digest
            if seen.metrics.get(check.per, 0.0) >= ENOUGH_EXPOSURE
        }
        for check in lane.checks
        if check.kind == "missing_events" and lane.base is not None
    }


def arms(sample: Sample, paths: tuple[str, ...], once_per_client: bool) -> Iterator[tuple[str, str, Arm, Arm]]:
    """(zone, path, canary, control) of the classes a check names; all of them when it names none."""
    for cell in sample.cells:
        if paths and cell.path not in paths:
            continue
        if once_per_client:
            yield (
                cell.zone, cell.path,
                Arm(cell.canary.clients, cell.canary.bad_clients), Arm(cell.control.clients, cell.control.bad_clients),
            )  # fmt: skip
        else:
            yield (
                cell.zone, cell.path,
                Arm(cell.canary.total, cell.canary.bad), Arm(cell.control.total, cell.control.bad),
            )  # fmt: skip
