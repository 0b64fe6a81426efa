"""What the connected clients of a node want of the zone's other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apps.mqtt.bell import Bell
from apps.mqtt.broker.session import Session

FROM_FAR = ("/cmd", "/cfg")  # the last level of topics that the far store's messages come on: it tells each node
MOST = 50  # filters that are told to a peer; with more, it is asked for everything


class Interest:
    def __init__(self, sessions: Callable[[], Iterable[Session]]) -> None:
        self.changed = Bell()
        self.listeners = 0  # streams that want to hear of every reading in the zone
        self._sessions = sessions
        self._filters: list[str] | None = None  # None: to be gathered

    def filters(self) -> list[str]:
        if self._filters is None:
            wanted = {
                pattern
                for session in self._sessions()
                if session.outlet is not None
                for pattern in session.subscriptions
                if not pattern.endswith(FROM_FAR)
            }
            self._filters = sorted(wanted) if len(wanted) <= MOST else ["#"]
        return self._filters

    def shrank(self) -> None:
        """Somebody wants less. Nobody waits for that."""
        self._filters = None

    def grew(self) -> None:
        self._filters = None
        self.changed.ring()

    def listen(self, streams: int) -> None:
        """So many more."""
        self.listeners += streams
        self.changed.ring()
