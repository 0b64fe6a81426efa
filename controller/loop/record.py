"""Recording: the loop's hold on its ledger, and on its spool while the ledger is away.

The one place that knows where the environment stands. A row is appended only after the newest row that was read; rows
of people (orders) that came between are read first, so that they are never overlooked. Whoever reads that a higher
generation leads stops: its rows mean times on another clock. What is spooled comes to the ledger before anything newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.errors import Conflict, Trouble, Unreachable
from controller.ledgers.sqlite import Spool
from controller.model import CLOSED, Phase, Rollout
from controller.ports import Ledger
from controller.rollout import rows
from controller.rollout.decide import reconciled
from controller.rollout.rows import Body, Row
from controller.rollout.standing import Standing, fold

BACKWARD = frozenset({Phase.REVERTING, Phase.RETURNING, Phase.STUCK}) | CLOSED
"""Phases toward last good: entering them waits for nothing."""


def backward(rollout: Rollout) -> bool:
    """A stuck promotion works on going forward still: its next attempt waits for its row as every other."""
    return rollout.phase in BACKWARD and rollout.heading is not Phase.PROMOTED


class Record:
    """The ledger as one leader writes it."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._ledger, self._spool = ledger, spool
        self._kept = Standing()
        """What the rows that the ledger has add up to."""
        self._ahead: Rollout | None = None
        """The newest decision, while only the spool has it."""
        self.generation = 0

    @property
    def standing(self) -> Standing:
        return self._kept if self._ahead is None else replace(self._kept, rollout=self._ahead)

    def read(self) -> Sequence[Row]:
        """Rows that others appended since the last reading. Raises Unreachable, and Conflict when another leads."""
        new = self._ledger.rows(self._kept.last_row)
        self._kept = fold(new, self._kept)
        if 0 < self.generation < self._kept.generation:
            raise Conflict("leading", f"generation {self._kept.generation} leads now", "Leave it the environment.")
        return new

    def row(self, kind: str, body: Body) -> None:
        """Append one row. Raises Conflict when another controller leads, Unreachable when the ledger is away."""
        if self._ahead is not None:
            self._unspool()
        self._append(kind, body)

    def _append(self, kind: str, body: Body) -> None:
        for _ in range(5):
            try:
                row = self._ledger.append(kind, body, self.generation, self._kept.newest)
            except Conflict:
                new = self.read()
                if not new or any(row.kind == rows.LEAD for row in new):
                    raise
                if kind == rows.ROLLOUT and any(row.kind == rows.ROLLOUT for row in new):
                    said = "a row of this rollout was kept though its answer was lost"
                    raise Unreachable("writing the ledger", said, "Decide again.") from None
            else:
                self._kept = fold((row,), self._kept)
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
        to the spool when the ledger is away, and the work goes on, even if the spool's disk is full as well.
        """
        body = {"rollout": rows.written(rows.ROLLOUTS, rollout), "event": event}
        try:
            if self._ahead is not None:
                ahead = self._ahead
                self._unspool()
                if self._kept.rollout != ahead:
                    return "The ledger had kept a row whose answer was lost: it is decided again, from that row."
            self._append(rows.ROLLOUT, body)
        except Unreachable as trouble:
            if not backward(rollout):
                raise
            self._ahead = rollout
            try:
                self._spool.add(rows.ROLLOUT, body, self.generation)
            except OSError as full:
                return f"Neither the ledger nor the spool took it, the way back goes on: {trouble} {full}"
            return f"Spooled on the controller's own disk: {trouble}"
        return None

    def unspool(self) -> None:
        """Bring spooled rows to the ledger; one of an earlier generation is evidence and decides nothing."""
        try:
            self._unspool()
        except Trouble:
            return

    def _unspool(self) -> None:
        """Each row leaves the spool when it is kept; one whose answer was lost is kept already.

        Where the ledger knows better than what was decided without it, the rest of the spool was decided in vain too.
        """
        waiting = list(self._spool.waiting())
        if waiting or self._ahead is not None:
            self.read()
        for kind, body, generation in waiting:
            if generation != self.generation:
                self._append(rows.EVIDENCE, {"spooled": body, "kind": kind, "generation": generation})
            elif self._ahead is not None and not self._reconciled(rows.read(rows.ROLLOUTS, body["rollout"])):
                self._ahead = None
            self._spool.drop_first()
        if self._ahead is not None:  # also what the spool's disk did not take
            self._reconciled(self._ahead)
        self._ahead = None

    def _reconciled(self, decided: Rollout) -> bool:
        """Bring a decision to the ledger that was made while it was away; whether it could be kept as it was."""
        kept = self._kept.rollout
        after = reconciled(kept, decided) if kept is not None else decided
        if after != kept:
            body = {"rollout": rows.written(rows.ROLLOUTS, after), "event": str(after.phase).lower()}
            self._append(rows.ROLLOUT, body)
        return after == decided
