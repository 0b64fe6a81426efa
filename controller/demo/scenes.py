"""The seven scenes of the demo. Each does one thing to the world, waits for what was promised, and says what it saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.clock import BootClock
from controller.commands.orders import order
from controller.demo.asking import all_run, states
from controller.demo.changes import BAD, BAD_WITHOUT_GIT, GOOD, IN_FLIGHT, Change
from controller.demo.stage import Broken, Stage, Unmet
from controller.demo.world import ENVIRONMENTS, TRAFFIC, begin
from controller.faces.alone import Alone
from controller.keys import revert_key
from controller.model import Lane, Phase, Rollout
from controller.plan import BLIND_TRIES
from controller.sources.commits import NotNeeded
from controller.sources.git import GitSource
from controller.sources.releases import owned_by

PATIENCE = 90.0
"""Seconds for what has no promise of its own: starting everything, copying bits on a busy machine."""
LATE = 2.0
"""Seconds after the verdict by which no request starts on the candidate, and that a look may come late."""
ON_TRIAL = (Phase.DEPLOYING, Phase.WATCHING, Phase.REVERTING)
MET = 20
"""Requests that clients have sent to the candidate when the controller is killed: it serves, it does not only run."""


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    play: Callable[[Stage], str]
    """Raises Broken when a promise did not hold, Unmet when something else did not happen."""


def everything_starts(stage: Stage) -> str:
    world = stage.world = begin(stage.root, stage.sources, stage.tell)
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


def left_alone(stage: Stage, rollout: Rollout, lane: Lane) -> tuple[float, float]:
    """Watch the nodes themselves until all are back: how late after their deadline, and how long after T0."""
    assert rollout.t0 is not None
    clock, killed_at, t0 = BootClock(), time.time(), rollout.t0
    deadline = t0 + rollout.budget.end
    digest = lane.candidate.digest
    met = int(stage.by_release("prod", lane.app, digest).get("requests", 0))
    stage.say(
        f"the controller is dead, killed with {met} requests answered by the candidate; "
        f"the nodes' own deadline is in {deadline - clock.now():.0f} s"
    )
    while True:
        seen = states(stage.here.platform.outputs["prod"], lane)
        now = clock.now()
        harmed = int(stage.by_release("prod", lane.app, digest).get("harmed", 0))
        stage.alone = Alone("prod", killed_at, met, harmed, now - t0, rollout.budget.end, lane.zones, seen)
        if all_run(stage.here.platform.outputs["prod"], lane.nodes, lane.base_digest):
            return max(0.0, clock.now() - deadline), clock.now() - t0
        if now > t0 + rollout.budget.limit:
            where = ", ".join(f"{node} {state}" for node, state in seen.items())
            raise Broken(f"The nodes are not back {rollout.budget.limit:.0f} s after T0, alone: {where}.")
        time.sleep(0.25)


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


# ---- what scenes have in common -----------------------------------------------------------------------------------


def pushed_now(stage: Stage, branch: str, change: Change) -> tuple[str, float]:
    """Merge a change: its commit, and when its push began (UTC)."""
    commit, began = stage.here.forge.change(branch, change)
    stage.watched = (branch, commit)
    return commit, began


def tries(attempts: tuple[Rollout, ...]) -> str:
    """That a change was held before it was promoted, and why; empty when the first try was promoted."""
    if len(attempts) < 2:
        return ""
    return f" (held once: {attempts[0].short}; promoted at the second try)"


def gone_in_time(rollout: Rollout | None) -> None:
    """Raises Broken when a candidate is on trial, or on its way back, for longer than was promised."""
    if rollout is None or rollout.t0 is None or rollout.phase not in ON_TRIAL:
        return
    served = BootClock().now() - rollout.t0
    if served > rollout.budget.limit + LATE:
        limit = f"{rollout.budget.limit:.0f} s"
        raise Broken(
            f"{rollout.environment} has {rollout.commit[:7]} on trial for {served:.0f} s; {limit} are allowed."
        )


def promoted(stage: Stage, environment: str, commit: str, seconds: float = PATIENCE, after: int = 0) -> Rollout:
    """The rollout of ``commit``, promoted and settled on every node; a new try, with a number ``after`` another's."""

    def look() -> Rollout | None:
        rollout = stage.rollout(environment, commit)
        if rollout is not None and rollout.number <= after:
            if rollout.phase is Phase.PROMOTED:
                raise Broken("The rollout that was in flight was promoted without being judged again.")
            return None
        gone_in_time(rollout)
        if rollout is not None and (
            rollout.phase in (Phase.REVERTED, Phase.SUPERSEDED, Phase.STUCK)
            or (rollout.phase is Phase.HELD and rollout.attempt >= BLIND_TRIES)
        ):
            held = "HELD for the second time" if rollout.phase is Phase.HELD else rollout.phase
            raise Unmet(f"{environment} did not promote {commit[:7]}: {held}. {rollout.why}")
        return rollout if rollout is not None and rollout.settled else None

    return stage.wait(f"Promoting {commit[:7]} in {environment}", seconds, look)


def reverted(stage: Stage, commit: str) -> Rollout:
    """The rollout of a bad commit, gone within the sum of its budgets; anything else breaks the promise."""

    def look() -> Rollout | None:
        rollout = stage.rollout("prod", commit)
        gone_in_time(rollout)
        if rollout is not None and rollout.phase is Phase.PROMOTED:
            raise Broken(f"The bad change was promoted: {rollout.why}")
        if rollout is not None and rollout.phase in (Phase.SUPERSEDED, Phase.HELD):
            raise Unmet(f"The bad change was taken back, but without proof of harm: {rollout.phase}. {rollout.why}")
        return rollout if rollout is not None and rollout.phase is Phase.REVERTED else None

    rollout = stage.wait(f"Reverting {commit[:7]}", PATIENCE, look)
    assert rollout.t0 is not None
    stage.say(f"prod is back on last good: {rollout.why}")
    gone_s = rollout.entered_at - rollout.t0
    if gone_s > rollout.budget.limit:
        raise Broken(f"It was gone {gone_s:.1f} s after T0; {rollout.budget.limit:.0f} s were promised.")
    lane = rollout.lanes[0]
    if not all_run(stage.here.platform.outputs["prod"], lane.nodes, lane.base_digest):
        raise Broken("The ledger says REVERTED, and a node runs something else than last good.")
    return rollout


def revert_commit(stage: Stage, rollout: Rollout) -> str:
    """The revert commit that git was told of: it is the branch's head, and signed by the revert key."""
    forge = stage.here.forge
    git = stage.wait("The revert commit", 40, lambda: stage.chronicles["prod"].read().git(rollout.number))
    head = forge.remote_head("prod")
    if git.body["commit"] != head:
        raise Broken(f"prod's head is {head[:7]}, not the revert commit {git.body['commit']}.")
    try:
        forge.verify("prod", revert_key(stage.here.site.keys))
    except RuntimeError as error:
        raise Broken(f"The revert commit {head[:7]} is not signed by the revert key: {error}") from error
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
    gone = rollout.phase is Phase.REVERTED
    stage.columns[story] = {
        "seen_s": max(0.0, seen_at - pushed) if seen_at is not None else None,
        "deploy_s": figures.deploy_s,
        "verdict_s": figures.verdict_s,
        "traffic_off_s": figures.traffic_off_s,
        "nodes_back_s": figures.nodes_back_s,
        "harmed": float(client.get("harmed", 0)),
        "acked_lost": None,
        "exposure_s": figures.exposure_s,
        "met_s": last - first if gone and first is not None and last is not None else None,
    }


def lane_of(rollout: Rollout, app: str) -> Lane:
    return next(lane for lane in rollout.lanes if lane.app == app)


def repository(stage: Stage) -> GitSource:
    url = stage.here.platform.outputs["dev"].repository
    return GitSource(url, stage.root / "promoter.git", revert_key(stage.here.site.keys))
