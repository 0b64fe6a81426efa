"""Keeping what new nodes find equal to what is promoted: an idempotent look, with no row in the ledger.

A controller that starts knows nothing of what is on the shelf, and so looks at it once; from then on it writes when the
standing says something else. So it does not matter at which row another controller died. Nothing waits for the shelf:
a promotion stands without it, and a new node that finds the release before is brought along like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from controller.errors import Refused, Trouble
from controller.loop.debts import LONGEST_WAIT, Patience
from controller.model import AppRelease
from controller.ports import Clock, Shelf
from controller.rollout.standing import Standing

Releases = tuple[AppRelease | None, AppRelease | None]
"""What is promoted, and what was before."""
Said = Callable[[str, str, Trouble | None], None]
"""The application; a sentence; what was in the way, if it was not done."""


class Publishing:
    """Holds one application's releases out at a time, in a pool thread; ``said`` is called from there."""

    def __init__(self, shelf: Shelf | None, pool: Executor, clock: Clock, said: Said) -> None:
        self._shelf, self._pool, self._clock, self._said = shelf, pool, clock, said
        self._busy = False
        self._held: dict[str, Releases] = {}
        self._waits: dict[str, Patience] = {}

    def look(self, standing: Standing, generation: int) -> None:
        """Start on an application whose new nodes find something else, or may; not while one is being done."""
        if self._shelf is None or self._busy:
            return
        now = self._clock.now()
        for app in self._shelf.apps:
            wanted = standing.promoted.get(app), standing.before.get(app)
            waits = self._waits.get(app)
            if self._held.get(app) != wanted and (waits is None or now >= waits.until):
                self._busy = True
                self._pool.submit(self._hold, self._shelf, app, wanted, generation)
                return

    def _hold(self, shelf: Shelf, app: str, wanted: Releases, generation: int) -> None:
        what = wanted[0].commit[:7] if wanted[0] else "nothing"
        try:
            moved = shelf.hold(app, *wanted, generation)
        except Trouble as trouble:
            self._failed(app, what, trouble)
        except Exception as broke:  # whatever it is, it is not tried again every second
            self._failed(app, what, Refused(f"publishing {app}", f"it broke: {broke!r}", "Please report it."))
        else:
            self._held[app] = wanted
            self._waits.pop(app, None)
            if moved:
                self._said(app, f"A new node of {app} starts with {what}.", None)
        finally:
            self._busy = False

    def _failed(self, app: str, what: str, trouble: Trouble) -> None:
        self._waits.setdefault(app, Patience(LONGEST_WAIT)).failed(self._clock.now())
        self._said(app, f"A new node of {app} does not start with {what} yet, it is tried again", trouble)
