"""What is said about a customer, as JSON and as a page, with and without orders. No I/O but the templates."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.c360 import page
from apps.c360.documents import Document, Line, Order, with_orders
from apps.c360.view import Money, single_view, view_json

FIRST = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
PERSON: Document = {
    "_id": "c-1",
    "name": "Noor Abebe",
    "email": "noor@mail.example",
    "phone": "+33 1 99 00 0123",
    "address": {"street": "1 Mill Street", "postal_code": "69001", "city": "Lyon", "country": "France"},
    "currency": "EUR",
    "customer_since": datetime(2024, 1, 5, tzinfo=UTC),
}


def orders(count: int) -> list[Order]:
    lamp = Line("T1", "Oak lamp", 2, 61725)
    return [Order(f"A-{at}", FIRST + timedelta(days=at), "EUR", (lamp,)) for at in range(count)]


def json_of(customer: Document) -> Any:
    return view_json(single_view(customer))


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.split("<body>")[1]).split())


def test_the_figures_of_a_customer_with_orders() -> None:
    view = json_of(with_orders(PERSON, orders(3)))
    assert view["figures"] == {
        "total_spent": {"cents": 370350, "currency": "EUR"},
        "order_count": 3,
        "average_order_value": {"cents": 123450, "currency": "EUR"},
        "first_order_at": "2025-03-01T09:30:00.000Z",
        "last_order_at": "2025-03-03T09:30:00.000Z",
    }
    assert [order["id"] for order in view["orders"]] == ["A-2", "A-1", "A-0"]
    assert view["orders"][0]["lines"] == [
        {
            "sku": "T1",
            "title": "Oak lamp",
            "quantity": 2,
            "unit_price": {"cents": 61725, "currency": "EUR"},
            "total": {"cents": 123450, "currency": "EUR"},
        }
    ]


@pytest.mark.parametrize("customer", [with_orders(PERSON, []), PERSON], ids=["empty totals", "no totals at all"])
def test_a_customer_without_orders_has_spent_nothing_and_has_no_average_and_no_dates(customer: Document) -> None:
    view = json_of(customer)
    assert view["figures"] == {
        "total_spent": {"cents": 0, "currency": "EUR"},
        "order_count": 0,
        "average_order_value": None,
        "first_order_at": None,
        "last_order_at": None,
    }
    assert (view["orders"], view["orders_not_shown"]) == ([], 0)
    said = text_of(page.customer(single_view(customer)))
    assert "Total spent €0.00 Orders 0 Average order value – First order – Last order –" in said
    assert "Noor Abebe has not ordered anything yet." in said
    assert "not shown" not in said


def test_the_page_says_who_how_to_reach_them_and_what_they_ordered() -> None:
    said = text_of(page.customer(single_view(with_orders(PERSON, orders(3)))))
    assert "Noor Abebe Customer c-1 since 5 January 2024" in said
    assert "noor@mail.example" in said
    assert "+33 1 99 00 0123" in said
    assert "1 Mill Street 69001 Lyon France" in said
    assert "Total spent €3,703.50 Orders 3 Average order value €1,234.50" in said
    assert "First order 1 March 2025 Last order 3 March 2025" in said
    assert "3 March 2025 09:30 UTC A-2 €1,234.50" in said
    assert "Oak lamp T1 2 €617.25 €1,234.50" in said


@pytest.mark.parametrize(
    ("count", "said"), [(10, ""), (11, "1 earlier order is not shown."), (75, "65 earlier orders are not shown.")]
)
def test_ten_orders_are_shown_and_the_others_counted(count: int, said: str) -> None:
    view = single_view(with_orders(PERSON, orders(count)))
    text = text_of(page.customer(view))
    assert len(view.orders) == 10
    assert view.orders[0].id == f"A-{count - 1}"
    assert text.endswith(said)
    assert ("not shown" in text) == bool(said)


def test_every_figure_is_on_the_page_and_in_the_json() -> None:
    view = single_view(with_orders(PERSON, orders(2)))
    html, names = page.customer(view), [figure.name for figure in view.figures]
    assert re.findall(r'<dd id="(\w+)">', html) == names == list(view_json(view)["figures"])


def test_what_is_not_known_is_said_to_be_not_known() -> None:
    bare = {"_id": "c", "name": "N", "email": "n@mail.example", "currency": "CHF"}
    said = text_of(page.customer(single_view(bare)))
    assert "Phone not known Address not known" in said
    assert "CHF 0.00" in said


def test_a_customers_words_never_become_markup() -> None:
    person = {**PERSON, "name": "<script>alert(1)</script>", "phone": '"><b>', "email": "a@b.example' onclick='x"}
    html = page.customer(single_view(with_orders(person, [Order("A", FIRST, "EUR", (Line("<i>", "</td>&", 1, 1),))])))
    assert "<script" not in html
    assert '"><b>' not in html
    assert "onclick='x" not in html
    assert "&lt;/td&gt;&amp;" in html


def test_the_page_loads_nothing_from_anywhere() -> None:
    html = page.customer(single_view(with_orders(PERSON, orders(3))))
    links = re.findall(r'(?:src|href|action)="([^"]*)"', html)
    assert {link.split(":")[0] for link in links} == {"data", "mailto", "tel"}
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in page.HEADERS["Content-Security-Policy"]


def test_half_a_cent_of_an_average_rounds_up() -> None:
    two = [Order("A", FIRST, "EUR", (Line("T", "t", 1, 1),)), Order("B", FIRST, "EUR", (Line("T", "t", 1, 2),))]
    view = single_view(with_orders(PERSON, two))
    assert {figure.name: figure.value for figure in view.figures}["average_order_value"] == Money(2, "EUR")
