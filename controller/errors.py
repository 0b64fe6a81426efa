"""What can go wrong outside the core, split by who must act: each says what was tried, what came back, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Trouble(Exception):
    """``attempt`` is what was tried, ``said`` what came back, ``remedy`` what a person can do about it."""

    attempt: str
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.attempt}: {self.said.rstrip('.')}. {self.remedy}".strip()


class Unreachable(Trouble):
    """It did not answer, or not in time: whether it acted is unknown. Trying again may help."""


class Refused(Trouble):
    """It answered no: trying the same again will not help."""


@dataclass
class SetAside(Refused):
    """A branch may not be pushed to, so that ``commit``, made for it, waits for people on ``branch``."""

    branch: str = ""
    commit: str = ""


class Conflict(Trouble):
    """Somebody else holds it or was first: read again, then decide again."""
