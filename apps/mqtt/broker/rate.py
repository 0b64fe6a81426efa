"""How fast one client may publish: so many messages a second, saved up for at most a second. Pure."""

from __future__ import annotations


class Rate:
    def __init__(self, per_second: int) -> None:
        """0: as fast as it likes."""
        self._per_second = per_second
        self._left = float(per_second)
        self._at: float | None = None

    @property
    def is_limited(self) -> bool:
        return self._per_second > 0

    def take(self, now: float) -> float:
        """One message came: seconds until the next may be read."""
        if not self._per_second:
            return 0.0
        if self._at is not None:
            self._left = min(float(self._per_second), self._left + (now - self._at) * self._per_second)
        self._at = now
        self._left -= 1
        return max(0.0, -self._left / self._per_second)
