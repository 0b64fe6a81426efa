"""The shapes that are stored: what an order is, and how orders make up a customer document. Pure.

Here: reading a posted order with every complaint about it, the document an order becomes, and the one
update that adds an order to its customer. Not here: how a customer is shown (``view``), MongoDB (``customers``).

A customer document carries ``totals`` over *all* of the customer's orders and nests only the latest
``RECENT_ORDERS`` of them, so that one read serves the single view and the document stays small. Every
order is also kept in full in its own collection, which makes the order id a key for ever, not only while
the order is recent. ``totals.first_order_at`` and ``last_order_at`` are absent, not null, before the first
order: MongoDB sorts null before every date, so ``$min`` would keep it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

RECENT_ORDERS = 50
CURRENCIES = frozenset({"CHF", "EUR", "GBP", "USD"})  # all with two decimals; amounts are whole cents
MOST_LINES = 200
MOST_OF_ONE = 10_000
DEAREST_CENTS = 100_000_000

Document = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ORDER_FIELDS = {"id", "ordered_at", "currency", "lines"}
_LINE_FIELDS = {"sku", "title", "quantity", "unit_price_cents"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one field of a posted order."""

    field: str
    why: str


class BadOrder(Exception):
    """The order as posted will never be stored; whoever posts it must change it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("The order was refused: " + "; ".join(f"{p.field} {p.why}" for p in self.problems) + ".")


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    title: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True, slots=True)
class Order:
    id: str
    ordered_at: datetime
    currency: str
    lines: tuple[Line, ...]

    @property
    def total_cents(self) -> int:
        return sum(line.quantity * line.unit_price_cents for line in self.lines)


def parse_order(body: bytes, now: datetime) -> Order:
    """The order in ``body``; raises ``BadOrder`` with every problem found.

    Unknown fields are refused rather than dropped: a misspelt field would otherwise be lost in silence.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise BadOrder([Problem("body", "must be one JSON object")])
    problems = [Problem(name, "is not a field of an order") for name in sorted(given.keys() - _ORDER_FIELDS)]
    order_id = given.get("id")
    if not (isinstance(order_id, str) and _ID.fullmatch(order_id)):
        problems.append(Problem("id", "must be 1 to 64 letters, digits, dots, colons, dashes or underscores"))
    ordered_at = _moment(given.get("ordered_at"), now, problems)
    currency = given.get("currency")
    if not (isinstance(currency, str) and currency in CURRENCIES):
        problems.append(Problem("currency", f"must be one of {', '.join(sorted(CURRENCIES))}"))
    lines = _lines(given.get("lines"), problems)
    if problems:
        raise BadOrder(problems)
    return Order(str(order_id), ordered_at, str(currency), lines)


def order_document(customer_id: str, order: Order) -> Document:
    """The order as its own document: complete, and kept for ever."""
    nested = nested_order(order)
    return {"_id": nested.pop("id"), "customer_id": customer_id, "currency": order.currency, **nested}


def nested_order(order: Order) -> Document:
    """The order as it is nested in its customer."""
    return {
        "id": order.id,
        "ordered_at": order.ordered_at,
        "total_cents": order.total_cents,
        "lines": [
            {"sku": line.sku, "title": line.title, "quantity": line.quantity, "unit_price_cents": line.unit_price_cents}
            for line in order.lines
        ],
    }


def order_update(order: Order) -> Document:
    """The one update that adds ``order`` to its customer: totals and nested orders change together or not at all."""
    return {
        "$inc": {"totals.order_count": 1, "totals.total_spent_cents": order.total_cents},
        "$min": {"totals.first_order_at": order.ordered_at},
        "$max": {"totals.last_order_at": order.ordered_at},
        "$push": {
            "recent_orders": {"$each": [nested_order(order)], "$sort": {"ordered_at": -1}, "$slice": RECENT_ORDERS}
        },
    }


def with_orders(customer: Document, orders: Sequence[Order]) -> Document:
    """``customer`` as it would be after ``orders`` were added one by one, for writing both at once."""
    latest_first = sorted(orders, key=lambda order: order.ordered_at, reverse=True)
    totals: Document = {"order_count": len(orders), "total_spent_cents": sum(order.total_cents for order in orders)}
    if latest_first:
        totals |= {"first_order_at": latest_first[-1].ordered_at, "last_order_at": latest_first[0].ordered_at}
    return {**customer, "totals": totals, "recent_orders": [nested_order(o) for o in latest_first[:RECENT_ORDERS]]}


def normal_email(email: str) -> str:
    """The one spelling under which an e-mail address is stored and looked up."""
    return email.strip().lower()


def _moment(given: Any, now: datetime, problems: list[Problem]) -> datetime:
    """UTC in whole milliseconds, which is what BSON keeps; a finer time would not equal itself once stored."""
    try:
        written = datetime.fromisoformat(given)
        moment = written.astimezone(UTC) if written.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None:
        problems.append(Problem("ordered_at", "must be a date and time with its offset, such as 2025-03-01T09:30:00Z"))
        return now
    if moment.year < 1970 or moment > now + timedelta(days=1):
        problems.append(Problem("ordered_at", "must lie between 1970 and tomorrow"))
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _lines(given: Any, problems: list[Problem]) -> tuple[Line, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_LINES:
        problems.append(Problem("lines", f"must be a list of 1 to {MOST_LINES} lines"))
        return ()
    return tuple(_line(line, f"lines[{at}]", problems) for at, line in enumerate(given))


def _line(given: Any, where: str, problems: list[Problem]) -> Line:
    if not isinstance(given, dict):
        problems.append(Problem(where, "must be an object"))
        return Line("", "", 1, 0)
    problems += [Problem(f"{where}.{name}", "is not a field of a line") for name in sorted(given.keys() - _LINE_FIELDS)]
    return Line(
        sku=_words(given.get("sku"), f"{where}.sku", 64, problems),
        title=_words(given.get("title"), f"{where}.title", 200, problems),
        quantity=_whole(given.get("quantity"), f"{where}.quantity", 1, MOST_OF_ONE, problems),
        unit_price_cents=_whole(given.get("unit_price_cents"), f"{where}.unit_price_cents", 0, DEAREST_CENTS, problems),
    )


def _words(given: Any, where: str, most: int, problems: list[Problem]) -> str:
    """Text without control characters and without lone surrogates, which JSON can carry and BSON cannot."""
    if isinstance(given, str) and given.strip() and len(given) <= most and not _UNSTORABLE.search(given):
        return given
    problems.append(Problem(where, f"must be a text of 1 to {most} characters without control characters"))
    return ""


def _whole(given: Any, where: str, least: int, most: int, problems: list[Problem]) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and least <= given <= most:
        return given
    problems.append(Problem(where, f"must be a whole number from {least} to {most}"))
    return least
