"""The roads that releases took through the environments, and what one runs that never came by the one before it.

Pure. An environment promotes from another; so the artefacts that it ran for good must be a subsequence of those that
the other ran. Only the order counts: no clock of one is held against a clock of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller.drift.finding import Difference, Finding, Kind, Remedy, Severity, State, Stop
from controller.model import Phase
from controller.rollout import rows
from controller.rollout.rows import Row

LAST = 12
"""How many of an environment's last promotions are held against the road before it."""


Road = tuple[Stop, ...]


def roads(history: Iterable[Row]) -> dict[str, Road]:
    """Application to what it ran for good, oldest first."""
    found: dict[str, list[Stop]] = {}
    done: set[tuple[int, str]] = set()
    for row in history:
        if row.kind != rows.ROLLOUT:
            continue
        rollout = row.body["rollout"]
        number, phase = rollout["number"], rollout["phase"]
        if phase not in (Phase.PROMOTED, Phase.RETURNING) or (number, phase) in done:
            continue
        done.add((number, phase))
        for lane in rollout["lanes"]:
            release = lane["candidate"] if phase == Phase.PROMOTED else lane["base"]
            if release is not None:
                stop = Stop(
                    release["artifact_digest"], release["commit"], release["subject"], number, phase == Phase.RETURNING
                )
                found.setdefault(lane["app"], []).append(stop)
    return {app: tuple(stops) for app, stops in found.items()}


def strays(source: Road, target: Road) -> dict[int, str]:
    """Which of the target's last stops the source never made, or made in another order; by index, and which it is."""
    at, wrong = 0, {}
    known = [stop.artifact for stop in source]
    for number, stop in enumerate(target):
        if stop.artifact not in known:
            wrong[number] = "never"
        elif stop.artifact in known[at:]:
            at = known.index(stop.artifact, at)
        elif not stop.back:
            wrong[number] = "order"
    return {number: why for number, why in wrong.items() if number >= len(target) - LAST}


def findings(source: str, target: str, before: Mapping[str, Road], after: Mapping[str, Road]) -> Iterator[Finding]:
    for app, road in after.items():
        own = before.get(app, ())
        for number, why in strays(own, road).items():
            yield stray(source, target, app, road[number], why, now=number == len(road) - 1)


def stray(source: str, target: str, app: str, stop: Stop, why: str, *, now: bool) -> Finding:
    commit = stop.commit[:7]
    said = "without passing" if why == "never" else "in another order than in"
    where = "is what runs there" if now else "is not what runs there any more"
    return Finding(
        kind=Kind.HISTORY,
        about=f"{source}:{target} {app} {stop.artifact.removeprefix('sha256:')[:12]} rollout {stop.rollout}",
        what=f"{commit} reached {target} {said} {source}",
        odd=(target,),
        severity=(Severity.HIGH if why == "never" else Severity.MEDIUM) if now else Severity.LOW,
        state=State.UNEXPLAINED,
        why=f"Rollout {stop.rollout} of {target} promoted {app} at {commit} ({stop.subject}); it {where}. "
        f"{source} {'never ran this artefact' if why == 'never' else 'ran it at another place in its history'}.",
        differences=(
            Difference(
                app, {source: "never" if why == "never" else "in another order", target: f"rollout {stop.rollout}"}
            ),
        ),
        values={source: "never" if why == "never" else "another order", target: f"served, rollout {stop.rollout}"},
        remedies=(
            Remedy(
                f"rehearse it after the fact: bring {commit} to {source}'s branch", f"git push origin {commit}:{source}"
            ),
            Remedy(f"take it out of {target}", f'turnabout revert {target} --reason "it did not pass {source}"'),
        ),
    )
