"""The machine's own clocks. Budgets run on boot time, which no correction of the wall clock can move."""

from __future__ import annotations

import time
from pathlib import Path


class BootClock:
    """CLOCK_BOOTTIME, named by the machine's boot id: another boot is another clock."""

    def __init__(self) -> None:
        self.name = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def utc(self) -> float:
        return time.time()
