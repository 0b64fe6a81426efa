"""What the clients of one application saw, counted on their side: totals since the traffic began.

Only counts: who sends is in ``devices.py`` and ``customers.py``, when and where the counts are written in ``load.py``.
"""

from dataclasses import dataclass, field
from typing import Any

HARM = ("5xx", "reset", "timeout", "refused")
"""How a request can fail its client; an answer below 500 is no harm."""
LATE_SECONDS = 2.0
NOBODY = "none"
"""Stands for the server or the release of a request that nobody answered."""


@dataclass(slots=True)
class Count:
    """Requests of one server or one release, and when the first and the last of them were there (boottime)."""

    requests: int = 0
    harmed: int = 0
    first_started: float | None = None
    last_started: float | None = None
    last_ended: float | None = None

    def add(self, started: float, ended: float, harmed: bool) -> None:
        self.requests += 1
        self.harmed += harmed
        self.first_started = started if self.first_started is None else min(self.first_started, started)
        self.last_started = started if self.last_started is None else max(self.last_started, started)
        self.last_ended = ended if self.last_ended is None else max(self.last_ended, ended)


@dataclass(slots=True)
class Requests:
    """HTTP requests: every one that was begun ends here once."""

    requests: int = 0
    harmed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    by_server: dict[str, Count] = field(default_factory=dict)
    by_release: dict[str, Count] = field(default_factory=dict)
    slowest_ms: float = 0.0

    def add(self, started: float, ended: float, outcome: str, server: str = NOBODY, release: str = NOBODY) -> None:
        """``outcome`` is a class of status (``2xx``, ``4xx``, …) or one of ``HARM``."""
        harmed = outcome in HARM
        self.requests += 1
        self.harmed += harmed
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.slowest_ms = max(self.slowest_ms, (ended - started) * 1000)
        self.by_server.setdefault(server, Count()).add(started, ended, harmed)
        self.by_release.setdefault(release, Count()).add(started, ended, harmed)

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "harmed": self.harmed,
            "outcomes": dict(sorted(self.outcomes.items())),
            "slowest_ms": round(self.slowest_ms, 1),
            "by_server": {name: _plain(count) for name, count in sorted(self.by_server.items())},
            "by_release": {name: _plain(count) for name, count in sorted(self.by_release.items())},
        }


@dataclass(slots=True)
class Messages:
    """MQTT messages and sessions. A message is ``sent`` once, however often it goes over the wire."""

    sent: int = 0
    acked: int = 0
    resent: int = 0
    late: int = 0
    """Acknowledged more than two seconds after it was due."""
    sessions: int = 0
    lost_sessions: int = 0
    refused: int = 0
    """Attempts to connect that gave no session."""
    longest_outage_ms: float = 0.0
    connected: int = 0
    by_zone: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Zone to device to the numbers acknowledged since this was last emptied by ``take_acked``."""

    def ack(self, zone: str, device: str, seq: int, waited: float) -> None:
        """``waited`` since it was due; ``seq`` is 0 where the message was no reading, whose fate nobody asks for."""
        self.acked += 1
        self.late += waited > LATE_SECONDS
        if seq:
            self.by_zone.setdefault(zone, {}).setdefault(device, []).append(seq)

    def take_acked(self) -> dict[str, dict[str, list[int]]]:
        taken, self.by_zone = self.by_zone, {}
        return taken

    def as_json(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "acked": self.acked,
            "unacked": self.sent - self.acked,
            "resent": self.resent,
            "late": self.late,
            "connected": self.connected,
            "sessions": self.sessions,
            "lost_sessions": self.lost_sessions,
            "refused": self.refused,
            "longest_outage_ms": round(self.longest_outage_ms, 1),
        }


def _plain(count: Count) -> dict[str, Any]:
    return {
        "requests": count.requests,
        "harmed": count.harmed,
        "first_started": _rounded(count.first_started),
        "last_started": _rounded(count.last_started),
        "last_ended": _rounded(count.last_ended),
    }


def _rounded(at: float | None) -> float | None:
    return None if at is None else round(at, 3)
