"""Where the model's walks begin."""

from __future__ import annotations

from environments import Fleet
from tests.model.world import Scenario

X, Y, L = "sha256:X", "sha256:Y", "sha256:L"

TWO = {"mqtt": Fleet("mqtt", ("BOS",), 2, ({"BOS": 1},), 0.0)}
ZONES = {"mqtt": Fleet("mqtt", ("BOS", "DFW"), 2, ({"BOS": 1}, {"BOS": 1, "DFW": 1}), 0.0)}
APPS = {
    "c360": Fleet("c360", ("region",), 2, ({"region": 1},), 0.0),
    "mqtt": Fleet("mqtt", ("BOS",), 2, ({"BOS": 1},), 0.0),
}

SCENARIOS = (
    Scenario("two nodes", TWO, ({"mqtt": X}, {"mqtt": Y})),
    Scenario("two zones in two waves", ZONES, ({"mqtt": X}, {"mqtt": Y}), faults=5),
    Scenario("two applications", APPS, ({"c360": X, "mqtt": X}, {"mqtt": Y}), faults=5),
    Scenario("a one-way door", ZONES, ({"mqtt": X},), freeze=frozenset({X}), orders=("abort", "approve")),
    Scenario("the first release", TWO, ({"mqtt": X}, {"mqtt": Y}), first=True, orders=("approve", "abort", "approve")),
    Scenario("late: watching", TWO, ({"mqtt": X}, {"mqtt": Y}), opening="WATCHING"),
    Scenario("late: promoted", ZONES, ({"mqtt": X}, {"mqtt": Y}), opening="PROMOTED", orders=("abort", "revert")),
    Scenario("people", TWO, ({"mqtt": X}, {"mqtt": Y}), orders=("abort", "hold", "resume", "retry", "revert", "retry")),
)
