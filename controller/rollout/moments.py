"""What happened on the fleet that people and figures want to know: the moments of a rollout.

Pure. A moment is recorded once, when it is first seen; its time is seconds since T0. Figures and reports are made from
recorded moments alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.model import IN_FLIGHT, Lane, Observation, Phase, Rollout
from controller.rollout import steps

BACK = (Phase.REVERTING, Phase.RETURNING)
NODE_STATES = ("candidate", "last good", "starting", "stopping", "silent")


def moments(rollout: Rollout, seen: Observation, now: float) -> Iterator[tuple[str, str]]:
    """(name, sentence) of everything that is true now and worth a line; the caller keeps what it has written."""
    nodes = [(lane, node) for lane in rollout.lanes for node in lane.nodes]
    working_on = rollout.heading or rollout.phase
    if rollout.phase is Phase.PENDING:
        apps = [steps.app_on(lane, node, seen, now) for lane, node in nodes]
        if all(
            app is not None and lane.candidate.digest in app.staged for (lane, _), app in zip(nodes, apps, strict=True)
        ):
            yield "staged", f"the candidate is staged and verified on {len(nodes)} nodes"
    if working_on in IN_FLIGHT:
        for i, wave in enumerate(zip_longest_waves(rollout)):
            if wave and all(steps.led(lane, part, seen, now) for lane, part in wave):
                names = ", ".join(node for _, part in wave for node in part)
                yield f"wave{i + 1}", f"wave {i + 1} serves: {names}"
    if working_on in BACK:
        leaving = [(lane, node) for lane, node in nodes if node in lane.canaries or working_on is Phase.RETURNING]
        if all(steps.off(lane, node, seen, now) or serves_base(lane, node, seen, now) for lane, node in leaving):
            yield "traffic_off", "no request starts on the candidate any more"
        if all(serves_base(lane, node, seen, now) for lane, node in leaving):
            yield "nodes_back", "every node is back on last good"
    if rollout.phase in (Phase.REVERTED, Phase.HELD, Phase.SUPERSEDED) and rollout.t0 is not None:
        yield "gone", "no process and no session of the candidate is left"


def zip_longest_waves(rollout: Rollout) -> list[list[tuple[Lane, tuple[str, ...]]]]:
    """The lanes' waves side by side: what leaves last good in wave 1, 2, and so on."""
    count = max(len(lane.waves) for lane in rollout.lanes)
    return [[(lane, lane.waves[i]) for lane in rollout.lanes if i < len(lane.waves)] for i in range(count)]


def serves_base(lane: Lane, node: str, seen: Observation, now: float) -> bool:
    return steps.on(steps.app_on(lane, node, seen, now), lane.base_digest)


def node_states(rollout: Rollout, seen: Observation, now: float) -> dict[str, str]:
    """Each node of the rollout in one word, one of ``NODE_STATES``."""
    return {node: node_state(lane, node, seen, now) for lane in rollout.lanes for node in lane.nodes}


def node_state(lane: Lane, node: str, seen: Observation, now: float) -> str:
    app = steps.app_on(lane, node, seen, now)
    if app is None:
        return "silent"
    wants = app.pending.digest if app.pending is not None and not app.frozen else app.good
    if app.running == lane.candidate.digest:
        return "candidate" if app.serves else ("starting" if wants == lane.candidate.digest else "stopping")
    if wants == lane.candidate.digest:
        return "starting"
    return "last good" if app.serves else "stopping"


def shares(rollout: Rollout, seen: Observation, now: float) -> dict[str, float]:
    """The candidate's share of the weight in each zone, as ``app/zone``, averaged over the zone's balancers."""
    found = {}
    for lane in rollout.lanes:
        for zone, nodes in lane.zones.items():
            views = [view for node in nodes if (view := seen.answers(node, now)) is not None and view.weights]
            total = on_candidate = 0
            for view in views:
                for server in nodes:
                    weight = max((view.weights.get(f"{backend}/{server}", 0) for backend in lane.backends), default=0)
                    if any(view.servers_up.get(f"{backend}/{server}", True) for backend in lane.backends):
                        total += weight
                        candidate = steps.on(steps.app_on(lane, server, seen, now), lane.candidate.digest)
                        on_candidate += weight if candidate else 0
            found[f"{lane.app}/{zone}"] = on_candidate / total if total else 0.0
    return found
