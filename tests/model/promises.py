"""The promises of a rollout, one function each, with the sentence it holds the world to.

Each looks at the world after one step and returns what breaks it, or None. The thirteenth is asked when all is healed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from controller.model import CLOSED, IN_FLIGHT, Phase, Rollout
from controller.rollout.standing import fold
from tests.model.chronicle import Before, Chronicle
from tests.model.world import BUDGET, SILENCE, World

Promise = Callable[[Before, World, Chronicle], str | None]


def gone_in_time(was: Before, world: World, told: Chronicle) -> str | None:
    """1. An unpromoted candidate is gone within deploy + watch + revert of T0, on every node that is alive."""
    for node in world.nodes.values():
        running = node.running
        if running is None or running in world.scenario.freeze or (node.app, running) in told.promoted:
            continue
        since = told.tried.get((node.app, running), float("-inf"))
        if world.now - since > BUDGET.limit:
            return f"{node.name} still runs {running}, {world.now - since:.0f} s after T0"
    return None


def closed_runs_nowhere(was: Before, world: World, told: Chronicle) -> str | None:
    """2. A closed rollout runs nowhere, and no weight is leased for a closed or settled one."""
    newest = told.newest
    for node in world.nodes.values():
        pending = node.state.pending
        if pending and pending.token in told.closed:
            return f"{node.name} holds {pending.token}, which is closed"
        if newest is None or not node.powered or node.name not in newest.nodes:
            continue
        lane = newest.lane_of(node.name)
        if newest.phase in CLOSED and node.running == lane.candidate.digest:
            return f"{node.name} runs {node.running} though rollout {newest.number} is {newest.phase}"
        if newest.phase in CLOSED or (newest.settled and not returning(world, told)):
            for lease in node.state.leases:
                if lease.token.startswith(f"{newest.token}.") and node.answers:
                    return f"{node.name} leases weights under {lease.token} though it is {newest.phase}"
    return None


def good_is_promoted(was: Before, world: World, told: Chronicle) -> str | None:
    """3. A node's last good changes only after the PROMOTED row."""
    for node in world.nodes.values():
        good = node.state.good
        if good is not None and (node.app, good) not in told.promoted:
            return f"{node.name} calls {good} good, which was never promoted"
    return None


def forward_has_its_row(was: Before, world: World, told: Chronicle) -> str | None:
    """4. Nothing goes forward without its row."""
    for node in world.nodes.values():
        pending = node.state.pending
        if pending and pending.token not in told.tokens:
            return f"{node.name} holds {pending.token}, of which the ledger knows nothing"
        for lease in node.state.leases:
            token = lease.token.partition(".")[0]
            if token not in told.tokens:
                return f"{node.name} leases weights under {lease.token}, of which the ledger knows nothing"
    return None


def confirmed_stays(was: Before, world: World, told: Chronicle) -> str | None:
    """5. A confirmed node goes back only when told."""
    for node in world.nodes.values():
        old, new = was.states[node.name].good, node.state.good
        if old == new:
            continue
        told_to = [verb for name, verb in world.obeyed if name == node.name and verb in ("confirm", "return")]
        if not told_to:
            return f"{node.name} went from {old} to {new} untold"
        if "confirm" not in told_to and not returning(world, told):
            return f"{node.name} went from {old} to {new} though nobody takes a promotion back"
    return None


def returning(world: World, told: Chronicle) -> bool:
    """Whether a promotion is being taken back, by the ledger or by what a controller had to spool."""
    spooled = [body["rollout"] for m in world.machines.values() for _, body, _ in m.spool.waiting()]
    phases = [(r["phase"], r["heading"]) for r in spooled]
    newest = told.newest
    phases += [(newest.phase, newest.heading)] if newest else []
    return any(Phase.RETURNING in pair or newest is None for pair in phases) or bool(newest and newest.phase in CLOSED)


def leases_end(was: Before, world: World, told: Chronicle) -> str | None:
    """6. A leased weight, and a promise, ends at its deadline by every clock, and no lease outlives the limit."""
    for message in world.messages:
        if BUDGET.limit + 1e-6 < message.means - message.sent < math.inf:
            return f"{message} asks for {message.means - message.sent:.0f} s"
    for node in world.nodes.values():
        if not node.answers:
            continue
        left = node.boottime(world.now)
        pending = node.state.pending
        ends = [(lease.token, lease.until) for lease in node.state.leases]
        ends += [(pending.token, pending.until)] if pending and not node.state.frozen else []
        if pending and not node.state.frozen and "." not in pending.token:
            t0 = told.tried.get((node.app, pending.digest), math.inf)
            if world.now + pending.until - left > t0 + BUDGET.end + 1e-6:
                return f"{node.name} holds {pending.token} until after T0 + deploy + watch + margin"
        for token, until in ends:
            meant = world.ends.get((node.name, token), float("-inf"))
            if until <= left or world.now + until - left > meant + 1e-6:
                return f"{token} on {node.name} lasts until {world.now + until - left:.0f}, not {meant:.0f}"
        if not node.state.leases and node.weights != node.base:
            return f"{node.name} has weights that nobody leases: {node.weights}"
    return None


def stale_does_nothing(was: Before, world: World, told: Chronicle) -> str | None:
    """7. A stale generation does nothing, on a node or in the ledger."""
    found = world.stale_acts or told.stale
    return found[0] if found else None


def promoted_means_judged(was: Before, world: World, told: Chronicle) -> str | None:
    """8. PROMOTED means a PASS beside control nodes."""
    for before, after in told.steps:
        if after.phase is Phase.PROMOTED and before is not None and before.phase in IN_FLIGHT:
            wrong = world.judged.get(after.number, "nobody looked")
            if wrong:
                return f"rollout {after.number} was promoted: {wrong}"
    return None


def never_two_reverts(was: Before, world: World, told: Chronicle) -> str | None:
    """9. Never two reverts: a rollout has at most one revert commit."""
    trailers = [commit.reverts for commit in world.branch if commit.reverts]
    twice = {token for token in trailers if trailers.count(token) > 1}
    return f"{sorted(twice)[0]} was reverted twice" if twice else None


def quarantine_holds(was: Before, world: World, told: Chronicle) -> str | None:
    """10. A quarantined digest is never rolled out again, whether the ledger or only a node knows of its harm."""
    for before, after in told.steps:
        if after.phase is not Phase.DEPLOYING or (before is not None and before.phase is Phase.DEPLOYING):
            continue
        for lane in after.lanes:
            key = (lane.app, lane.candidate.digest)
            if told.quarantine.get(key, after.number) != after.number:
                return f"{key[1]} is rolled out again; rollout {told.quarantine[key]} quarantined it"
            known = told.harmful_since.get(key, float("inf"))
            if key[1] not in told.forgiven and known < began(world, after) - SILENCE:
                return f"{key[1]} is rolled out again, though a node remembers its harm"
    return None


def began(world: World, rollout: Rollout) -> float:
    """A rollout's T0 in true time."""
    offset = next((c.machine.offset for c in world.controllers.values() if c.clock == rollout.clock), 0.0)
    return (rollout.t0 or 0.0) - offset


def door_stays_shut(was: Before, world: World, told: Chronicle) -> str | None:
    """11. Behind a one-way door no node goes back."""
    for node in world.nodes.values():
        old, new = was.states[node.name], node.state
        had = old.pending.digest if old.pending else old.good
        has = new.pending.digest if new.pending else new.good
        if had in world.scenario.freeze and had != has:
            return f"{node.name} went back from {had} to {has}"
    return None


EDGES: dict[Phase, set[Phase]] = {
    Phase.PENDING: {Phase.DEPLOYING, *CLOSED},
    Phase.DEPLOYING: {Phase.WATCHING, Phase.REVERTING, Phase.STUCK},
    Phase.WATCHING: {Phase.PROMOTED, Phase.REVERTING, Phase.STUCK},
    Phase.REVERTING: {Phase.STUCK, *CLOSED},
    Phase.RETURNING: {Phase.STUCK, *CLOSED},
    Phase.PROMOTED: {Phase.RETURNING, Phase.STUCK},
    Phase.REVERTED: set(),
    Phase.SUPERSEDED: set(),
    Phase.HELD: set(),
}
FROM_STUCK: dict[Phase | None, set[Phase]] = {
    Phase.REVERTING: set(CLOSED),
    Phase.RETURNING: set(CLOSED),
    Phase.PROMOTED: {Phase.PROMOTED, Phase.RETURNING},
    None: {Phase.PROMOTED},
}


def promotion_is_left_by_returning(was: Before, world: World, told: Chronicle) -> str | None:
    """12. PROMOTED is left only by RETURNING, a closed rollout by nothing; no row goes where no phase leads."""
    if told.again:
        return told.again[0]
    for before, after in told.steps:
        if before is None or (before.phase is after.phase and before.heading is after.heading):
            continue
        allowed = FROM_STUCK[before.heading] if before.phase is Phase.STUCK else EDGES[before.phase]
        if after.phase not in allowed:
            return f"rollout {after.number} went from {before.phase} to {after.phase}"
        if after.phase is Phase.STUCK and before.phase is Phase.PROMOTED and after.heading is not Phase.PROMOTED:
            return f"rollout {after.number} was promoted and is stuck heading for {after.heading}"
    return None


def starts_from_last_good(was: Before, world: World, told: Chronicle) -> str | None:
    """Base first: a rollout starts only when every node answers, is on last good and holds nothing."""
    for before, after in told.steps:
        if after.phase is Phase.DEPLOYING and before is not None and before.phase is Phase.PENDING:
            wrong = world.started.get(after.number, "nobody looked")
            if wrong:
                return f"rollout {after.number} was started: {wrong}"
    return None


def traffic_first(was: Before, world: World, told: Chronicle) -> str | None:
    """Traffic leaves a node before its candidate goes, and comes back only after."""
    newest = told.newest
    if newest is None or newest.phase is not Phase.REVERTING:
        return None
    for lane in newest.lanes:
        for name in lane.nodes:
            ended = newest.lease_token in world.nodes[name].state.ended
            still = [peer for peer in lane.peers(name) if world.nodes[peer].running == lane.candidate.digest]
            if ended and still:
                return f"{name} gives up its leased weights though {still[0]} still runs the candidate"
    return None


def harm_is_known(was: Before, world: World, told: Chronicle) -> str | None:
    """Harm on nodes: a rollout closes as REVERTED only when every node that had left it knows that it was harm."""
    for before, after in told.steps:
        if after.phase is not Phase.REVERTED or (before is not None and before.phase is Phase.REVERTED):
            continue
        for lane in (lane for lane in after.lanes if lane.app in after.guilty):
            for name in lane.nodes:
                state = world.nodes[name].state
                left = state.went_back
                if left and left.token == after.token and lane.candidate.digest not in state.harmful:
                    return f"{name} left {after.token} ({left.kind}) and does not know that it was harm"
    return None


def whole_again(world: World, told: Chronicle) -> str | None:
    """13. After healing, the fleet is on one release that equals ledger and git, or a page says why not."""
    standing = fold(world.ledger.rows())
    rollout = standing.rollout
    if rollout is not None and rollout.phase is Phase.STUCK and rollout.heading is None:
        return None  # frozen behind a one-way door: a page was sent, a person decides
    if standing.open_rollout is not None:
        why = standing.open_rollout.why
        approval = rollout is not None and rollout.phase is Phase.PENDING and "an approval" in why
        return None if approval else f"rollout {standing.open_rollout.number} is {standing.open_rollout.phase}: {why}"
    for node in world.nodes.values():
        promoted = standing.promoted.get(node.app)
        want, state = promoted.digest if promoted else None, node.state
        if not (node.running == state.good == want and (node.ready or want is None) and state.pending is None):
            return f"{node.name} runs {node.running} with last good {state.good}, and the ledger says {want}"
        if state.leases or node.weights != node.base:
            return f"{node.name} still leases weights: {node.weights}"
    leader = next((c for c in world.controllers.values() if c.runs and c.record.standing == standing), None)
    if leader is None:
        return "no controller stands where the ledger does"
    for app, wanted in world.release().apps.items():
        have = standing.promoted.get(app)
        if (have is None or have.digest != wanted.digest) and not (leader.plan and app in leader.plan.waits):
            return f"git wants {app} {wanted.digest}, {have and have.digest} runs, and nothing says why"
    return None


PROMISES: tuple[Promise, ...] = (
    gone_in_time,
    closed_runs_nowhere,
    good_is_promoted,
    forward_has_its_row,
    confirmed_stays,
    leases_end,
    stale_does_nothing,
    promoted_means_judged,
    never_two_reverts,
    quarantine_holds,
    door_stays_shut,
    promotion_is_left_by_returning,
    starts_from_last_good,
    traffic_first,
    harm_is_known,
)
