"""Where dev, stage and prod do not have the same shape, one named setting explains it, and putting it in ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.shapes import EXPLAINED, PAIRS, Shape, differences, shapes

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Plans = Callable[[str], Plan]

SETTINGS = {
    "infra.atlas.backup": ("dev", {'tier = "M10"': 'tier = "M10"\nbackup = true'}),
    "infra.atlas.autoscale_to": ("dev", {'tier = "M10"': 'tier = "M10"\nautoscale_to = "M30"'}),
    "infra.controller_hosts": ("stage", {"controller_hosts = 0": "controller_hosts = 2"}),
}
"""Setting to the environment that it is put into, and how it is written there."""


def shape(plan: Plan) -> set[Shape]:
    return shapes((one.kind, one.inputs) for one in plan.clouds())


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_stacks_have_the_same_shape_but_for_what_a_setting_explains(plan: Plans, one: str, other: str) -> None:
    found = differences(shape(plan(one)), shape(plan(other)))

    assert [difference for difference in found if difference not in EXPLAINED] == []
    assert found != []


@pytest.mark.parametrize("difference", EXPLAINED)
def test_the_setting_that_explains_a_difference_is_what_makes_it(run: Any, plan: Plans, difference: str) -> None:
    environment, changes = SETTINGS[EXPLAINED[difference]]
    other = dict(PAIRS)[environment]

    assert difference in differences(shape(plan(environment)), shape(plan(other)))
    assert difference not in differences(shape(run(environment, changes)), shape(plan(other)))
