"""Questions and answers over sockets, none of which can hold up the loop.

What is asked and answered is the callers' matter.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .journal import say


class Loop:
    """One selector, one thread: everything waits here, nothing waits anywhere else."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.wires: set[Wire] = set()

    def watch(self, source: Any, events: int, ready: Callable[[], None]) -> None:
        self.selector.register(source, events, ready)

    def turn(self, seconds: float) -> None:
        for key, _ in self.selector.select(max(0.0, seconds)):
            self._call(key.data)
        now = time.monotonic()
        for wire in [wire for wire in self.wires if now >= wire.deadline]:
            self._call(partial(wire.finish, None))

    @staticmethod
    def _call(ready: Callable[[], None]) -> None:
        """What somebody said must not end the node program, for the application would end with it."""
        try:
            ready()
        except Exception as problem:
            say("unexpected", why=repr(problem), where=str(ready))

    def ask(
        self, address: Path | tuple[str, int], words: bytes, seconds: float, done: Callable[[bytes | None], None]
    ) -> None:
        """Send ``words``, read the whole answer, then ``done(answer)``; None when it took too long or failed."""
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = sock.connect_ex(str(address) if isinstance(address, Path) else address)
        except OSError:
            done(None)
            return
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            done(None)
            return
        Wire(self, sock, seconds, done).send(words)

    def serve(self, listener: socket.socket, whole: bytes, answer: Callable[[Wire, bytes], None]) -> None:
        """Answer each caller whose words end with ``whole``."""

        def accept() -> None:
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                sock.setblocking(False)
                wire = Wire(self, sock, 10.0, lambda _: None, whole)
                wire.done = lambda words: answer(wire, words) if words is not None else None

        listener.listen(64)
        listener.setblocking(False)
        self.watch(listener, selectors.EVENT_READ, accept)


class Wire:
    """One connection: it sends, and reads until the end of what the other side says (or until ``whole`` was said)."""

    LIMIT = 8 << 20

    def __init__(
        self, loop: Loop, sock: socket.socket, seconds: float, done: Callable[[bytes | None], None], whole: bytes = b""
    ) -> None:
        self.loop, self.sock, self.done, self.whole = loop, sock, done, whole
        self.deadline = time.monotonic() + seconds
        self.heard, self.unsent, self.last_words, self.open = b"", b"", False, True
        loop.wires.add(self)
        loop.watch(sock, selectors.EVENT_READ, self.ready)

    def send(self, words: bytes, last: bool = False) -> None:
        if self.open:
            self.unsent, self.last_words = self.unsent + words, last
            if last:
                self.loop.watch(self.sock, selectors.EVENT_WRITE, self.ready)
            else:
                self.loop.selector.modify(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self.ready)

    def ready(self) -> None:
        if not self.open:
            return
        try:
            if self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
                if not self.unsent:
                    self.loop.selector.modify(self.sock, selectors.EVENT_READ, self.ready)
            if self.last_words:
                if not self.unsent:
                    self.finish(b"")
                return
            more = self.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.finish(None)
            return
        self.heard += more
        if self.whole and self.heard.endswith(self.whole):
            words, self.heard, self.whole = self.heard, b"", b""
            self.loop.selector.unregister(self.sock)  # until the answer: a caller that half-closes still gets it
            self.done(words)
        elif not more or len(self.heard) > self.LIMIT:
            self.finish(self.heard if not self.whole and not self.unsent else None)

    def finish(self, words: bytes | None) -> None:
        if self.open:
            self.open = False
            with contextlib.suppress(KeyError):
                self.loop.selector.unregister(self.sock)
            self.loop.wires.discard(self)
            self.sock.close()
            if not self.last_words:
                self.done(words)


def http_get(path: str, host: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def http_answer(answer: bytes | None) -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body); status 0 when there was no answer."""
    head, _, body = (answer or b"").partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdigit():
        return 0, {}, b""
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(words[1]), headers, body
