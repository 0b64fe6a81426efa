"""An order is read with every complaint about it, and orders add up to their customer. No I/O."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.c360.documents import RECENT_ORDERS, BadOrder, Line, Order, normal_email, parse_order, with_orders

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def order_json(**changes: Any) -> bytes:
    line = {"sku": "T1", "title": "Oak desk lamp", "quantity": 2, "unit_price_cents": 4900}
    order = {"id": "A-1", "ordered_at": "2025-03-01T10:30:00+01:00", "currency": "EUR", "lines": [line]}
    return json.dumps({**order, **changes}).encode()


def line_json(**changes: Any) -> bytes:
    line = {"sku": "T1", "title": "Oak desk lamp", "quantity": 2, "unit_price_cents": 4900}
    return order_json(lines=[line, {**line, **changes}])


def test_an_order_is_read_in_utc() -> None:
    order = parse_order(order_json(), NOW)
    lamp = Line("T1", "Oak desk lamp", 2, 4900)
    assert order == Order("A-1", datetime(2025, 3, 1, 9, 30, tzinfo=UTC), "EUR", (lamp,))
    assert order.total_cents == 9800


def test_a_time_is_cut_to_the_milliseconds_that_are_stored() -> None:
    order = parse_order(order_json(ordered_at="2025-03-01T09:30:00.123987Z"), NOW)
    assert order.ordered_at.microsecond == 123000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b'{"id": ' + b"9" * 5000 + b"}", "body"),
        (order_json(id=7), "id"),
        (order_json(id=""), "id"),
        (order_json(id="a b"), "id"),
        (order_json(id="a" * 65), "id"),
        (order_json(id="a\n"), "id"),
        (order_json(ordered_at=None), "ordered_at"),
        (order_json(ordered_at="yesterday"), "ordered_at"),
        (order_json(ordered_at="2025-03-01T09:30:00"), "ordered_at"),
        (order_json(ordered_at="0001-01-01T00:00:00+14:00"), "ordered_at"),
        (order_json(ordered_at="1969-12-31T00:00:00Z"), "ordered_at"),
        (order_json(ordered_at="2025-06-03T00:00:00Z"), "ordered_at"),
        (order_json(currency="JPY"), "currency"),
        (order_json(currency=["EUR"]), "currency"),
        (order_json(lines=[]), "lines"),
        (order_json(lines={}), "lines"),
        (order_json(lines=["lamp"]), "lines[0]"),
        (order_json(total=1), "total"),
        (line_json(sku=" "), "lines[1].sku"),
        (line_json(title="a\x00b"), "lines[1].title"),
        (line_json(title="\ud800"), "lines[1].title"),
        (line_json(quantity=0), "lines[1].quantity"),
        (line_json(quantity=True), "lines[1].quantity"),
        (line_json(quantity=1.5), "lines[1].quantity"),
        (line_json(unit_price_cents=-1), "lines[1].unit_price_cents"),
        (line_json(unit_price_cents=10**18), "lines[1].unit_price_cents"),
        (line_json(colour="red"), "lines[1].colour"),
    ],
)
def test_a_malformed_order_is_refused_by_the_name_of_its_field(body: bytes, field: str) -> None:
    with pytest.raises(BadOrder) as refused:
        parse_order(body, NOW)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert field in str(refused.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(BadOrder) as refused:
        parse_order(b'{"ordered_at": 1, "lines": [{"quantity": 0}]}', NOW)
    named = {problem.field for problem in refused.value.problems}
    assert named >= {"id", "ordered_at", "currency", "lines[0].sku", "lines[0].quantity"}


ORDERS = st.lists(
    st.builds(
        Order,
        id=st.uuids().map(str),
        ordered_at=st.integers(0, 10**6).map(lambda minutes: NOW - timedelta(minutes=minutes)),
        currency=st.just("EUR"),
        lines=st.lists(
            st.builds(
                Line,
                sku=st.just("T1"),
                title=st.just("Lamp"),
                quantity=st.integers(1, 9),
                unit_price_cents=st.integers(0, 9999),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
    max_size=RECENT_ORDERS + 5,
)


@given(ORDERS)
def test_the_totals_are_those_of_all_orders_and_the_nested_ones_are_the_latest(orders: list[Order]) -> None:
    customer = with_orders({"_id": "c"}, orders)
    totals = customer["totals"]
    assert totals["order_count"] == len(orders)
    assert totals["total_spent_cents"] == sum(x.quantity * x.unit_price_cents for o in orders for x in o.lines)
    moments = sorted((order.ordered_at for order in orders), reverse=True)
    assert [nested["ordered_at"] for nested in customer["recent_orders"]] == moments[:RECENT_ORDERS]
    assert totals.get("first_order_at") == (moments[-1] if moments else None)
    assert totals.get("last_order_at") == (moments[0] if moments else None)


def test_before_the_first_order_there_are_no_dates_at_all() -> None:
    assert with_orders({"_id": "c"}, [])["totals"] == {"order_count": 0, "total_spent_cents": 0}


def test_an_e_mail_address_has_one_spelling() -> None:
    assert normal_email(" Ada@Mail.Example ") == "ada@mail.example"
