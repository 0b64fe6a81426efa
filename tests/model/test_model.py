"""No order of events that a bounded number of walks meets breaks a promise of a rollout."""

from __future__ import annotations

import pytest

from tests.model.mutations import MUTATIONS
from tests.model.scenarios import SCENARIOS
from tests.model.walk import Walk, opening, search, shortened, wander
from tests.model.world import Scenario

WALKS = 300
"""In each scenario; ``python -m tests.model`` looks as long as one likes."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_random_walks_keep_every_promise(scenario: Scenario) -> None:
    found = search(scenario, WALKS)

    assert found is None, f"\n{found}"


def test_a_quiet_day_promotes_the_newer_commit_everywhere() -> None:
    walk = Walk(next(scenario for scenario in SCENARIOS if scenario.name == "two zones in two waves"))
    for event in opening(walk.world, "PROMOTED"):
        walk.step(event)
    walk.heal()

    assert walk.broken is None
    assert {node.state.good for node in walk.world.nodes.values()} == {"sha256:X"}


def test_what_breaks_a_promise_is_shortened_and_told_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = next(mutation for mutation in MUTATIONS if mutation.rule.startswith("nobody confirms before"))
    mutation.patch(monkeypatch)
    scenario = next(scenario for scenario in SCENARIOS if scenario.name in mutation.scenarios)
    found = next(broken for seed in range(50) if (broken := wander(scenario, seed)))

    short = shortened(found)

    assert short.promise == found.promise == "3. A node's last good changes only after the PROMOTED row."
    assert len(short.walk) <= len(found.walk)
    assert "  broken: bos-a calls sha256:X good, which was never promoted" in str(short)
    assert "a newer commit" in str(short)
