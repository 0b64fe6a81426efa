"""Each rule, taken out, breaks a promise: the model would notice if somebody took it out in earnest."""

from __future__ import annotations

import pytest

from tests.model.mutations import MUTATIONS, Mutation
from tests.model.scenarios import SCENARIOS
from tests.model.walk import wander

WALKS = 600


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_rule_that_is_taken_out_is_missed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [scenario for name in mutation.scenarios for scenario in SCENARIOS if scenario.name == name]
    assert len(places) == len(mutation.scenarios)
    mutation.patch(monkeypatch)

    found = next((seed for seed in range(WALKS) for place in places if wander(place, seed)), None)

    assert found is not None, f"{mutation.rule}: nothing turned red without it"
