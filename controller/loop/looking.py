"""Looking at a fleet: the newest answer of every node, the samples made from them, and what they prove so far.

The loop owns one ``Looking`` and is the only one to touch it; pool threads only hand it answers through the loop's
queue. What counts as what stands in ``samples``, what it proves in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.judge import samples, verdict, weighing
from controller.judge.samples import Answer, Sample, Telemetry
from controller.judge.verdict import Terms
from controller.judge.weighing import Judgement
from controller.model import IN_FLIGHT, NodeView, Rollout, Verdict
from controller.rollout import rows


@dataclass(frozen=True, slots=True)
class Harmed:
    """Bad calls and bad clients on the candidate so far, as the balancers counted them."""

    requests: int = 0
    clients: int = 0

    def plus(self, looks: Sequence[Sample]) -> Harmed:
        cells = [cell for look in looks for cell in look.cells]
        return Harmed(
            self.requests + sum(cell.canary.bad for cell in cells),
            self.clients + sum(cell.canary.bad_clients for cell in cells),
        )


class Looking:
    """The newest telemetry by node, and the evidence of one rollout at a time."""

    def __init__(self) -> None:
        self.telemetry: dict[str, Telemetry] = {}
        self.views: dict[str, NodeView] = {}
        self.judgements: dict[str, Judgement] = {}
        self.harmed = Harmed()
        self._before: dict[str, Telemetry] = {}
        self._probes: dict[str, bool] = {}
        self._failed_at: dict[str, float] = {}
        """Node to when its probe failed, until the node answers again: one that is gone has failed no probe."""
        self._answers: dict[tuple[str, str], Answer] = {}
        self._number = 0
        self.looked_at = 0.0

    def observed(self, seen: Telemetry) -> None:
        self.telemetry[seen.view.node] = seen
        self.answered(seen.view)

    def answered(self, view: NodeView) -> None:
        """A command's answer is as good a look at the node's state as an observation, if it is newer."""
        known = self.views.get(view.node)
        if known is None or view.received_at >= known.received_at:
            if not view.weights:  # a balancer that is being started: what it last said, or from now on nothing
                weights, at = (known.weights, known.weights_at) if known else ({}, view.received_at)
                view = replace(view, weights=weights, weights_at=at)
            self.views[view.node] = view

    def probed(self, node: str, works: bool, at: float) -> None:
        if works:
            self._probes[node] = True
            self._failed_at.pop(node, None)
        else:
            self._failed_at[node] = at

    def _probed(self) -> dict[str, bool]:
        """What the probes say since the look before, of nodes that are there."""
        for node, at in tuple(self._failed_at.items()):
            view = self.views.get(node)
            if view is not None and view.received_at > at:
                self._probes[node] = False
                del self._failed_at[node]
        probes, self._probes = self._probes, {}
        return probes

    def told(self, number: int, app: str, check: str, answer: Answer) -> None:
        """What a metrics server answered to a check of rollout ``number``."""
        if number == self._number:
            self._answers[app, check] = answer

    def probe_rank(self, node: str, probed_at: float) -> tuple[bool, float]:
        """Which node is probed next: one whose last probe failed, to be sure of it, else the one that waits longest."""
        failed = any(state.probes_failed.get(node, 0) for state in self.judgements.values())
        return not (failed or self._probes.get(node) is False or node in self._failed_at), probed_at

    def begin(self, rollout: Rollout, history: Sequence[rows.Row] = ()) -> None:
        """Judge ``rollout`` from here on; ``history`` holds the samples an earlier controller took of it."""
        self._number = rollout.number
        self.judgements = {lane.app: Judgement() for lane in rollout.lanes}
        self.harmed, self._probes, self._failed_at, self._answers = Harmed(), {}, {}, {}
        self._before = dict(self.telemetry)
        for row in history:
            if row.kind == rows.SAMPLE and row.body["rollout"] == rollout.number:
                self._fold(rollout, tuple(rows.read(rows.SAMPLES, look) for look in row.body["looks"]))

    def with_baseline(self, rollout: Rollout) -> Rollout:
        """The rollout with how slow and how often bad last good is, measured before anything leaves it."""
        lanes = tuple(
            replace(
                lane,
                slow_above_ms=samples.slow_above(lane, self.telemetry),
                former=samples.former(lane, self.telemetry),
                pace=samples.pace(lane, self.telemetry),
            )
            for lane in rollout.lanes
        )
        return replace(rollout, lanes=lanes)

    def look(self, rollout: Rollout, now: float) -> tuple[Sample, ...]:
        """One sample of each application since the last look, folded into the evidence."""
        if rollout.number != self._number:
            self.begin(rollout)
        probes = self._probed()
        looks = tuple(samples.sample(lane, self._before, self.telemetry, now) for lane in rollout.lanes)
        looks = tuple(
            replace(
                look,
                probes={node: ok for node, ok in probes.items() if node in lane.nodes},
                answers={check: answer for (app, check), answer in self._answers.items() if app == lane.app},
            )
            for look, lane in zip(looks, rollout.lanes, strict=True)
        )
        self._answers = {}
        self._before = dict(self.telemetry)
        self.looked_at = now
        if rollout.phase in IN_FLIGHT:
            self._fold(rollout, looks)
        else:
            self.harmed = self.harmed.plus(looks)
        return looks

    def _fold(self, rollout: Rollout, looks: Sequence[Sample]) -> None:
        for lane, look in zip(rollout.lanes, looks, strict=True):
            self.judgements[lane.app] = weighing.look(self.judgements[lane.app], lane, look)
        self.harmed = self.harmed.plus(looks)

    def verdict(self, rollout: Rollout, now: float, ended: bool) -> Verdict | None:
        """What the samples of ``rollout`` prove now; None before anything could be measured."""
        if rollout.number != self._number or rollout.t0 is None:
            return None
        since = rollout.watch_from if rollout.watch_from is not None else rollout.t0
        terms = Terms(rollout.judge.alpha, rollout.judge.smallest_harm, now - since, ended)
        return verdict.verdict(rollout.lanes, self.judgements, terms)

    def evidence(self) -> dict[str, float]:
        return {
            f"{app}/{check}": min(found.value, 1e9)
            for app, state in self.judgements.items()
            for check, found in state.evidence.items()
        }

    def bad_calls(self, rollout: Rollout, utc: float) -> list[Mapping[str, Any]]:
        """The newest bad calls that the candidate's nodes answered since T0, from all balancers, oldest first.

        A node writes when in its own boot time: here it becomes UTC, which is the controller's clock and ``utc`` more.
        """
        canaries = {node for lane in rollout.lanes for node in lane.canaries}
        found: list[tuple[float, Mapping[str, Any]]] = []
        for node in rollout.nodes:
            for call in self.telemetry[node].bad if node in self.telemetry else ():
                view, at = self.telemetry[node].view, call.get("at")
                here = at - view.boottime + view.received_at if isinstance(at, int | float) else None
                if call.get("server") in canaries and (here is None or rollout.t0 is None or here >= rollout.t0):
                    found.append((here or 0.0, {**call, "at": None if here is None else round(here + utc, 3)}))
        return [call for _, call in sorted(found, key=lambda one: one[0])][-40:]
