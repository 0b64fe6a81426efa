"""Synthetic users against a small server of this test: who asks what, how soon, and until when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from controller.fleets.crowd import Walker

Asked = list[tuple[str, str]]
"""Path and client of every request so far."""
SELDOM, OFTEN = 0.02, 200.0
"""Requests a second: one in fifty seconds, and more than the server can answer at leisure."""


@pytest.fixture
def served() -> Iterator[tuple[str, Asked]]:
    asked: Asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["X-Client-Id"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def comes(what: Callable[[], bool]) -> bool:
    for _ in range(500):
        if what():
            return True
        time.sleep(0.02)
    return False


def test_the_first_request_waits_for_nothing_and_a_raise_does_not_wait_for_the_next_one(
    served: tuple[str, Asked],
) -> None:
    front, asked = served
    walker = Walker("toy", [front], ["/a", "/b"], SELDOM)
    try:
        assert comes(lambda: len(asked) == 1)
        walker.goes(["/a", "/b"], SELDOM)
        walker.goes(["/a", "/b"], OFTEN)
        assert comes(lambda: len(asked) >= 20), "the next one was fifty seconds away"
    finally:
        walker.stop()
    assert {path for path, _ in asked} == {"/a", "/b"}
    assert len({client for _, client in asked}) == len(asked), "each counts by itself"


def test_who_is_stopped_asks_no_more(served: tuple[str, Asked]) -> None:
    front, asked = served
    before = set(threading.enumerate())
    walker = Walker("toy", [front], ["/a"], SELDOM)
    assert comes(lambda: len(asked) == 1)
    walker.stop()
    assert comes(lambda: not [t for t in set(threading.enumerate()) - before if t.name == "synthetic toy"])
