"""The loop's hold on synthetic users: how often each application is asked just now, and what is worth telling of it.

Steady where nothing is watched, as the environment says; raised where a watch would end too quiet. How far stands in
``quiet``, who asks in ``fleets/crowd``.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.judge import quiet
from controller.judge.quiet import Bounds, Helped
from controller.judge.weighing import Judgement
from controller.model import Phase, Rollout
from controller.rollout.decide import watch_end
from environments import Fleet


class Helping:
    """Of one rollout at a time; a rate that was raised falls back when its watch is over."""

    def __init__(self) -> None:
        self._number = 0
        self._helped: dict[str, Helped] = {}

    def rates(self, fleets: Mapping[str, Fleet]) -> dict[str, float]:
        """Application to requests a second."""
        steady = {app: fleet.synthetic_per_second for app, fleet in fleets.items()}
        return {app: rate for app, rate in (steady | {a: h.rate for a, h in self._helped.items()}).items() if rate > 0}

    def look(
        self, rollout: Rollout | None, judged: Mapping[str, Judgement], fleets: Mapping[str, Fleet], now: float
    ) -> list[str]:
        """Raise what must be raised for the rollout that is watched; a clause for each raise."""
        if rollout is None or rollout.phase is not Phase.WATCHING or rollout.number != self._number:
            self._number, self._helped = rollout.number if rollout is not None else 0, {}
        if rollout is None or rollout.phase is not Phase.WATCHING:
            return []
        checks = sum(check.counts for lane in rollout.lanes if lane.base is not None for check in lane.checks)
        told = []
        for lane in rollout.lanes:
            fleet = fleets.get(lane.app)
            if fleet is None or lane.base is None or lane.app not in judged:
                continue
            bounds = Bounds(
                fleet.synthetic_per_second, fleet.synthetic_at_most, checks / rollout.judge.alpha,
                rollout.judge.smallest_harm,
            )  # fmt: skip
            was = self._helped.get(lane.app)
            helped = quiet.helped(was, lane, judged[lane.app].evidence, bounds, now, watch_end(rollout))
            self._helped[lane.app] = helped
            if was is not None and helped.rate > was.rate:
                told.append(helped.why)
        return told
