"""What an environment's values answer: a budget's ends, the names of nodes, whether a freeze is active."""

from __future__ import annotations

from datetime import datetime

import pytest

from environments import Budget, Fleet, Freeze


def test_the_budget_knows_the_node_s_deadline_and_the_end_of_the_candidate() -> None:
    budget = Budget(deploy=60, watch=50, revert=40, margin=5)

    assert budget.end == 115
    assert budget.limit == 150


def test_nodes_are_named_after_their_zone() -> None:
    fleet = Fleet("mqtt", ("BOS", "DFW"), 2, ({"BOS": 1}, {"BOS": 2, "DFW": 1}), 0)

    assert fleet.node_names() == (("BOS", "bos-a"), ("BOS", "bos-b"), ("DFW", "dfw-a"), ("DFW", "dfw-b"))
    assert fleet.wave_nodes(0) == ("bos-a",)
    assert fleet.wave_nodes(1) == ("bos-a", "bos-b", "dfw-a")


NEW_YORK = Freeze("month end", "0 0 28 * *", 72, "America/New_York")


@pytest.mark.parametrize(
    ("freeze", "at", "active"),
    [
        (NEW_YORK, "2025-01-28T04:59:59.999+00:00", False),
        (NEW_YORK, "2025-01-28T05:00:00+00:00", True),  # midnight in New York
        (NEW_YORK, "2025-01-28T00:00:00-05:00", True),
        (NEW_YORK, "2025-01-31T04:59:59.999+00:00", True),
        (NEW_YORK, "2025-01-31T05:00:00+00:00", False),
        (NEW_YORK, "2025-07-28T03:59:59+00:00", False),  # in summer midnight is an hour earlier by UTC
        (NEW_YORK, "2025-07-28T04:00:00+00:00", True),
        # The clocks go forward on the night of 9 March 2025: a window of 24 hours lasts 24 hours.
        (Freeze("spring", "0 0 9 3 *", 24, "America/New_York"), "2025-03-10T04:59:59+00:00", True),
        (Freeze("spring", "0 0 9 3 *", 24, "America/New_York"), "2025-03-10T05:00:00+00:00", False),
        # 02:30 does not exist that night: the window begins when the clocks have gone forward.
        (Freeze("gap", "30 2 9 3 *", 1, "America/New_York"), "2025-03-09T06:59:59+00:00", False),
        (Freeze("gap", "30 2 9 3 *", 1, "America/New_York"), "2025-03-09T07:00:00+00:00", True),
        # 01:30 comes twice on 2 November 2025: the window begins at the first and is an hour old at the second.
        (Freeze("twice", "30 1 2 11 *", 1, "America/New_York"), "2025-11-02T06:29:59+00:00", True),
        (Freeze("twice", "30 1 2 11 *", 1, "America/New_York"), "2025-11-02T06:30:00+00:00", False),
        # A window that begins again before it ends goes on.
        (Freeze("always", "0 0 * * *", 25, "UTC"), "2025-05-05T00:30:00+00:00", True),
        (Freeze("weekend", "0 18 * * FRI", 60, "UTC"), "2025-05-05T05:59:59+00:00", True),
        (Freeze("weekend", "0 18 * * FRI", 60, "UTC"), "2025-05-05T06:00:00+00:00", False),
    ],
)
def test_a_freeze_is_active_from_its_first_second_and_no_longer_at_its_end(
    freeze: Freeze, at: str, active: bool
) -> None:
    assert freeze.active(datetime.fromisoformat(at)) is active


def test_a_freeze_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="knows its zone"):
        NEW_YORK.active(datetime(2025, 1, 28))
