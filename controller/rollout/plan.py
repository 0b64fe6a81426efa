"""What would be rolled out next, and why not the rest.

Pure: from where an environment stands, what its branch wants and what its fleet looks like to the next Rollout. The
loop starts it; ``turnabout plan`` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.model import AppRelease, Cause, Check, Lane, Phase, Release, Rollout
from controller.rollout.standing import Standing
from environments import Environment, Fleet

BLIND_TRIES = 2
"""A release that was given up without harm is tried once more, then held for a person."""
LONGEST_REST = 600.0
"""Seconds after which a release that met an incident is judged again at the latest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``rollout`` is what would start now, or None; ``waits`` says, by application, why it would not."""

    rollout: Rollout | None
    waits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on besides ledger and branch."""

    environment: Environment
    backends: Mapping[str, tuple[str, ...]]
    """Application to the balancer's backends that lead to it."""
    checks: Mapping[str, tuple[Check, ...]]
    """Release digest to the checks its manifest states."""
    clock: str
    generation: int
    closed_window: str | None


def plan(standing: Standing, release: Release, ground: Ground, now: float) -> Plan:
    """The next rollout of ``release``, of all applications that want something new and may have it."""
    waits: dict[str, str] = {}
    lanes = []
    said = approval(standing, release)
    for app, wanted in sorted(release.apps.items()):
        fleet = ground.environment.fleets.get(app)
        base = standing.promoted.get(app)
        if fleet is None or (base is not None and base.digest == wanted.digest):
            continue
        reason = (
            held(standing, wanted, release.environment)
            or resting(standing, wanted, ground, now)
            or stopped(standing, ground, said)
        )
        if reason:
            waits[app] = reason
        else:
            lanes.append(lane(wanted, base, fleet, ground))
    if not lanes or standing.open_rollout is not None:
        return Plan(None, waits)
    last = standing.rollout
    rollout = Rollout(
        number=last.number + 1 if last else 1,
        environment=ground.environment.name,
        commit=release.commit,
        subject=release.subject,
        lanes=tuple(lanes),
        budget=ground.environment.budget,
        generation=ground.generation,
        clock=ground.clock,
        judge=ground.environment.judge,
        needs_approval=ground.environment.require_approval,
        phase=Phase.PENDING,
        entered_at=now,
        why=f"Commit {release.commit[:7]} wants {', '.join(lane.app for lane in lanes)} to change.",
        short="seen",
        seen_at=now,
        attempt=1 + max(standing.blind.get(lane.candidate.digest, 0) for lane in lanes),
        lets_finish=last is not None and last.cause is Cause.SUPERSEDED,
        approved=said or (last.approved if last is not None and same(last, lanes) else None),
        window=ground.closed_window,
        forgiven=tuple(sorted(standing.forgiven & {lane.candidate.digest for lane in lanes})),
        orders_read=max((order.row for order in standing.orders), default=last.orders_read if last else 0),
    )
    return Plan(rollout, waits)


def approval(standing: Standing, release: Release) -> str | None:
    """Who let exactly this commit begin, whatever freeze window is open, and why."""
    for order in reversed(standing.orders):
        if order.verb == "approve" and order.subject == release.commit:
            return f"{order.who}: {order.reason}"
    return None


def same(last: Rollout, lanes: list[Lane]) -> bool:
    """The same releases again: what a person approved stays approved."""
    return [lane.candidate.digest for lane in last.lanes] == [lane.candidate.digest for lane in lanes]


def held(standing: Standing, wanted: AppRelease, environment: str) -> str | None:
    """Why this very release is not tried, and the command that lets it be."""
    command = f'turnabout retry {environment} {wanted.digest.removeprefix("sha256:")[:12]} --reason "WHY"'
    bad = standing.quarantine.get(wanted.digest)
    if bad is not None:
        clear = command.replace("retry", "quarantine clear")
        return f"quarantined by rollout {bad.rollout}, which only {clear} lifts: {bad.why}"
    if wanted.digest in standing.aborted:
        return f"taken back by an operator; {command} tries it again"
    tries = standing.blind.get(wanted.digest, 0)
    if tries >= BLIND_TRIES:
        return f"given up {tries} times without a clear verdict; {command} tries it again"
    return None


def resting(standing: Standing, wanted: AppRelease, ground: Ground, now: float) -> str | None:
    """Why a release that met an incident is not judged again just yet: it rests twice as long each time.

    What is broken is outside it, so nobody but the rest itself can say when that is over; another release, which may
    be what mends it, need not wait.
    """
    incident = standing.incidents.get(wanted.digest)
    if incident is None or incident.clock != ground.clock:
        return None
    rest = min(LONGEST_REST, ground.environment.budget.watch * 2 ** min(incident.times - 1, 16))
    if now - incident.at >= rest:
        return None
    command = f"turnabout retry {ground.environment.name}"
    return f"something outside it is broken: judged again {rest:.0f} s later, or at once after {command}"


def stopped(standing: Standing, ground: Ground, approved: str | None) -> str | None:
    """Why nothing starts in this environment just now; an approval opens a freeze window, no hold of a person's."""
    if standing.hold is not None:
        return f"held by {standing.hold.who}: {standing.hold.reason}"
    if ground.closed_window is not None and approved is None:
        return f"the freeze window {ground.closed_window!r} is open; turnabout approve lets it begin all the same"
    return None


def lane(wanted: AppRelease, base: AppRelease | None, fleet: Fleet, ground: Ground) -> Lane:
    """What one application's part would be. Last good's checks rule: a candidate may add checks, not weaken them."""
    zones: dict[str, tuple[str, ...]] = {}
    for zone, node in fleet.node_names():
        zones[zone] = (*zones.get(zone, ()), node)
    waves = tuple(fleet.wave_nodes(i) for i in range(len(fleet.waves)))
    if base is None:  # nothing to compare with and nothing to spare: the first release goes everywhere
        waves = (tuple(node for nodes in zones.values() for node in nodes),)
    return Lane(
        wanted.app, wanted, base, zones, waves, ground.backends[wanted.app], checks(wanted, base, ground.checks)
    )  # fmt: skip


def checks(wanted: AppRelease, base: AppRelease | None, of: Mapping[str, tuple[Check, ...]]) -> tuple[Check, ...]:
    kept = of.get(base.digest, ()) if base is not None else ()
    names = {check.name for check in kept}
    return (*kept, *(check for check in of.get(wanted.digest, ()) if check.name not in names))
