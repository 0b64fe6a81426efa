"""Orders against a real replica set and real processes: stored once, and the totals never disagree with them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest

from apps.c360.documents import RECENT_ORDERS, Document
from apps.c360.tests.conftest import StartApp
from apps.c360.tests.servers import App, ReplicaSet, law_residue, until

START = datetime(2025, 1, 1, tzinfo=UTC)
CUSTOMERS = ("c-1", "c-2", "c-3")


def made_up(order_id: str) -> dict[str, Any]:
    """An order that its id alone decides, so that every sender sends the same one."""
    random = Random(order_id)
    lines = [
        {
            "sku": f"T{at}",
            "title": f"Thing {at}",
            "quantity": random.randint(1, 5),
            "unit_price_cents": random.randint(0, 9999),
        }
        for at in range(random.randint(1, 4))
    ]
    ordered_at = (START + timedelta(minutes=random.randrange(100_000))).isoformat()
    return {"id": order_id, "ordered_at": ordered_at, "currency": "EUR", "lines": lines}


def assert_totals_are_those_of_the_orders(mongo: ReplicaSet, database: str) -> None:
    """Recompute every customer from the lines of the stored orders."""
    with mongo.client() as client:
        for customer in client[database]["customers"].find():
            orders = list(client[database]["orders"].find({"customer_id": customer["_id"]}).sort("ordered_at", -1))
            expected: Document = {
                "order_count": len(orders),
                "total_spent_cents": sum(x["quantity"] * x["unit_price_cents"] for o in orders for x in o["lines"]),
            }
            if orders:
                expected |= {"first_order_at": orders[-1]["ordered_at"], "last_order_at": orders[0]["ordered_at"]}
            assert customer["totals"] == expected
            latest = [order["ordered_at"] for order in orders[:RECENT_ORDERS]]
            assert [order["ordered_at"] for order in customer["recent_orders"]] == latest


@pytest.fixture
def database(mongo: ReplicaSet, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with three customers and no orders, dropped after the test."""
    name = f"test_{abs(hash(request.node.name)) % 10**8}"
    with mongo.client() as client:
        empty = {"currency": "EUR", "totals": {"order_count": 0, "total_spent_cents": 0}, "recent_orders": []}
        client[name]["customers"].insert_many(
            [{"_id": who, "name": who, "email": f"{who}@mail.example", **empty} for who in CUSTOMERS]
        )
        yield name
        client.drop_database(name)


@pytest.fixture
def app(start_app: StartApp, database: str) -> App:
    app = start_app(database)
    app.until_ready()
    return app


def test_two_processes_that_receive_the_same_orders_store_each_once(
    start_app: StartApp, mongo: ReplicaSet, database: str
) -> None:
    apps = [start_app(database), start_app(database)]
    for app in apps:
        app.until_ready()
    ids = [f"A-{at}" for at in range(180)]
    deliveries = [(app, order_id) for app in apps for order_id in ids for _ in range(2)]
    Random(3).shuffle(deliveries)
    residues: list[float] = []

    def deliver(delivery: tuple[App, str]) -> str:
        app, order_id = delivery
        customer = CUSTOMERS[int(order_id[2:]) % len(CUSTOMERS)]
        while (answer := app.order(customer, made_up(order_id))).status_code == 503:
            pass
        assert answer.status_code in (200, 201), answer.text
        outcome: str = answer.json()["outcome"]
        return outcome

    with ThreadPoolExecutor(9) as pool:
        delivered = [pool.submit(deliver, delivery) for delivery in deliveries]
        while not all(future.done() for future in delivered):
            residues += [law_residue(app.metrics()) for app in apps]
        outcomes = [future.result() for future in delivered]

    assert outcomes.count("stored") == len(ids)
    assert outcomes.count("duplicate") == len(deliveries) - len(ids)
    assert set(residues) == {0}
    assert sum(app.metrics()["orders_stored"] for app in apps) == len(ids)
    assert all(app.metrics()["orders_pending"] == 0 for app in apps)
    with mongo.client() as client:
        assert client[database]["orders"].count_documents({}) == len(ids)
    assert_totals_are_those_of_the_orders(mongo, database)


def test_an_order_is_known_long_after_it_left_the_nested_ones(app: App, mongo: ReplicaSet, database: str) -> None:
    for at in range(RECENT_ORDERS + 5):
        when = (START + timedelta(days=at)).isoformat()
        assert app.order("c-1", {**made_up(f"A-{at}"), "ordered_at": when}).status_code == 201
    again = app.order("c-1", {**made_up("A-0"), "ordered_at": START.isoformat()})
    assert (again.status_code, again.json()) == (200, {"order": "A-0", "outcome": "duplicate"})
    late = app.order("c-1", {**made_up("A-late"), "ordered_at": (START - timedelta(days=9)).isoformat()})
    assert late.status_code == 201
    view = app.http.get("/v1/customers/c-1").json()
    assert view["figures"]["order_count"] == RECENT_ORDERS + 6
    assert view["figures"]["first_order_at"] == "2024-12-23T00:00:00.000Z"
    assert view["orders"][0]["id"] == f"A-{RECENT_ORDERS + 4}"
    assert view["orders_not_shown"] == RECENT_ORDERS - 4
    assert_totals_are_those_of_the_orders(mongo, database)


def test_what_cannot_be_stored_is_refused_and_changes_nothing(app: App, mongo: ReplicaSet, database: str) -> None:
    order = made_up("A-1")
    assert app.order("c-1", order).status_code == 201

    malformed = app.order("c-1", {**order, "id": "A-2", "lines": [{**order["lines"][0], "quantity": 0}]})
    assert malformed.status_code == 422
    assert [problem["field"] for problem in malformed.json()["problems"]] == ["lines[0].quantity"]

    unknown = app.order("c-99", {**order, "id": "A-3"})
    assert (unknown.status_code, unknown.json()) == (404, {"error": "There is no customer with the id 'c-99'."})

    dollars = app.order("c-1", {**order, "id": "A-4", "currency": "USD"})
    assert (dollars.status_code, dollars.json()["problems"][0]["field"]) == (422, "currency")

    for other in (app.order("c-2", order), app.order("c-1", {**order, "ordered_at": START.isoformat()})):
        assert other.status_code == 409
        assert "'A-1'" in other.json()["error"]

    large = app.http.post("/v1/customers/c-1/orders", content=b" " * 300_000)
    assert (large.status_code, "at most 256 KiB" in large.json()["error"]) == (413, True)

    seen = app.metrics()
    assert (seen["orders_received"], seen["orders_stored"], seen["orders_refused"]) == (7, 1, 6)
    assert law_residue(seen) == 0
    with mongo.client() as client:
        assert client[database]["orders"].count_documents({}) == 1
    assert_totals_are_those_of_the_orders(mongo, database)


def test_a_failure_inside_the_application_is_a_500_and_a_failed_order(
    app: App, mongo: ReplicaSet, database: str
) -> None:
    with mongo.client() as client:
        client[database]["customers"].update_one({"_id": "c-1"}, {"$set": {"totals.order_count": "three"}})
    broken = app.order("c-1", made_up("A-1"))
    assert broken.status_code == 500
    assert broken.headers["x-release"] == app.http.get("/ready").headers["x-release"]
    assert "log" in broken.json()["error"]
    seen = app.metrics()
    assert (seen["orders_failed"], law_residue(seen)) == (1, 0)
    assert seen['http_requests_total{route="/v1/customers/{id}/orders",method="POST",status="500"}'] == 1
    assert "TypeMismatch" in app.log.read_text() or "Cannot apply $inc" in app.log.read_text()
    with mongo.client() as client:
        assert client[database]["orders"].count_documents({}) == 0


def test_a_sender_that_leaves_in_the_middle_is_counted_too(app: App) -> None:
    def leaving() -> Iterator[bytes]:
        yield b'{"id": '
        raise ConnectionError

    with pytest.raises(ConnectionError):
        app.http.post("/v1/customers/c-1/orders", content=leaving())
    until(lambda: app.metrics()["orders_refused"] == 1, "the broken delivery is counted")
    assert law_residue(app.metrics()) == 0


def test_mongod_is_killed_under_load_and_every_acknowledged_order_is_there_once(
    app: App, mongo: ReplicaSet, database: str
) -> None:
    ids = [f"A-{at}" for at in range(150)]
    residues: list[float] = []

    def deliver(order_id: str) -> int:
        tries = 1
        while True:
            try:
                status = app.order(CUSTOMERS[int(order_id[2:]) % len(CUSTOMERS)], made_up(order_id)).status_code
            except httpx.TransportError:
                status = 0
            if status in (200, 201):
                return tries
            assert status in (0, 503)
            tries += 1

    with ThreadPoolExecutor(6) as pool:
        delivered = [pool.submit(deliver, order_id) for order_id in ids]
        until(lambda: app.metrics()["orders_stored"] >= 30, "some orders are stored")
        mongo.kill()
        until(lambda: app.ready()[0] == 503, "the application says that it is not ready")
        until(lambda: app.metrics()["orders_failed"] >= 3, "some orders failed")
        residues.append(law_residue(app.metrics()))
        mongo.start()
        while not all(future.done() for future in delivered):
            residues.append(law_residue(app.metrics()))
        assert max(future.result() for future in delivered) > 1

    assert set(residues) == {0}
    app.until_ready()
    with mongo.client() as client:
        assert {order["_id"] for order in client[database]["orders"].find()} == set(ids)
    assert_totals_are_those_of_the_orders(mongo, database)
