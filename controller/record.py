"""Recording: the loop's hold on its ledger, and on its spool while the ledger is away.

The one place that knows where the environment stands. A row is appended only after the newest row that was read; rows
of people (orders) that came between are read first, so that they are never overlooked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller import rows
from controller.errors import Conflict, Trouble, Unreachable
from controller.ledgers.sqlite import Spool
from controller.model import CLOSED, Phase, Rollout
from controller.ports import Ledger
from controller.rows import Body, Row
from controller.standing import Standing, fold

BACKWARD = frozenset({Phase.REVERTING, Phase.RETURNING, Phase.STUCK}) | CLOSED
"""Phases toward last good: entering them waits for nothing."""


class Record:
    """The ledger as one leader writes it."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._ledger, self._spool = ledger, spool
        self.standing = Standing()
        self.generation = 0

    def read(self) -> Sequence[Row]:
        """Rows that others appended since the last reading. Raises Unreachable."""
        new = self._ledger.rows(self.standing.last_row)
        self.standing = fold(new, self.standing)
        return new

    def row(self, kind: str, body: Body) -> None:
        """Append one row. Raises Conflict when another controller leads, Unreachable when the ledger is away."""
        for _ in range(5):
            try:
                row = self._ledger.append(kind, body, self.generation, self.standing.newest)
            except Conflict:
                if not self.read():
                    raise
            else:
                self.standing = fold((row,), self.standing)
                return
        raise Conflict("writing the ledger", "other rows kept coming first", "")

    def remark(self, kind: str, body: Body) -> None:
        """A row that only people read: without the ledger it is lost, and nothing waits for it."""
        try:
            self.row(kind, body)
        except Unreachable:
            return

    def rollout(self, rollout: Rollout, event: str) -> str | None:
        """A decision's row; says so if it had to be spooled.

        Forward it must be on disk: Unreachable is raised, and nothing may be asked of a node. Toward last good it goes
        to the spool when the ledger is away, and the work goes on.
        """
        body = {"rollout": rows.written(rows.ROLLOUTS, rollout), "event": event}
        try:
            self.row(rows.ROLLOUT, body)
        except Unreachable as trouble:
            if rollout.phase not in BACKWARD:
                raise
            self._spool.add(rows.ROLLOUT, body, self.generation)
            self.standing = replace(self.standing, rollout=rollout)
            return f"Spooled on the controller's own disk: {trouble}"
        return None

    def unspool(self) -> None:
        """Bring spooled rows to the ledger; one of an earlier generation is evidence and decides nothing."""
        waiting = list(self._spool.waiting())
        if not waiting:
            return
        try:
            for kind, body, generation in waiting:
                if generation == self.generation:
                    self.row(kind, body)
                else:
                    self.row(rows.EVIDENCE, {"spooled": body, "kind": kind, "generation": generation})
        except Trouble:
            return
        self._spool.clear()
