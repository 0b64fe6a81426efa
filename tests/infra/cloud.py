"""What AWS says in these tests: which places there are, which of them are open, and what machines each has.

The monitor itself, which keeps what the program declared, is the product's: ``infra.monitor``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pulumi.runtime import mocks

from infra import monitor
from infra.monitor import Made, Plan, Willing

__all__ = ["OFFERED", "ZONES", "Answers", "Made", "Plan", "run"]

ZONES = {
    "us-east-1a": "us-east-1",
    "us-east-1b": "us-east-1",
    "us-east-1-wl1-bos-wlz-1": "us-east-1-wl1-bos-wlz-1",
    "us-east-1-wl1-dfw-wlz-1": "us-east-1-wl1-dfw-wlz-1",
    "us-east-1-wl1-mia-wlz-1": "us-east-1-wl1-mia-wlz-1",
}
"""Zone to network border group."""
OFFERED = ("t3.medium", "t3.xlarge", "r5.2xlarge", "g4dn.2xlarge")


class Answers(Willing):
    """What AWS and Atlas say. ``closed`` zones are there and not opted in."""

    def __init__(self, closed: tuple[str, ...] = (), offered: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__()
        self.closed, self.offered = closed, offered or {}
        self.made = set[str]()
        """The kinds of what was declared."""
        self.no_zone = "no matching EC2 Availability Zone found"

    def place(self, name: str) -> Any:
        if name not in ZONES:
            return {}, [("name", self.no_zone)]
        return {**super().place(name), **({"optInStatus": "not-opted-in"} if name in self.closed else {})}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.made.add(args.typ)
        return super().new_resource(args)

    def machines(self, place: str) -> list[str]:
        return list(self.offered.get(place, OFFERED))


def run(
    program: Callable[[], None],
    name: str,
    config: Mapping[str, str] | None = None,
    answers: Answers | None = None,
) -> Plan:
    """Run a program as the stack ``name`` in this cloud, and return what it declared."""
    return monitor.run(program, name, config, answers or Answers())
