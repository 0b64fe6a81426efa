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

MESSAGES = {
    "turn": 4.0, "turn, all goes well": 0.3, "delivers, and keeps a copy": 6.0, "answers slowly": 4.0, "reboots": 3.0,
}  # fmt: skip
CONTROLLERS = {
    "crashes": 4.0, "freezes": 4.0, "starts": 4.0, "machine reboots": 4.0, "decides": 3.0, "ledger away": 4.0,
    "ledger back": 0.5, "ledger loses an answer": 3.0, "ledger goes away with an answer": 3.0, "cuts the link": 3.0,
}  # fmt: skip
SPOOL = {
    "ledger away": 20.0, "ledger loses an answer": 6.0, "ledger goes away with an answer": 20.0, "crashes": 3.0,
    "starts": 3.0, "freezes": 3.0, "decides": 5.0, "turn": 3.0, "cuts the link": 3.0,
}  # fmt: skip
NODES = {
    "candidate dies": 6.0, "candidate falls unready": 6.0, "program dies": 4.0, "program stops": 4.0, "reboots": 4.0,
    "loses power": 4.0, "boots": 0.3, "mends the link": 0.2, "cuts the link": 2.0,
}  # fmt: skip
PEOPLE = {"orders": 4.0}
AGAIN = {"a newer commit": 4.0, "orders": 2.0}

SCENARIOS = (
    Scenario("two nodes", TWO, ({"mqtt": X}, {"mqtt": Y})),
    Scenario("two zones in two waves", ZONES, ({"mqtt": X}, {"mqtt": Y}), faults=5),
    Scenario("two applications", APPS, ({"c360": X, "mqtt": X}, {"mqtt": Y}), faults=5),
    Scenario("messages late, twice or never", TWO, ({"mqtt": X}, {"mqtt": Y}), likes=MESSAGES, opening="DEPLOYING"),
    Scenario("controllers and their ledger", TWO, ({"mqtt": X}, {"mqtt": Y}), faults=9, likes=CONTROLLERS),
    Scenario("spooled rows", TWO, ({"mqtt": X}, {"mqtt": Y}), faults=9, likes=SPOOL, opening="DEPLOYING"),
    Scenario("spooled promotions", TWO, ({"mqtt": X}, {"mqtt": Y}), faults=9, likes=SPOOL, opening="WATCHING"),
    Scenario("applied again", TWO, ({"mqtt": X}, {"mqtt": X}), orders=("revert",), likes=AGAIN, opening="DEPLOYING"),
    Scenario("nodes fail", ZONES, ({"mqtt": X}, {"mqtt": Y}), faults=9, likes=NODES, opening="DEPLOYING"),
    Scenario(
        "a one-way door", ZONES, ({"mqtt": X},), freeze=frozenset({X}), orders=("abort", "approve"), likes=NODES,
        opening="DEPLOYING",
    ),
    Scenario(
        "the first release", TWO, ({"mqtt": X}, {"mqtt": Y}), first=True, orders=("approve", "abort", "approve"),
        likes=PEOPLE,
    ),
    Scenario("watching", TWO, ({"mqtt": X}, {"mqtt": Y}), opening="WATCHING"),
    Scenario("promoted", ZONES, ({"mqtt": X}, {"mqtt": Y}), opening="PROMOTED", likes=PEOPLE),
    Scenario("promoted, and nodes fail", ZONES, ({"mqtt": X}, {"mqtt": Y}), faults=9, likes=NODES, opening="PROMOTED"),
    Scenario(
        "promoted, and controllers fail", TWO, ({"mqtt": X},), faults=9, likes={**CONTROLLERS, **PEOPLE},
        opening="PROMOTED",
    ),
    Scenario(
        "people", TWO, ({"mqtt": X}, {"mqtt": Y}), orders=("abort", "hold", "resume", "retry", "revert", "retry"),
        likes=PEOPLE, opening="DEPLOYING",
    ),
)  # fmt: skip
