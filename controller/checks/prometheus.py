"""Asking a server that speaks Prometheus' HTTP API: Prometheus itself, VictoriaMetrics, Thanos, Mimir.

One instant query, one number for each node. The server is not trusted to answer in time, nor to answer sense: whatever
is not exactly what its documentation promises is trouble with a sentence, and never a number.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from controller.errors import Refused, Unreachable

SECONDS = 3.0
"""To connect, and then to the last byte of the answer, however slowly it drips."""
MOST_BYTES = 1 << 20
REMEDY = "Look at the server that judge.prometheus names."


class Prometheus:
    """Any number of servers; nothing is remembered of them."""

    def values(self, server: str, query: str, label: str) -> Mapping[str, float]:
        attempt = f"asking {server}"
        try:
            status, content = post(server, query)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(attempt, str(error) or type(error).__name__, REMEDY) from error
        return read(attempt, query, label, status, content)


def post(server: str, query: str) -> tuple[int, bytes]:
    """Status and body of the answer to an instant query. Raises OSError, HTTPException or ValueError."""
    url = urlsplit(server)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=SECONDS)
    try:
        body = urlencode({"query": query, "timeout": f"{SECONDS:g}s"})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        connection.connect()
        with hung_up(connection.sock):
            connection.request("POST", f"{url.path.rstrip('/')}/api/v1/query", body, headers)
            response = connection.getresponse()
            content = response.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"its answer is longer than {MOST_BYTES:,} bytes")
        return response.status, content
    finally:
        connection.close()


@contextmanager
def hung_up(sock: socket.socket) -> Iterator[None]:
    """After SECONDS the connection is ended from this side: a limit for each read alone would let it drip for ever."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(SECONDS, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"its answer took longer than {SECONDS:g} s")


def read(attempt: str, query: str, label: str, status: int, content: bytes) -> dict[str, float]:
    """The numbers in an answer, by node."""
    try:
        answer = json.loads(content)
        if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
            raise ValueError("an object with a status is missing")
    except (ValueError, RecursionError) as error:
        said = f"it answered {status}, and nothing that its HTTP API knows ({error})"
        raise Unreachable(attempt, said, REMEDY) from error
    if answer["status"] == "error":
        said = f"{answer.get('errorType', 'error')}: {answer.get('error', '')}"
        if answer.get("errorType") == "bad_data" or status in (400, 422):
            raise Refused(attempt, f"it does not understand {query} ({said})", "Correct the query in release.toml.")
        raise Unreachable(attempt, said, REMEDY)
    try:
        return by_node(answer["data"], query, label, attempt)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Unreachable(attempt, f"its answer makes no sense ({error!r})", REMEDY) from error


def by_node(data: Mapping[str, Any], query: str, label: str, attempt: str) -> dict[str, float]:
    """One number for each value of ``label``; not a number, or infinite (something by zero), is none."""
    mend = f"Write it as sum by ({label}) (…), in release.toml."
    if data["resultType"] != "vector":
        raise Refused(attempt, f"{query} is a {data['resultType']}, not a value for each node", mend)
    found: dict[str, float] = {}
    for series in data["result"]:
        node = series["metric"].get(label)
        if node is None:
            raise Refused(attempt, f"{query} has a series without the label {label}", mend)
        if node in found:
            raise Refused(attempt, f"{query} has two series for {node}", mend)
        found[node] = float(series["value"][1])
    return {node: value for node, value in found.items() if math.isfinite(value)}
