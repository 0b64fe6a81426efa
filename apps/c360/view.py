"""The single view of one customer: the value behind both the page and the JSON. Pure.

**To show a new figure, add one ``Figure`` in ``figures()``**: the page gets a tile and the JSON a key, and
nothing else changes. Here: what is shown, and the JSON spelling of it. Not here: HTML (``page``), MongoDB.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apps.c360.documents import Document

ORDERS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Money:
    cents: int
    currency: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One number an agent wants at a glance; ``value`` is None where there is nothing to say yet."""

    name: str
    label: str
    value: Money | int | datetime | None


@dataclass(frozen=True, slots=True)
class LineView:
    sku: str
    title: str
    quantity: int
    unit_price: Money
    total: Money


@dataclass(frozen=True, slots=True)
class OrderView:
    id: str
    ordered_at: datetime
    total: Money
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class SingleView:
    id: str
    name: str
    email: str
    phone: str | None
    address: tuple[str, ...]
    customer_since: datetime | None
    synthetic: bool
    figures: tuple[Figure, ...]
    orders: tuple[OrderView, ...]
    orders_not_shown: int


def single_view(customer: Document) -> SingleView:
    """Everything the page and the JSON say about ``customer``, from its one document.

    Only ``_id``, ``name``, ``email`` and ``currency`` are needed; whatever else is missing is shown as not known.
    """
    recent = customer.get("recent_orders", [])[:ORDERS_SHOWN]
    return SingleView(
        id=customer["_id"],
        name=customer["name"],
        email=customer["email"],
        phone=customer.get("phone"),
        address=_address(customer.get("address", {})),
        customer_since=customer.get("customer_since"),
        synthetic=customer.get("synthetic", False),
        figures=figures(customer),
        orders=tuple(_order(order, customer["currency"]) for order in recent),
        orders_not_shown=customer.get("totals", {}).get("order_count", 0) - len(recent),
    )


def figures(customer: Document) -> tuple[Figure, ...]:
    """The figures, in the order in which they are shown. A customer without orders has no average and no dates."""
    currency, totals = customer["currency"], customer.get("totals", {})
    spent, count = totals.get("total_spent_cents", 0), totals.get("order_count", 0)
    average = Money((2 * spent + count) // (2 * count), currency) if count else None  # half a cent rounds up
    return (
        Figure("total_spent", "Total spent", Money(spent, currency)),
        Figure("order_count", "Orders", count),
        Figure("average_order_value", "Average order value", average),
        Figure("first_order_at", "First order", totals.get("first_order_at")),
        Figure("last_order_at", "Last order", totals.get("last_order_at")),
    )


def view_json(view: SingleView) -> dict[str, Any]:
    """The view in plain JSON values; every field of it, figures by name."""
    return {
        "id": view.id,
        "name": view.name,
        "email": view.email,
        "phone": view.phone,
        "address": list(view.address),
        "customer_since": _plain(view.customer_since),
        "synthetic": view.synthetic,
        "figures": {figure.name: _plain(figure.value) for figure in view.figures},
        "orders": [
            {
                "id": order.id,
                "ordered_at": _plain(order.ordered_at),
                "total": _plain(order.total),
                "lines": [
                    {
                        "sku": line.sku,
                        "title": line.title,
                        "quantity": line.quantity,
                        "unit_price": _plain(line.unit_price),
                        "total": _plain(line.total),
                    }
                    for line in order.lines
                ],
            }
            for order in view.orders
        ],
        "orders_not_shown": view.orders_not_shown,
    }


def _order(order: Document, currency: str) -> OrderView:
    return OrderView(
        id=order["id"],
        ordered_at=order["ordered_at"],
        total=Money(order["total_cents"], currency),
        lines=tuple(
            LineView(
                sku=line["sku"],
                title=line["title"],
                quantity=line["quantity"],
                unit_price=Money(line["unit_price_cents"], currency),
                total=Money(line["quantity"] * line["unit_price_cents"], currency),
            )
            for line in order["lines"]
        ),
    )


def _address(address: Document) -> tuple[str, ...]:
    place = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    return tuple(line for line in (address.get("street"), place, address.get("country")) if line)


def _plain(value: Money | datetime | int | None) -> dict[str, Any] | str | int | None:
    if isinstance(value, Money):
        return {"cents": value.cents, "currency": value.currency}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
