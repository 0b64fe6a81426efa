"""How unusual a reading is beside a device's latest ones, as one number. Pure, bounded for each device and in all.

The score is the distance from the median of the window, in spreads: the middle half of a normal device spans 1.35 of
them, so that a score of 3 comes by itself now and then, and one of 8 does not. Median and quartiles, not mean and
deviation, because a quarter of the window may be nonsense before they move. What is unusual for long becomes usual: a
machine that was set to another product is odd for half a window, and then no more.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import OrderedDict, deque

WINDOW = 64
ENOUGH = 32  # readings before which nothing is said
MOST_DEVICES = 5_000  # those heard last; one that comes back later is learned anew
SPANS = 1.349  # spreads between the quartiles of a normal distribution
FINEST = 1e-3  # of the median: what a sensor's last digit does to a value that stands still


class Usual:
    """The latest readings of one device, in their order and in order of size."""

    __slots__ = ("_latest", "_sorted")

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._sorted = array("d")

    def score(self, value: float) -> float | None:
        """How far ``value`` is from what was usual before it, which it then is part of; None: too little is known."""
        known, found = self._sorted, None
        if len(known) >= ENOUGH:
            median, low, high = (known[int(share * (len(known) - 1))] for share in (0.5, 0.25, 0.75))
            spread = max((high - low) / SPANS, FINEST * abs(median), 1e-9)
            found = abs(value - median) / spread
        self._latest.append(value)
        insort(known, value)
        if len(self._latest) > WINDOW:
            del known[bisect_left(known, self._latest.popleft())]
        return found


class Scores:
    def __init__(self, most: int = MOST_DEVICES) -> None:
        self._most = most
        self._devices: OrderedDict[str, Usual] = OrderedDict()

    def of(self, device: str, value: float) -> float | None:
        usual = self._devices.get(device)
        if usual is None:
            usual = self._devices[device] = Usual()
            if len(self._devices) > self._most:
                self._devices.popitem(last=False)
        self._devices.move_to_end(device)
        return usual.score(float(value))
