"""How the node program says no: two kinds of refusal, and the exit code that each ends with.

Imported by every call, so it imports nothing itself.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs each call several milliseconds
if TYPE_CHECKING:
    from typing import Any

    from .promises import AppState

    Json = dict[str, Any]
else:
    Json = dict

EXIT = {"usage": 2, "silent": 4} | dict.fromkeys(("disk", "cut off", "busy", "io"), 1)
"""By ``error.kind``; everything else was refused by the contract: 3."""


class Refused(Exception):
    """The contract forbids it. ``state`` is what the refusal still taught (a generation, noted harm), if anything."""

    def __init__(self, kind: str, sentence: str, state: AppState | None = None) -> None:
        super().__init__(sentence)
        self.kind, self.sentence, self.state = kind, sentence, state


class Failed(Exception):
    """It could not be done now (disk full, input cut off); the same request may succeed later."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


def short(digest: str | None) -> str:
    """A digest as a sentence names it."""
    return digest[:19] if digest else "none"
