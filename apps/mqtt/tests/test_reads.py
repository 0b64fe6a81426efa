"""The HTTP side: what the paths answer, and that nothing a client sends does more than end its own connection."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import RELEASE, ROOT, Edge
from apps.mqtt.wire.packets import puback


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    edge = Edge(tmp_path_factory.mktemp("filled")).start()
    for name in ("d0", "d1"):
        device = Device(edge.mqtt, name).connected()
        for seq in range(10):
            device.publish(numbered(seq, seq / 2), seq + 1)
            assert device.receive(4) == puback(seq + 1)
        device.close()
    yield edge
    assert edge.stop() == 0
    assert "Traceback" not in edge.log.read_text()


def exchange(edge: Edge, raw: bytes) -> bytes:
    """Everything that comes back until the peer closes."""
    with socket.create_connection(("127.0.0.1", edge.http), 10) as peer:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(65_536), b""))


def test_latest_has_all_fields(filled: Edge) -> None:
    status, latest = filled.get("/v1/devices/d1/latest")
    rts = latest.pop("rts")
    assert rts > 1_600_000_000_000
    assert (status, latest) == (200, {"device": "d1", "epoch": 0, "seq": 9, "reading": 4.5, "ts": None})


def test_pages_lead_to_the_next(filled: Edge) -> None:
    assert [row["n"] for row in filled.readings()] == list(range(1, 21))
    _, first = filled.get("/v1/readings?device=d1&limit=4")
    _, second = filled.get(f"/v1/readings?device=d1&after={first['next']}&limit=100")
    assert [row["seq"] for row in first["readings"] + second["readings"]] == list(range(10))
    _, end = filled.get(f"/v1/readings?after={second['next']}")
    assert end == {"readings": [], "next": second["next"]}


AFTER = "after must be an integer from 0 to 9223372036854775807, or a place that an earlier answer gave as next."


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/v1/devices/unheard/latest", 404, "This device has sent no reading to this node."),
        ("/v1/devices/d1", 404, "There is nothing under this path."),
        ("/v1/devices/d1/latest/", 404, "There is nothing under this path."),
        ("/nothing", 404, "There is nothing under this path."),
        ("/v1/readings?limit=0", 400, "limit must be an integer from 1 to 1000."),
        ("/v1/readings?limit=1001", 400, "limit must be an integer from 1 to 1000."),
        ("/v1/readings?after=-1", 400, AFTER),
        ("/v1/readings?after=99999999999999999999", 400, AFTER),
        ("/v1/readings?after=%C2%B2", 400, AFTER),
        ("/v1/readings?after=bos-a:x", 400, AFTER),
        ("/v1/stream?after=bos-a:1", 400, "Last-Event-ID, or after, must be the id of an earlier event."),
        ("/peer/feed?readings=0", 403, "This is for the other nodes of the zone."),
        ("/v1/readings?since=1", 400, "The parameter 'since' is not known."),
        ("/v1/readings?device=%ff", 400, "The request's target cannot be decoded."),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_sentence(filled: Edge, path: str, status: int, sentence: str) -> None:
    assert filled.get(path) == (status, {"error": sentence})


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /ready\r\n\r\n", 400),
        (b"GET /ready HTTP/2.0\r\n\r\n", 400),
        (b"GET /ready HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /ready HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /ready HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET /ready HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /ready HTTP/1.1\r\n\r\n", 405),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_a_broken_request_is_answered_and_its_connection_closed(filled: Edge, raw: bytes, status: int) -> None:
    answer = exchange(filled, raw + b"GET /ready HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1  # what follows is not taken for a request
    assert f"X-Release: {RELEASE}".encode() in answer
    assert filled.is_ready()


def test_half_a_request_is_answered_with_nothing(filled: Edge) -> None:
    assert exchange(filled, b"GET /ready HTTP/1.1\r\nHo") == b""


def test_one_connection_serves_many_requests(filled: Edge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", filled.http, timeout=10)
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, "/ready")
        response = connection.getresponse()
        body = response.read()
        ready = b'{"ready": true, "zone": "BOS", "certificates": "accepted"}\n'
        assert (response.status, response.getheader("Content-Length")) == (200, str(len(ready)))
        assert body == (b"" if method == "HEAD" else ready)
    connection.close()
    piped = exchange(filled, b"GET /ready HTTP/1.1\r\n\r\n" * 5 + b"GET /ready HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert piped.count(b"HTTP/1.1 200 OK") == 6
    assert exchange(filled, b"GET /ready HTTP/1.0\r\n\r\n").count(b"Connection: close") == 1


def test_the_probe_makes_its_round_trip_and_says_so(filled: Edge) -> None:
    before = filled.metrics()["committed"]
    for _ in range(2):
        done = probe(filled)
        answer = json.loads(done.stdout)
        assert (done.returncode, answer["ok"], answer["release"]) == (0, True, RELEASE)
    assert filled.metrics()["committed"] == before + 2


def test_the_probe_finds_a_dead_application(new_dead_edge: Edge) -> None:
    done = probe(new_dead_edge)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (1, False)
    assert "refused" in answer["why"]


@pytest.fixture
def new_dead_edge(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    return Edge(tmp_path_factory.mktemp("dead"))


def probe(edge: Edge) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "apps.mqtt.probe", "--port", str(edge.mqtt), "--http", str(edge.http)]
    return subprocess.run(
        [*argv, "--device", "probe-0"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
