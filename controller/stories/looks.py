"""What a check counted, look by look: the numbers under a finding, as the ledger keeps them.

Pure. A look is one row of the ledger; which of its counts a check reads stands in ``samples``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.judge.samples import arms
from controller.model import Arm
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.stories.story import Story


@dataclass(frozen=True, slots=True)
class Look:
    """One zone and path class in one look."""

    t: float
    app: str
    zone: str
    path: str
    canary: Arm
    control: Arm


def looks(history: Sequence[Row], story: Story, name: str) -> Iterator[Look]:
    """The counts that the check ``name`` read, oldest first; only those with a bad event on either arm."""
    checks = {lane.app: check for lane in story.rollout.lanes for check in lane.checks if check.name == name}
    for row in history:
        if row.kind != rows.SAMPLE or row.body["rollout"] != story.number or row.body["t"] is None:
            continue
        for sample in (rows.read(rows.SAMPLES, look) for look in row.body["looks"]):
            check = checks.get(sample.app)
            if check is None:
                continue
            for zone, path, canary, control in arms(sample, check.paths, check.once_per == "client"):
                if canary.bad or control.bad:
                    yield Look(float(row.body["t"]), sample.app, zone, path, canary, control)
