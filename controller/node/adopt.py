"""A node that is new takes what is promoted for its own last good, before it runs for the first time.

Otherwise it would run nothing until a controller came by, and have nothing to go back to. Only a node that never had a
release may do so: whatever was promised once is changed by orders, under their tokens and generations. Signatures are
looked at again here, because ``stage`` may have been another day.
"""

from __future__ import annotations

from dataclasses import replace

from .disk import lock
from .errors import Json, Refused, short
from .journal import say
from .node import Node
from .promises import AppState


def adopt(node: Node, good: str, previous: str | None) -> Json:
    """``good`` becomes last good and ``previous`` the one before; both are staged. Once more changes nothing."""
    with lock(node.root / ".serve.lock", "The node program runs: what it runs is changed by orders, not by adopt."):
        states = node.load_states()
        state = states.get(node.app, AppState())
        if (state.good, state.previous, state.pending) == (good, previous, None):
            return {"adopted": False}
        if state.good or state.pending:
            has = f"This node has {short(state.pending.digest if state.pending else state.good)} already"
            raise Refused("already good", f"{has}: adopt is for a node that never had a release.")
        staged = node.promise_facts().staged
        for digest in filter(None, (good, previous)):
            if digest not in staged:
                raise Refused("not staged", f"{short(digest)} is not in the store, or not signed by a trusted key.")
        node.save_states(states | {node.app: replace(state, good=good, previous=previous)})
        say("adopted", digest=good, previous=previous)
        return {"adopted": True}
