"""What git is owed: the revert commit of a release that did harm, and a note with every verdict.

Git is the record, not the brake: traffic and nodes never wait for it. A debt stands in the ledger until a GIT row says
that it is paid, so it survives the controller and an hour without a git server; it is retried with growing patience.
While git does not answer all debts wait; one that it refuses waits for itself, until a person did something about it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from controller.errors import Refused, SetAside, Trouble, Unreachable
from controller.model import Rollout
from controller.ports import Clock, Source
from controller.rollout.rows import Body
from controller.rollout.standing import Standing

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
LONGEST_REFUSAL = 600.0
"""A protected branch stays protected: it is asked again now and then, and at once when it has moved."""

Debt = tuple[str, int]
"""``revert`` or ``note``, and the number of the rollout."""
Paid = Callable[[Body], None]
Failed = Callable[[Debt, Trouble], None]


@dataclass(slots=True)
class Patience:
    """How long to wait after a failure: twice as long each time, up to ``longest``."""

    longest: float
    wait: float = FIRST_WAIT
    until: float = 0.0

    def failed(self, now: float) -> None:
        self.until = now + self.wait
        self.wait = min(self.longest, self.wait * 2)


class Debts:
    """Pays one debt at a time in a pool thread; ``paid`` and ``failed`` are called from there."""

    def __init__(self, source: Source, pool: Executor, clock: Clock, paid: Paid, failed: Failed) -> None:
        self._source, self._pool, self._clock = source, pool, clock
        self._paid, self._failed = paid, failed
        self._busy = False
        self._git = Patience(LONGEST_WAIT)
        self._refused: dict[Debt, Patience] = {}
        self._settled: set[Debt] = set()
        self._aside: set[Debt] = set()

    def pay(self, standing: Standing, branch: str) -> None:
        """Start on the oldest debt that may be tried, if none is being paid and git did not just fail to answer."""
        now = self._clock.now()
        if self._busy or now < self._git.until:
            return
        for did, owed in (("revert", standing.owed_reverts), ("note", standing.owed_notes)):
            for rollout in owed:
                debt = did, rollout.number
                waits = self._refused.get(debt)
                if debt not in self._settled and (waits is None or now >= waits.until):
                    self._busy = True
                    self._pool.submit(self._pay, debt, rollout, branch)
                    return

    def hurry(self) -> None:
        """The branch has moved, or git was heard of again: what was refused may be taken now."""
        self._git.until = 0.0
        for waits in tuple(self._refused.values()):
            waits.until = 0.0

    def _pay(self, debt: Debt, rollout: Rollout, branch: str) -> None:
        try:
            body = self._paid_by(debt, rollout, branch)
        except SetAside as aside:
            self._put_off(debt, aside)
            if debt not in self._aside:
                self._aside.add(debt)
                why = f"{aside.said[:1].upper()}{aside.said[1:]}. {aside.remedy} Until {branch} has it, it is owed."
                self._paid(row(debt, aside.commit, aside.branch, why) | {"did": "aside"})
        except Trouble as trouble:
            self._put_off(debt, trouble)
            self._failed(debt, trouble)
        except Exception as broke:  # whatever it is, it is not tried again every second
            unknown = Refused(f"telling git of rollout {rollout.number}", f"it broke: {broke!r}", "Please report it.")
            self._put_off(debt, unknown)
            self._failed(debt, unknown)
        else:
            self._git = Patience(LONGEST_WAIT)
            self._refused.pop(debt, None)
            self._settled.add(debt)
            self._paid(body)
        finally:
            self._busy = False

    def _paid_by(self, debt: Debt, rollout: Rollout, branch: str) -> dict[str, object]:
        if debt[0] == "note":
            self._source.note(rollout.commit, note_of(rollout))
            return row(debt, rollout.commit, "", "")
        commit, said = self._source.revert(rollout, branch)
        return row(debt, commit, said, "") if commit else row(debt, None, "", said)

    def _put_off(self, debt: Debt, trouble: Trouble) -> None:
        now = self._clock.now()
        if isinstance(trouble, Unreachable):
            self._git.failed(now)
            return
        self._git = Patience(LONGEST_WAIT)
        self._refused.setdefault(debt, Patience(LONGEST_REFUSAL)).failed(now)


def row(debt: Debt, commit: str | None, message: str, why: str) -> dict[str, object]:
    return {"rollout": debt[1], "did": debt[0], "commit": commit, "message": message, "why": why}


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
