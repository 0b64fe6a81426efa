"""The state in memory and on disk: forward only once it is written, toward last good whatever the disk says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from .errors import Failed
from .journal import say
from .node import Node
from .promises import AppState, wanted


class Record:
    """What one node has promised. ``followed`` is called with each new state, once it holds."""

    def __init__(self, node: Node, followed: Callable[[AppState, AppState], None]) -> None:
        self.node, self.followed = node, followed
        self.states = node.load_states()
        self.state = self.states.get(node.app, AppState())
        self.unsaved = False
        self.save_at = 0.0

    def commit(self, state: AppState) -> None:
        """Forward: on disk first, or not at all."""
        if state == self.state:
            return
        try:
            self.node.save_states(self.states | {self.node.app: state})
        except OSError as problem:
            self.unsaved = True  # the disk may hold either; it must hold what is remembered here
            why = f"The promise could not be written ({problem.strerror}): nothing was begun. Free the disk, ask again."
            raise Failed("disk", why) from None
        self._follow(state)

    def adopt(self, state: AppState) -> bool:
        """Toward last good, and what a refusal taught: it holds now, and is written as soon as the disk lets us."""
        if state != self.state:
            try:
                self.node.save_states(self.states | {self.node.app: state})
                self.unsaved = False
            except OSError as problem:
                self.unsaved = True
                say("state not written", why=str(problem))
            self._follow(state)
        return not self.unsaved

    def write_what_is_owed(self) -> None:
        """Try again, once a second, what the disk did not take."""
        now = time.monotonic()
        if self.unsaved and now >= self.save_at:
            self.save_at = now + 1.0
            with contextlib.suppress(OSError):
                self.node.save_states(self.states)
                self.unsaved = False

    def _follow(self, state: AppState) -> None:
        before, self.state = self.state, state
        self.states[self.node.app] = state
        if state.went_back and state.went_back != before.went_back:
            left = state.went_back
            which = {"digest": left.digest, "good": state.good, "token": left.token}
            say("went back", **which, why=left.reason, kind=left.kind, harm=left.harm)
        if wanted(before) != wanted(state):
            say("wanted", digest=wanted(state), good=state.good, generation=state.generation)
        self.followed(before, state)
