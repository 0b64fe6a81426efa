"""The changes that the demo merges: ordinary differences in the applications' sources, two good ones and two bad ones.

No application has a switch that makes it fail. The bad changes are the kind of mistake that passes a review and every
test of the happy path; a test holds that each change still applies to the sources as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """``before`` stands once in ``path`` and becomes ``after``."""

    app: str
    subject: str
    path: str
    before: str
    after: str

    def applied(self, text: str) -> str:
        """The source with this change in it. Raises ValueError when it does not fit."""
        found = text.count(self.before)
        if found != 1:
            raise ValueError(f"{self.path} holds the text that {self.subject!r} replaces {found} times, not once")
        return text.replace(self.before, self.after)


GOOD = Change(
    "mqtt",
    "Say how old the latest reading is",
    "apps/mqtt/reads/web.py",
    "return _json(HTTPStatus.OK, asdict(latest))",
    'return _json(HTTPStatus.OK, {**asdict(latest), "age_seconds": round(_age(latest.rts), 3)})',
)

BAD = Change(
    "c360",
    "Always show an average order value",
    "apps/c360/view.py",
    "average = Money((2 * spent + count) // (2 * count), currency) if count else None  # half a cent rounds up",
    "average = Money((2 * spent + count) // (2 * count), currency)  # half a cent rounds up",
)
"""One customer in twenty has never ordered: dividing by nothing fails on a page that has always worked."""

IN_FLIGHT = Change(
    "c360",
    "Show how many orders are on the page",
    "apps/c360/view.py",
    '        Figure("order_count", "Orders", count),\n',
    '        Figure("order_count", "Orders", count),\n'
    '        Figure("orders_listed", "Orders listed", min(count, ORDERS_SHOWN)),\n',
)

BAD_WITHOUT_GIT = Change(
    "mqtt",
    "Name the band that a reading is in",
    "apps/mqtt/reads/web.py",
    "        latest = self._reader.latest(device)\n        if latest is None:\n",
    "        latest = self._reader.latest(device)\n"
    "        if latest is not None:\n"
    '            band = ("low", "normal", "high")[int((latest.reading - 20) / 1.4)]\n'
    '            return _json(HTTPStatus.OK, {**asdict(latest), "band": band})\n'
    "        if latest is None:\n",
)
"""Three bands of 1.4 degrees end short of what these sensors can read: the hottest readings have no band."""
