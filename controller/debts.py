"""What git is owed: the revert commit of a release that did harm, and a note with every verdict.

Git is the record, not the brake: traffic and nodes never wait for it. A debt stands in the ledger until a GIT row says
that it is paid, so it survives the controller and an hour without a git server; it is retried with growing patience.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from controller.errors import Trouble
from controller.model import Rollout
from controller.ports import Clock, Source
from controller.rows import Body
from controller.standing import Standing

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0

Paid = Callable[[Body], None]
Failed = Callable[[Trouble], None]


class Debts:
    """Pays one debt at a time in a pool thread; ``paid`` and ``failed`` are called from there."""

    def __init__(self, source: Source, pool: Executor, clock: Clock, paid: Paid, failed: Failed) -> None:
        self._source, self._pool, self._clock = source, pool, clock
        self._paid, self._failed = paid, failed
        self._busy = False
        self._wait, self._not_before = FIRST_WAIT, 0.0
        self._settled: set[tuple[str, int]] = set()

    def pay(self, standing: Standing, branch: str) -> None:
        """Start on the oldest debt, if none is being paid and the last failure is long enough ago."""
        if self._busy or self._clock.now() < self._not_before:
            return
        for did, owed in (("revert", standing.owed_reverts), ("note", standing.owed_notes)):
            for rollout in owed:
                if (did, rollout.number) not in self._settled:
                    self._busy = True
                    self._pool.submit(self._pay, did, rollout, branch)
                    return

    def hurry(self) -> None:
        """Git was heard of again: the next try need not wait."""
        self._not_before = 0.0

    def _pay(self, did: str, rollout: Rollout, branch: str) -> None:
        try:
            if did == "revert":
                commit, said = self._source.revert(rollout, branch)
                body = {"rollout": rollout.number, "did": did, "commit": commit, "message": said if commit else ""}
                body["why"] = "" if commit else said
            else:
                self._source.note(rollout.commit, note_of(rollout))
                body = {"rollout": rollout.number, "did": did, "commit": rollout.commit, "message": "", "why": ""}
        except Trouble as trouble:
            self._not_before = self._clock.now() + self._wait
            self._wait = min(LONGEST_WAIT, self._wait * 2)
            self._failed(trouble)
        else:
            self._wait = FIRST_WAIT
            self._settled.add((did, rollout.number))
            self._paid(body)
        finally:
            self._busy = False


def note_of(rollout: Rollout) -> str:
    """What ``git notes`` shows on the commit: phase, sentence, and the same trailers as a revert commit has."""
    lanes = "\n".join(
        f"Turnabout-Release: {lane.app} {lane.candidate.artifact_digest} config {lane.candidate.config_digest}"
        for lane in rollout.lanes
    )
    return (
        f"{rollout.environment}: {rollout.phase} in rollout {rollout.number}\n\n{rollout.why}\n\n"
        f"Turnabout-Rollout: {rollout.token}\n{lanes}\n"
    )
