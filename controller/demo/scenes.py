"""The seven scenes of the demo. Each does one thing to the world, waits for what was promised, and says what it saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.commands.orders import order
from controller.demo.changes import BAD, BAD_WITHOUT_GIT, GOOD, IN_FLIGHT
from controller.demo.outcomes import (
    PATIENCE,
    lane_of,
    left_alone,
    promoted,
    pushed_now,
    record,
    revert_commit,
    reverted,
    tries,
)
from controller.demo.stage import Broken, Stage, Unmet
from controller.demo.world import ENVIRONMENTS, TRAFFIC, begin
from controller.keys import revert_key
from controller.model import Phase, Rollout
from controller.sources.commits import NotNeeded
from controller.sources.git import GitSource
from controller.sources.releases import owned_by

MET = 20
"""Requests that clients have sent to the candidate when the controller is killed: it serves, it does not only run."""


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    play: Callable[[Stage], str]
    """Raises Broken when a promise did not hold, Unmet when something else did not happen."""


def everything_starts(stage: Stage) -> str:
    world = stage.world = begin(stage.root, stage.sources, stage.tell, stage.places)
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
    where = world.platform.places.told
    return f"mongod, {world.nodes} nodes each with its HAProxy{where}, three environments, a git server"


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
                raise Unmet(f"Promoting {before} to {environment} had nothing to promote: {done.why}")
            commit = done.commit
        stage.watched = (environment, commit)
        rollout = promoted(stage, environment, commit)
        lane = lane_of(rollout, GOOD.app)
        digests.add(lane.candidate.artifact_digest)
        seconds = f"{environment} {(rollout.verdict_at or 0.0) - (rollout.t0 or 0.0):.0f} s"
        said.append(seconds + tries(stage.chronicles[environment].attempts(commit)))
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
    """While the canary answers clients, and it stays dead: the nodes go back by themselves; then it tries once more."""
    world = stage.here
    commit, pushed = pushed_now(stage, "prod", IN_FLIGHT)

    def answers_clients() -> Rollout | None:
        rollout = stage.rollout("prod", commit)
        if rollout is None or rollout.phase is not Phase.WATCHING:
            return None
        digest = lane_of(rollout, IN_FLIGHT.app).candidate.digest
        return rollout if stage.by_release("prod", IN_FLIGHT.app, digest).get("requests", 0) >= MET else None

    rollout = stage.wait("A canary that answers clients", PATIENCE, answers_clients, every=0.25)
    lane = lane_of(rollout, IN_FLIGHT.app)
    world.kill_controller()
    late, gone = left_alone(stage, rollout, lane)
    time.sleep(1.1)  # the clients write what they counted once a second
    met = stage.by_release("prod", lane.app, lane.candidate.digest)
    world.start_controller()
    stage.alone = None
    promoted(stage, "prod", commit, PATIENCE, after=rollout.number)
    record(stage, "killed", "prod", commit, rollout, pushed)
    stage.columns["killed"] |= {
        "verdict_s": None, "traffic_off_s": None, "nodes_back_s": None, "late_s": late, "exposure_s": gone,
        "met_s": met["last_started"] - met["first_started"], "harmed": float(met["harmed"]),
    }  # fmt: skip
    met_by = f"{met['requests']} requests met it, {met['harmed'] or 'none'} harmed"
    return f"the nodes went back alone, {late:.1f} s after their deadline; {met_by}; then retried and promoted"


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
        where = ", ".join(f"{count} in {name}" for name, count in lost.items() if count)
        raise Broken(f"Acknowledged messages are lost: {where}.")
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


def repository(stage: Stage) -> GitSource:
    url = stage.here.platform.outputs["dev"].repository
    return GitSource(url, stage.root / "promoter.git", revert_key(stage.here.site.keys))
