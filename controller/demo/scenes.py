"""The seven scenes of the demo. Each does one thing to the world, waits for what was promised, and says what it saw."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from controller.clock import BootClock
from controller.commands.orders import order
from controller.demo.changes import BAD, BAD_WITHOUT_GIT, GOOD, IN_FLIGHT, Change
from controller.demo.stage import Broken, Stage
from controller.demo.world import ENVIRONMENTS, TRAFFIC, begin
from controller.keys import revert_key
from controller.model import Lane, Phase, Rollout
from controller.sources.commits import NotNeeded
from controller.sources.git import GitSource
from controller.sources.releases import owned_by

PATIENCE = 90.0
"""Seconds for what has no promise of its own: starting everything, copying bits on a busy machine."""
LATE = 2.0
"""Seconds after a node's deadline by which it is back on last good, whoever is dead."""


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    play: Callable[[Stage], str]
    """Raises Broken when a promise did not hold."""


def everything_starts(stage: Stage) -> str:
    world = stage.world = begin(stage.root, stage.sources)
    stage.open_chronicles()
    world.start_controller()
    first = world.forge.head("dev")
    for environment in ENVIRONMENTS:
        stage.watched = (environment, first)
        stage.wait(f"Seeing the first commit in {environment}", PATIENCE, lambda e=environment: stage.rollout(e, first))  # type: ignore[misc]
        order(world.site, environment, "approve", "the first release has nothing to be compared with")
    for environment in ENVIRONMENTS:
        stage.watched = (environment, first)
        promoted(stage, environment, first, PATIENCE)
    return f"mongod, {world.nodes} nodes each with its HAProxy, three environments, a git server"


def traffic_flows(stage: Stage) -> str:
    world = stage.here
    world.seed()
    world.start_traffic()

    def flows() -> bool:
        seen = world.counted().get("environments", {})
        apps = [seen.get(name, {}).get(app, {}) for name in ENVIRONMENTS for app in ("mqtt", "c360")]
        acked = [seen.get(name, {}).get("mqtt", {}).get("messages", {}).get("acked", 0) for name in ENVIRONMENTS]
        return all(app.get("requests", 0) >= 60 for app in apps) and all(acked)

    stage.wait("Traffic in every environment", PATIENCE, lambda: flows() or None)
    devices = sum(int(rates.split(":")[0]) for rates in TRAFFIC.values())
    a_second = sum(float(rate) for rates in TRAFFIC.values() for rate in rates.split(":")[2:])
    return f"{devices} devices publish, {a_second:.0f} requests a second, each client counts its own harm"


def a_good_change(stage: Stage) -> str:
    """Through dev and stage to prod, and the same bits all the way."""
    world = stage.here
    said, digests = [], set()
    commit, pushed = pushed_now(stage, "dev", GOOD)
    for environment, before in (("dev", None), ("stage", "dev"), ("prod", "stage")):
        if before is not None:
            pushed = time.time()
            done = repository(stage).promote(before, environment, owned_by(environment))
            if isinstance(done, NotNeeded):
                raise Broken(f"Promoting {before} to {environment} had nothing to promote: {done.why}")
            commit = done.commit
        stage.watched = (environment, commit)
        rollout = promoted(stage, environment, commit)
        lane = lane_of(rollout, GOOD.app)
        digests.add(lane.candidate.artifact_digest)
        said.append(f"{environment} {(rollout.verdict_at or 0.0) - (rollout.t0 or 0.0):.0f} s")
        record(stage, "good change", environment, commit, rollout, pushed)
    if len(digests) != 1:
        raise Broken(f"The environments did not promote the same bits: {', '.join(sorted(digests))}.")
    if not world.controller_alive():
        raise Broken("The controller has ended by itself.")
    return f"promoted in {', '.join(said)}; the same bits, never rebuilt"


def a_bad_change(stage: Stage) -> str:
    commit, pushed = pushed_now(stage, "prod", BAD)
    rollout = reverted(stage, commit)
    head = revert_commit(stage, rollout)
    lane = lane_of(rollout, BAD.app)
    if lane.candidate.digest not in stage.chronicles["prod"].standing.quarantine:
        raise Broken("The bad release is not quarantined.")
    record(stage, "bad change", "prod", commit, rollout, pushed)
    return f"reverted: {rollout.short}; revert commit {head[:7]}"


def the_controller_is_killed(stage: Stage) -> str:
    """In mid-canary, and it stays dead: the nodes go back by themselves; then it comes back and tries once more."""
    world, clock = stage.here, BootClock()
    commit, pushed = pushed_now(stage, "prod", IN_FLIGHT)

    def in_mid_canary() -> Rollout | None:
        rollout = stage.rollout("prod", commit)
        return rollout if rollout is not None and rollout.phase is Phase.WATCHING else None

    rollout = stage.wait("Watching the canary", PATIENCE, in_mid_canary)
    lane = lane_of(rollout, IN_FLIGHT.app)
    world.kill_controller()
    assert rollout.t0 is not None
    deadline = rollout.t0 + rollout.budget.end
    seconds = deadline - clock.now() + LATE + 10
    stage.wait(
        "The nodes' own return",
        seconds,
        lambda: all_run(stage, "prod", lane.nodes, lane.base_digest) or None,
        every=0.25,
    )
    late = clock.now() - deadline
    if late > LATE:
        raise Broken(f"The nodes were back {late:.1f} s after their deadline; {LATE:.0f} s were promised.")
    served = stage.by_release("prod", lane.app, lane.candidate.digest)
    world.start_controller()
    retried = promoted(stage, "prod", commit, PATIENCE)
    if retried.number == rollout.number:
        raise Broken("The rollout that was in flight was promoted without being judged again.")
    record(stage, "killed", "prod", commit, rollout, pushed)
    stage.columns["killed"] |= {
        "verdict_s": None,
        "nodes_back_s": max(0.0, late),
        "harmed": float(served.get("harmed", 0)),
    }
    stage.shown.append(("prod", retried.number))
    return f"the nodes went back alone, {max(0.0, late):.1f} s after their deadline; then retried and promoted"


def the_git_server_is_down(stage: Stage) -> str:
    world = stage.here
    commit, pushed = pushed_now(stage, "prod", BAD_WITHOUT_GIT)

    def under_way() -> bool:
        rollout = stage.rollout("prod", commit)
        return rollout is not None and rollout.t0 is not None

    stage.wait("Beginning the rollout", PATIENCE, lambda: under_way() or None)
    world.kill_git()
    rollout = reverted(stage, commit)
    if stage.chronicles["prod"].read().git(rollout.number) is not None:
        raise Broken("Git was told although its server is dead.")
    world.start_git()
    head = revert_commit(stage, rollout)
    record(stage, "no git", "prod", commit, rollout, pushed)
    return f"reverted at once without it; the revert commit {head[:7]} followed when it was back"


def figures_and_report(stage: Stage) -> str:
    world = stage.here
    world.stop_traffic()
    stage.fate = world.fate()
    lost = {name: fate["acked_lost"] for name, fate in stage.fate.items()}
    for column in stage.columns.values():
        column["acked_lost"] = float(sum(lost.values()))
    if any(lost.values()):
        raise Broken(f"Acknowledged messages are lost: {json.dumps(lost)}.")
    acked = sum(fate["acked"] for fate in stage.fate.values())
    return f"{acked:,} acknowledged messages looked for, none lost; report.html"


SCENES = (
    Scene("everything starts", everything_starts),
    Scene("traffic flows", traffic_flows),
    Scene("a good change", a_good_change),
    Scene("a bad change", a_bad_change),
    Scene("controller killed", the_controller_is_killed),
    Scene("git server down", the_git_server_is_down),
    Scene("figures and report", figures_and_report),
)


# ---- what scenes have in common -----------------------------------------------------------------------------------


def pushed_now(stage: Stage, branch: str, change: Change) -> tuple[str, float]:
    """Merge a change: its commit, and when its push began (UTC)."""
    commit, began = stage.here.forge.change(branch, change)
    stage.watched = (branch, commit)
    return commit, began


def promoted(stage: Stage, environment: str, commit: str, seconds: float = PATIENCE) -> Rollout:
    """The rollout of ``commit``, promoted and settled on every node."""

    def look() -> Rollout | None:
        rollout = stage.rollout(environment, commit)
        if rollout is not None and rollout.phase in (Phase.REVERTED, Phase.SUPERSEDED, Phase.STUCK):
            raise Broken(f"{environment} did not promote {commit[:7]}: {rollout.phase}, {rollout.why}")
        return rollout if rollout is not None and rollout.settled else None

    return stage.wait(f"Promoting {commit[:7]} in {environment}", seconds, look)


def reverted(stage: Stage, commit: str) -> Rollout:
    """The rollout of a bad commit, gone within the sum of its budgets; anything else breaks the promise."""

    def look() -> Rollout | None:
        rollout = stage.rollout("prod", commit)
        if rollout is not None and rollout.phase in (Phase.PROMOTED, Phase.SUPERSEDED, Phase.HELD):
            raise Broken(f"The bad change ended {rollout.phase}: {rollout.why}")
        return rollout if rollout is not None and rollout.phase is Phase.REVERTED else None

    rollout = stage.wait(f"Reverting {commit[:7]}", PATIENCE, look)
    assert rollout.t0 is not None
    gone_s = rollout.entered_at - rollout.t0
    if gone_s > rollout.budget.limit:
        raise Broken(f"It was gone {gone_s:.1f} s after T0; {rollout.budget.limit:.0f} s were promised.")
    lane = rollout.lanes[0]
    if not all_run(stage, "prod", lane.nodes, lane.base_digest):
        raise Broken("The ledger says REVERTED, and a node runs something else than last good.")
    return rollout


def revert_commit(stage: Stage, rollout: Rollout) -> str:
    """The revert commit that git was told of: it is the branch's head, and signed by the revert key."""
    forge = stage.here.forge
    git = stage.wait("The revert commit", 40, lambda: stage.chronicles["prod"].read().git(rollout.number))
    head = forge.remote_head("prod")
    if git.body["commit"] != head:
        raise Broken(f"prod's head is {head[:7]}, not the revert commit {git.body['commit']}.")
    forge.verify("prod", revert_key(stage.here.site.keys))
    return head


def record(stage: Stage, story: str, environment: str, commit: str, rollout: Rollout, pushed: float) -> None:
    """A column of figures: the controller's from its ledger, the harm and the exposure from the clients themselves."""
    chronicle = stage.chronicles[environment].read()
    figures = chronicle.story(rollout.number).figures
    seen_at = chronicle.seen_at(commit)
    lane = rollout.lanes[0]
    time.sleep(1.1)  # the clients write what they counted once a second
    client = stage.by_release(environment, lane.app, lane.candidate.digest)
    first: float | None = client.get("first_started")
    last: float | None = client.get("last_started")
    if rollout.phase is Phase.REVERTED and last is not None and rollout.verdict_at is not None:
        off_at = rollout.verdict_at + (figures.traffic_off_s or 0.0)
        if last > off_at + 0.05:
            late = last - off_at
            raise Broken(f"A request started on the candidate {late:.2f} s after traffic was off.")
    reverted_now = rollout.phase is Phase.REVERTED
    exposed = last - first if reverted_now and first is not None and last is not None else None
    stage.columns[story] = {
        "seen_s": max(0.0, seen_at - pushed) if seen_at is not None else None,
        "deploy_s": figures.deploy_s,
        "verdict_s": figures.verdict_s,
        "traffic_off_s": figures.traffic_off_s,
        "nodes_back_s": figures.nodes_back_s,
        "harmed": float(client.get("harmed", 0)),
        "acked_lost": None,
        "exposure_s": exposed,
    }
    stage.shown.append((environment, rollout.number))


def lane_of(rollout: Rollout, app: str) -> Lane:
    return next(lane for lane in rollout.lanes if lane.app == app)


def all_run(stage: Stage, environment: str, nodes: tuple[str, ...], digest: str | None) -> bool:
    """Asked of the nodes themselves, not of the controller: each runs ``digest`` and nothing else, ready."""
    for node in stage.here.platform.outputs[environment].nodes:
        if node.name not in nodes:
            continue
        request = urllib.request.Request(node.observe_url, headers={"Authorization": f"Bearer {node.observe_token}"})
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                app = json.load(answer)["apps"][node.app]
        except OSError:
            return False
        if app["running"] != digest or app["pending"] is not None or not app["ready"]:
            return False
    return True


def repository(stage: Stage) -> GitSource:
    url = stage.here.platform.outputs["dev"].repository
    return GitSource(url, stage.root / "promoter.git", revert_key(stage.here.site.keys))
