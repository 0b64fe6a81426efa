"""Clients of a small platform, counting what became of every request; and gates, through which a link can be cut."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class Served:
    """What clients got from one release; times are boot time, of when a request was sent."""

    requests: int = 0
    bad: int = 0
    first: float = 0.0
    last: float = 0.0


class Crowd:
    """A thread for each address, which asks for one item after the other at a steady pace.

    Which items is drawn, not counted up: beside a balancer that goes round, every second one would be one server's.
    """

    def __init__(self, per_second: float = 20.0) -> None:
        self._pace = 1 / per_second
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._served: dict[str, Served] = defaultdict(Served)
        self.unanswered: list[tuple[float, str, str]] = []
        """(boot time, address, what came instead) of requests that no release answered."""

    def visit(self, addresses: Iterable[str], enter: Callable[[], None] = lambda: None) -> None:
        """``enter`` takes a client's thread to where clients are."""
        for address in addresses:
            thread = threading.Thread(target=self._ask, args=(address, enter), daemon=True)
            self._threads.append(thread)
            thread.start()

    def served(self, release: str) -> Served:
        with self._lock:
            one = self._served[release]
            return Served(one.requests, one.bad, one.first, one.last)

    def unanswered_since(self, at: float) -> list[str]:
        with self._lock:
            return [came for sent, _, came in self.unanswered if sent >= at]

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _ask(self, address: str, enter: Callable[[], None]) -> None:
        enter()
        connection, draw = http.client.HTTPConnection(address, timeout=4), random.Random(address)
        while not self._stop.wait(self._pace):
            number = draw.randrange(1, 1000)
            sent = time.clock_gettime(time.CLOCK_BOOTTIME)
            try:
                connection.request("GET", f"/items/{number}", headers={"X-Client-Id": f"c{number % 40}"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._note(sent, address, None, repr(error))
                continue
            self._note(sent, address, answer.getheader("X-Release"), str(answer.status))

    def _note(self, sent: float, address: str, release: str | None, came: str) -> None:
        with self._lock:
            if release is None:
                self.unanswered.append((sent, address, came))
                return
            one = self._served[release]
            one.first = one.first or sent
            one.requests, one.bad, one.last = one.requests + 1, one.bad + (came != "200"), sent


class Gate:
    """A port that leads to another one while it is ``open``.

    ``silent``: it accepts, and nobody answers; ``closed``: it hangs up; ``strange``: it says ``says`` itself and hangs
    up; ``dripping``: it says ``says`` and then goes on for ever, a byte at a time.
    """

    def __init__(self, to: tuple[str, int], delay: float = 0.0) -> None:
        """``delay``: seconds that each connection waits before it leads anywhere."""
        self._to, self._delay = to, delay
        self.state, self.says = "open", b""
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for sock in self._held:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.state == "silent":
                self._held.append(client)
            elif self.state == "closed":
                client.close()
            elif self.state in ("strange", "dripping"):
                threading.Thread(target=self._speak, args=(client,), daemon=True).start()
            else:
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _speak(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(self.says)
            while self.state == "dripping":
                time.sleep(0.2)
                client.sendall(b" ")

    def _lead(self, client: socket.socket) -> None:
        time.sleep(self._delay)
        with client, contextlib.suppress(OSError), socket.create_connection(self._to, 2) as server:
            server.settimeout(None)
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join(30)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
