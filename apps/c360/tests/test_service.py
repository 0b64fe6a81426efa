"""The real process on a seeded database: pages, search, errors, the probe, and how it starts, waits and ends."""

import signal
import threading
from typing import Any

import httpx
import pytest

from apps.c360.seed import customer
from apps.c360.tests.conftest import StartApp
from apps.c360.tests.servers import RELEASE, App, ReplicaSet, law_residue, run, until

SEEDED = 120
PEOPLE = [customer(7, number) for number in range(1, SEEDED + 1)]
NEVER_ORDERED = next(person for person, orders in PEOPLE if not orders)
ORDERED_MOST, MOST_ORDERS = max(PEOPLE, key=lambda pair: len(pair[1]))


@pytest.fixture
def app(start_app: StartApp) -> App:
    app = start_app()
    app.until_ready()
    seeded = run("apps.c360.seed", "--config", str(app.config), "--customers", str(SEEDED))
    assert seeded.returncode == 0, seeded.stderr
    return app


def test_about_one_in_twenty_has_never_ordered() -> None:
    without = sum(not customer(7, number)[1] for number in range(2000))
    assert 0.03 < without / 2000 < 0.07


def test_seeding_again_writes_what_is_missing_and_changes_nothing_else(app: App, mongo: ReplicaSet) -> None:
    with mongo.client() as client:
        before = list(client["c360"]["customers"].find({"_id": {"$ne": "probe"}}).sort("_id", 1))
        again = run("apps.c360.seed", "--config", str(app.config), "--customers", str(SEEDED + 3))
        assert again.stdout == f"3 customers written, {SEEDED} were there before.\n"
        assert list(client["c360"]["customers"].find({"_id": {"$ne": "probe"}}).sort("_id", 1).limit(SEEDED)) == before
        client["c360"]["customers"].delete_many({"_id": {"$gt": before[-1]["_id"], "$lt": "d"}})


def test_the_view_of_a_customer_who_ordered(app: App) -> None:
    view = app.http.get(f"/v1/customers/{ORDERED_MOST['_id']}").json()
    spent = sum(line.quantity * line.unit_price_cents for order in MOST_ORDERS for line in order.lines)
    assert view["figures"]["order_count"] == len(MOST_ORDERS)
    assert view["figures"]["total_spent"] == {"cents": spent, "currency": ORDERED_MOST["currency"]}
    latest = sorted(MOST_ORDERS, key=lambda order: order.ordered_at, reverse=True)[:10]
    assert [order["id"] for order in view["orders"]] == [order.id for order in latest]
    html = app.http.get(f"/customers/{ORDERED_MOST['_id']}").text
    assert all(order.id in html for order in latest)
    assert f"{len(MOST_ORDERS) - 10} earlier orders are not shown" in html


def test_the_view_of_a_customer_who_never_ordered(app: App) -> None:
    answer = app.http.get(f"/customers/{NEVER_ORDERED['_id']}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "has not ordered anything yet" in answer.text
    view = app.http.get(f"/v1/customers/{NEVER_ORDERED['_id']}").json()
    assert (view["figures"]["order_count"], view["figures"]["average_order_value"], view["orders"]) == (0, None, [])


def test_a_customer_is_found_by_e_mail_however_it_is_written(app: App) -> None:
    found = app.http.get("/v1/customers", params={"email": f" {NEVER_ORDERED['email'].upper()}"}).json()
    assert found == {"customers": [app.http.get(f"/v1/customers/{NEVER_ORDERED['_id']}").json()]}
    assert app.http.get("/v1/customers", params={"email": "nobody@mail.example"}).json() == {"customers": []}
    missing = app.http.get("/v1/customers")
    assert (missing.status_code, missing.json()["problems"][0]["field"]) == (422, "email")


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/customers/nobody", "*/*", "text/html"),
        ("/customers/nobody", "application/json", "application/json"),
        ("/v1/customers/nobody", "*/*", "application/json"),
        ("/v1/customers/nobody", "text/html,*/*", "text/html"),
        ("/nowhere", "*/*", "application/json"),
        ("/customers/", "text/html", "text/html"),
    ],
)
def test_what_is_not_there_is_a_404_with_a_sentence(app: App, path: str, accept: str, kind: str) -> None:
    answer = app.http.get(path, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (404, kind)
    assert "There is no" in answer.text
    assert answer.headers["x-release"] == RELEASE


def test_every_answer_names_the_release_and_is_counted_by_its_route(app: App) -> None:
    asked: list[tuple[str, str, int, str]] = [
        ("GET", "/ready", 200, "/ready"),
        ("GET", "/v1/customers/probe", 200, "/v1/customers/{id}"),
        ("GET", "/customers/probe", 200, "/customers/{id}"),
        ("DELETE", "/customers/probe", 405, "/customers/{id}"),
        ("GET", "/nowhere", 404, "other"),
    ]
    for method, path, status, _ in asked:
        answer = app.http.request(method, path)
        assert (answer.status_code, answer.headers["x-release"]) == (status, RELEASE)
    seen = app.metrics()
    for method, _, status, route in asked:
        assert seen[f'http_requests_total{{route="{route}",method="{method}",status="{status}"}}'] >= 1
        assert seen[f'http_request_seconds_count{{route="{route}"}}'] >= 1


def test_the_probe_proves_the_round_trip_and_may_run_again(app: App) -> None:
    for _ in range(2):
        probe = run("apps.c360.probe", "--port", str(app.port))
        assert probe.returncode == 0, probe.stdout
        assert f'"release": "{RELEASE}"' in probe.stdout
    assert law_residue(app.metrics()) == 0


def test_the_probe_says_what_does_not_work(app: App, mongo: ReplicaSet) -> None:
    with mongo.client() as client:
        kept = client["c360"]["customers"].find_one_and_delete({"_id": "probe"})
        probe = run("apps.c360.probe", "--port", str(app.port))
        assert kept is not None
        client["c360"]["customers"].insert_one(kept)
    assert probe.returncode == 1
    assert "GET /v1/customers/probe was answered with status 404" in probe.stdout
    assert app.end() == 0
    probe = run("apps.c360.probe", "--port", str(app.port))
    assert (probe.returncode, "was not answered" in probe.stdout) == (1, True)


def test_a_newer_data_version_is_refused_with_a_sentence(start_app: StartApp, mongo: ReplicaSet) -> None:
    with mongo.client() as client:
        client["later"]["about"].insert_one({"_id": "data", "version": 9})
        app = start_app("later")
        until(lambda: app.ready() == (503, "The database later holds data version 9, this release reads 1."), "said so")
        assert client["later"].list_collection_names() == ["about"]
        client["later"]["about"].update_one({"_id": "data"}, {"$set": {"version": 1}})
        app.until_ready()
        client.drop_database("later")


def test_sigterm_lets_what_is_in_flight_finish(app: App) -> None:
    """The order is half sent when the signal comes, and answered all the same."""
    signalled = threading.Event()
    order = b'{"id": "T-1", "ordered_at": "2025-01-01T00:00:00Z", "currency": "EUR", "lines": '
    lines = b'[{"sku": "T", "title": "T", "quantity": 1, "unit_price_cents": 1}]}'

    def sending() -> Any:
        yield order
        until(lambda: app.metrics()["orders_pending"] == 1, "the order is in flight")
        app.process.send_signal(signal.SIGTERM)
        until(lambda: not listening(app), "nobody new is let in")
        signalled.set()
        yield lines

    with httpx.Client(timeout=20) as client:
        answer = client.post(f"http://127.0.0.1:{app.port}/v1/customers/probe/orders", content=sending())
    assert signalled.is_set()
    assert (answer.status_code, answer.json()["outcome"]) == (201, "stored")
    assert app.process.wait(timeout=5) == 0


def listening(app: App) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{app.port}/ready").status_code > 0
    except httpx.TransportError:
        return False


def test_mongod_goes_away_and_comes_back(app: App, start_app: StartApp, mongo: ReplicaSet) -> None:
    mongo.kill()
    until(lambda: app.ready()[0] == 503, "it says that it is not ready")
    status, why = app.ready()
    assert (status, why is not None and why.startswith("MongoDB does not answer (")) == (503, True)

    away = app.http.get("/customers/probe", headers={"accept": "text/html"})
    assert (away.status_code, away.headers["retry-after"], "does not answer" in away.text) == (503, "1", True)
    assert app.http.get("/v1/customers/probe").json()["error"].startswith("The customer database does not answer")
    body: dict[str, Any] = {"id": "M-1", "ordered_at": "2025-01-01T00:00:00Z", "currency": "EUR"}
    body |= {"lines": [{"sku": "T", "title": "T", "quantity": 1, "unit_price_cents": 1}]}
    assert app.order("probe", body).status_code == 503
    assert app.metrics()["orders_failed"] == 1

    started_without = start_app()
    until(lambda: started_without.ready()[0] == 503, "a process starts without MongoDB")
    ended = start_app()
    until(lambda: ended.ready()[0] == 503, "another one does")
    assert ended.end() == 0

    mongo.start()
    for each in (app, started_without):
        each.until_ready()
        assert each.http.get("/v1/customers/probe").status_code == 200
    assert app.order("probe", body).status_code == 201
    assert law_residue(app.metrics()) == 0


def test_a_mongod_that_hangs_is_a_503_and_not_a_hanging_request(app: App, mongo: ReplicaSet) -> None:
    app.http.get("/v1/customers/probe")
    mongo.send(signal.SIGSTOP)
    try:
        asked = "/v1/customers/probe"
        until(lambda: app.http.get(asked, timeout=8).status_code == 503, "a request is answered with 503")
        until(lambda: app.ready()[0] == 503, "it says that it is not ready")
    finally:
        mongo.send(signal.SIGCONT)
    app.until_ready()
    assert app.http.get("/v1/customers/probe").status_code == 200
