"""Parts of moto replaced while an emulated cloud is open, and put back when it closes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

_NOTHING = object()


class Patches:
    """What was replaced. ``undo`` puts everything back, the last first."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def put(self, owner: Any, name: str, new: Any) -> None:
        """Let ``owner`` have ``new`` under this name, whether it had anything there or not."""
        old = vars(owner).get(name, _NOTHING)
        self._stack.callback(delattr if old is _NOTHING else setattr, owner, name, *(() if old is _NOTHING else (old,)))
        setattr(owner, name, new)

    def around(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace a method by what ``make`` makes of it."""
        self.put(owner, name, make(getattr(owner, name)))

    def undo(self) -> None:
        self._stack.close()
