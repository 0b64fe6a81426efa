"""Asking the nodes of an environment in turn: what each says of itself, and whether a round trip works from outside.

The asking happens in pool threads; what they hear reaches ``Looking`` through the loop's queue. That a node is silent
shows by the age of its last answer, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from controller.errors import Trouble
from controller.loop.looking import Looking
from controller.model import Rollout
from controller.ports import Clock, Fleet

PROBE_EVERY = 2.0
"""Seconds between two round trips of an application's probe: each is a process of its own on a node."""

Post = Callable[[Callable[[], None]], None]


class Rounds:
    """``post`` hands what was heard to the loop's own thread."""

    def __init__(self, fleet: Fleet, looking: Looking, pool: Executor, clock: Clock, post: Post) -> None:
        self._fleet, self._looking, self._pool, self._clock, self._post = fleet, looking, pool, clock, post
        self._under_way: set[str] = set()
        self._observed_at: dict[str, float] = {}
        self._probed_at: dict[str, float] = {}

    @property
    def under_way(self) -> bool:
        """Whether some node was asked and has not answered yet."""
        return bool(self._under_way)

    def soon(self, node: str) -> None:
        """It was told something: what it is now is worth a look at the next turn."""
        self._observed_at[node] = 0.0

    def observe(self, nodes: Sequence[str], every: float) -> None:
        """Ask each node that is not being asked and was not within the last seconds."""
        now = self._clock.now()
        for node in nodes:
            if node not in self._under_way and now - self._observed_at.get(node, 0.0) >= every:
                self._under_way.add(node)
                self._observed_at[node] = now
                self._pool.submit(self._observe_one, node)

    def _observe_one(self, node: str) -> None:
        try:
            seen = self._fleet.observe(node)
            self._post(lambda: self._looking.observed(seen))
        except Trouble:
            return
        finally:
            self._post(lambda: self._under_way.discard(node))

    def probe(self, rollout: Rollout) -> None:
        """Try the round trip, for each application on one canary and on one control node at a time."""
        now = self._clock.now()
        for lane in rollout.lanes:
            if now - self._probed_at.get(lane.app, 0.0) < PROBE_EVERY:
                continue
            self._probed_at[lane.app] = now
            for nodes, digest in ((lane.canaries, lane.candidate.digest), (lane.controls, lane.base_digest)):
                serving = [node for node in nodes if self._serves(node, lane.app, digest)]
                if serving:
                    node = min(serving, key=lambda node: self._looking.probe_rank(node, self._probed_at.get(node, 0.0)))
                    self._probed_at[node] = now
                    self._pool.submit(self._probe_one, node, lane.app)

    def _serves(self, node: str, app: str, digest: str | None) -> bool:
        view = self._looking.views.get(node)
        return view is not None and app in view.apps and view.apps[app].serves and view.apps[app].running == digest

    def _probe_one(self, node: str, app: str) -> None:
        try:
            works = self._fleet.probe(node, app)
        except Trouble:
            return  # could not look: the node's silence is judged elsewhere
        at = self._clock.now()
        self._post(lambda: self._looking.probed(node, works, at))
