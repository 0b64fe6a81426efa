"""A metrics server is asked over HTTP: a real server answers here as the documented API does, and as broken ones do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from controller.checks import prometheus
from controller.checks.prometheus import Prometheus
from controller.errors import Refused, Trouble, Unreachable
from tests.integration.metrics_server import MetricsServer, vector

QUERY = "sum by (node) (orders_total)"


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer()
    try:
        yield made
    finally:
        made.stop()


def asked(server: MetricsServer, label: str = "node") -> dict[str, float]:
    return dict(Prometheus().values(server.address, QUERY, label))


def test_a_vector_becomes_a_number_for_each_node(server: MetricsServer) -> None:
    server.body = vector(({"node": "bos-a"}, "3"), ({"node": "bos-b", "zone": "BOS"}, "1.5e+01"))

    assert asked(server) == {"bos-a": 3.0, "bos-b": 15.0}
    assert server.asked == [("/api/v1/query", {"query": [QUERY], "timeout": ["3s"]})]


def test_a_server_may_stand_below_a_path_and_name_nodes_otherwise(server: MetricsServer) -> None:
    server.body = vector(({"instance": "bos-a"}, "3"))

    assert Prometheus().values(f"{server.address}/select/0/prometheus", QUERY, "instance") == {"bos-a": 3.0}
    assert server.asked[0][0] == "/select/0/prometheus/api/v1/query"


def test_what_is_not_a_number_or_infinite_is_no_value(server: MetricsServer) -> None:
    server.body = vector(({"node": "bos-a"}, "NaN"), ({"node": "bos-b"}, "+Inf"), ({"node": "bos-c"}, "0"))

    assert asked(server) == {"bos-c": 0.0}


ERROR = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error: unclosed left parenthesis"})
BUSY = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"})
SCALAR = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "3"]}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, "<html>", Unreachable, "it answered 200, and nothing that its HTTP API knows"),
        (502, "", Unreachable, "it answered 502, and nothing that its HTTP API knows"),
        (200, "[" * 100_000, Unreachable, "nothing that its HTTP API knows"),
        (200, "7", Unreachable, "an object with a status is missing"),
        (200, '{"status": "success"}', Unreachable, "its answer makes no sense (KeyError('data'))"),
        (200, vector(({"node": "bos-a"}, "many")), Unreachable, "its answer makes no sense (ValueError("),
        (503, BUSY, Unreachable, "timeout: query timed out"),
        (400, ERROR, Refused, f"it does not understand {QUERY} (bad_data: parse error: unclosed left parenthesis)"),
        (200, SCALAR, Refused, f"{QUERY} is a scalar, not a value for each node. Write it as sum by (node) (…)"),
        (200, vector(({}, "3")), Refused, f"{QUERY} has a series without the label node"),
        (200, vector(({"node": "a"}, "1"), ({"node": "a", "x": "y"}, "2")), Refused, "has two series for a"),
    ],
)
def test_each_nonsense_has_its_sentence(
    server: MetricsServer, status: int, body: str, kind: type[Trouble], said: str
) -> None:  # fmt: skip
    server.status, server.body = status, body

    with pytest.raises(kind) as caught:
        asked(server)
    assert str(caught.value).startswith(f"asking {server.address}: ")
    assert said in str(caught.value)


def test_an_answer_without_end_is_not_read(server: MetricsServer) -> None:
    server.body = " " * (prometheus.MOST_BYTES + 1)

    with pytest.raises(Unreachable, match="its answer is longer than 1,048,576 bytes"):
        asked(server)


@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_a_server_that_does_not_come_to_an_end_is_given_up(
    server: MetricsServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.drips = how == "dripping"
        address = server.address if server.drips else f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"timed out|took longer than 0\.2 s"):
            Prometheus().values(address, QUERY, "node")


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return f"http://127.0.0.1:{nobody.getsockname()[1]}"


Address = Callable[[], str]


@pytest.mark.parametrize("address", [free, lambda: "http://no.such.host.invalid", lambda: "http://127.0.0.1:99999"])
def test_a_server_that_is_not_there_is_unreachable(address: Address) -> None:
    with pytest.raises(Unreachable, match=r"Look at the server that judge\.prometheus names"):
        Prometheus().values(address(), QUERY, "node")
