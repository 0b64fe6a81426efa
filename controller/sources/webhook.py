"""A small HTTP listener through which a forge says that something was pushed.

Only ever a hint: it makes the controller look sooner, and what it then sees is what the repository itself says. So a
call must be signed with the shared secret, may be neither long nor slow, and is otherwise not believed in anything.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LONGEST_BODY = 1 << 20
CALLERS = 8
"""Calls that are answered at the same time; one more is hung up on."""

log = logging.getLogger(__name__)


class Webhook:
    """Listens on ``address`` and calls ``hint`` with the branch that a signed call names, None when it names none.

    ``hint`` runs in the caller's thread and must not block. The signature is GitHub's and Gitea's: the header
    ``X-Hub-Signature-256`` holds ``sha256=`` and the HMAC-SHA256 of the body.
    """

    def __init__(
        self, address: tuple[str, int], secret: bytes, hint: Callable[[str | None], None], seconds: float = 5.0
    ) -> None:
        if not secret:
            raise ValueError("A webhook needs a secret: without one anybody could call it.")
        self._server = _Server(address, _handler(secret, hint, seconds))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="webhook", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.server_address[:2]
        return str(host), port

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def signature(secret: bytes, body: bytes) -> str:
    """What the signature header must say of this body."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def branch_of(body: bytes) -> str | None:
    """The branch that a push event names, in the shape that GitHub, GitLab and Gitea share."""
    try:
        ref = json.loads(body)["ref"]
    except (ValueError, TypeError, KeyError):
        return None
    return ref.removeprefix("refs/heads/") if isinstance(ref, str) and ref.startswith("refs/heads/") else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(CALLERS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.warning("webhook: a call from %s ended early", client_address[0], exc_info=log.isEnabledFor(logging.DEBUG))


def _handler(secret: bytes, hint: Callable[[str | None], None], seconds: float) -> type[BaseHTTPRequestHandler]:
    class Call(BaseHTTPRequestHandler):
        timeout = seconds  # of each read

        def setup(self) -> None:
            super().setup()
            # A caller that sends a byte now and then would never run into that: the whole call has an end too.
            self._end = threading.Timer(seconds, self._hang_up)
            self._end.daemon = True
            self._end.start()

        def finish(self) -> None:
            self._end.cancel()
            super().finish()

        def _hang_up(self) -> None:
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()):
                self._answer(411, "Say how long the body is, in Content-Length.")
            elif len(length) > 9 or int(length) > LONGEST_BODY:
                self._answer(413, f"The body is too long; at most {LONGEST_BODY} bytes are read.")
            else:
                body = self.rfile.read(int(length))
                said = self.headers.get("X-Hub-Signature-256", "")
                if len(body) < int(length):
                    self.close_connection = True
                elif not hmac.compare_digest(said.encode(), signature(secret, body).encode()):
                    self._answer(403, "The signature in X-Hub-Signature-256 is not that of this body.")
                else:
                    hint(branch_of(body))
                    self._answer(202, "Thank you; the repository is looked at.")

        def do_GET(self) -> None:
            self._answer(405, "This address takes POST.")

        def _answer(self, code: int, sentence: str) -> None:
            content = f"{sentence}\n".encode()
            self.close_connection = True
            self.send_response(code)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("webhook: " + format, *args)

    return Call
