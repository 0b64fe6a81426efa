"""An environment in one value: what it runs for good, what is going on, who holds it, what is never tried again.

Pure. What the ledger adds up to is the loop's own ``standing``; this adds when, and the rollout that is told now.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.model import Phase
from controller.rollout import rows
from controller.rollout.rows import GENESIS, Row
from controller.rollout.standing import fold
from controller.stories.story import Overview, Running, Standstill
from controller.stories.telling import newest, tell


def standstill(environment: str, history: Sequence[Row], now: float, led: bool | None = None) -> Standstill:
    """What keeps everything from going on at UTC ``now``; ``led``: whether a controller is there, if that is known."""
    blocked = fold(row for row in history if row.kind == rows.BLOCKED).blocked
    return Standstill(environment, now, tuple(blocked.values()), led, history[-1].at if history else None)


def survey(environment: str, history: Sequence[Row], now: float, led: bool | None = None) -> Overview:
    """The environment at UTC ``now``; ``led`` is whether a controller is there, if that is known."""
    standing = fold(history)
    number = newest(history)
    since: dict[str, tuple[float, int]] = {}
    known: set[str] = set(standing.promoted)
    promoted_before: set[int] = set()
    for row in history:
        if row.kind != rows.ROLLOUT:
            continue
        body = row.body["rollout"]
        apps = {lane["app"] for lane in body["lanes"]}
        known |= apps
        if body["phase"] == Phase.PROMOTED and body["number"] not in promoted_before:
            promoted_before.add(body["number"])
            since |= dict.fromkeys(apps, (row.at, body["number"]))
        elif body["phase"] == Phase.RETURNING:
            since |= dict.fromkeys(apps, (row.at, body["number"]))
    took_over = next((row for row in reversed(history) if row.kind == rows.LEAD), None)
    return Overview(
        environment=environment,
        at=now,
        running=tuple(Running(app, standing.promoted.get(app), *since.get(app, (None, None))) for app in sorted(known)),
        current=tell(history, number, now) if number is not None else None,
        hold=standing.hold,
        quarantine=tuple(standing.quarantine.values()),
        generation=standing.generation,
        led_at=took_over.at if took_over is not None else None,
        last_row=history[-1].n if history else 0,
        hash=history[-1].hash if history else GENESIS,
        standstill=standstill(environment, history, now, led),
    )
