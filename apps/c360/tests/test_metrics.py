"""The counters add up, whatever happens to an order. No I/O."""

import pytest

from apps.c360.metrics import Metrics, OrderCounts
from apps.c360.tests.servers import law_residue


def numbers(metrics: Metrics) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in metrics.text(ready=True).splitlines() if line[0] != "#")
    return {name: float(value) for name, value in lines}


def test_an_order_is_pending_until_it_has_an_outcome() -> None:
    metrics = Metrics("r")
    with metrics.orders.receive() as settling:
        assert (numbers(metrics)["orders_pending"], law_residue(numbers(metrics))) == (1, 0)
        settling.outcome = "stored"
    seen = numbers(metrics)
    assert (seen["orders_received"], seen["orders_stored"], seen["orders_pending"]) == (1, 1, 0)
    assert law_residue(seen) == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_order_that_nobody_settles_has_failed(error: type[BaseException]) -> None:
    counts = OrderCounts()
    with pytest.raises(error), counts.receive():
        raise error
    assert (counts.received, counts.pending, counts.settled["failed"]) == (1, 0, 1)


def test_requests_are_counted_by_route_and_status_and_timed_by_route() -> None:
    metrics = Metrics("r")
    for seconds in (0.001, 0.003, 9):
        metrics.request("/customers/{id}", "GET", 200, seconds)
    metrics.request("/customers/{id}", "BREW", 405, 0.5)
    seen = numbers(metrics)
    assert seen['http_requests_total{route="/customers/{id}",method="GET",status="200"}'] == 3
    assert seen['http_requests_total{route="/customers/{id}",method="OTHER",status="405"}'] == 1
    bucket = 'http_request_seconds_bucket{{route="/customers/{{id}}",le="{}"}}'
    assert [seen[bucket.format(le)] for le in ("0.001", "0.0025", "0.005", "0.5", "5.0", "+Inf")] == [1, 1, 2, 3, 3, 4]
    assert seen['http_request_seconds_count{route="/customers/{id}"}'] == 4
    assert seen['http_request_seconds_sum{route="/customers/{id}"}'] == pytest.approx(9.504)


def test_a_release_name_cannot_break_the_text() -> None:
    assert 'release_info{release="a\\"b\\\\c\\n"} 1' in Metrics('a"b\\c\n').text(ready=False).splitlines()
