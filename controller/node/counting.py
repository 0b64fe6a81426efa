"""What the balancer logged, counted outside of the candidate: by server, path class, client and latency.

No judgement: the controller compares the arms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .errors import Json

EDGES_MS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000)

AGAIN = 5
"""Seconds in which a client that failed counts no more, good or bad: it tries again, and all of it is one failure."""


@dataclass(slots=True)
class Row:
    """Events of one server and path class since serve started."""

    total: int = 0
    bad: int = 0
    clients: int = 0  # sum over past seconds of the distinct clients in each, but for those that failed just before
    bad_clients: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    second: int = 0
    seen: set[str] = field(default_factory=set)
    failed: dict[str, int] = field(default_factory=dict)
    """Client to the second in which it failed, the oldest first, for as long as it counts no more."""

    def note(self, second: int, client: str, bad: bool, ms: float | None) -> None:
        if second != self.second:
            self.clients += len(self.seen)
            self.second, self.seen = second, set()
            while self.failed and second - next(iter(self.failed.values())) >= AGAIN:
                del self.failed[next(iter(self.failed))]
        self.total += 1
        self.bad += bad
        if client not in self.failed:
            self.seen.add(client)
            if bad:
                self.failed[client] = second
                self.bad_clients += 1
        if ms is not None:
            self.buckets[next((i for i, edge in enumerate(EDGES_MS) if ms <= edge), len(EDGES_MS))] += 1


class Events:
    """Counts the balancer's log lines, and knows which tcp client is connected from where."""

    KNOWN_CLIENTS = 50_000

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.ended: dict[str, int] = {}  # backend/server → tcp sessions that ended since somebody asked
        self.samples: deque[Json] = deque(maxlen=40)
        self.connected: dict[str, tuple[str, str, float]] = {}  # client → (backend/server, source, since)
        self.drained: Callable[[str], bool] = lambda server: False
        self.patterns: tuple[str, ...] = ()
        self._classes: dict[str, str] = {}
        self.unread = 0

    def use(self, patterns: Iterable[str]) -> None:
        if (patterns := tuple(dict.fromkeys(patterns))) != self.patterns:
            self.patterns, self._classes = patterns, {}

    def class_of(self, path: str) -> str:
        path = path.partition("?")[0]
        if (known := self._classes.get(path)) is None:
            known = next((pattern for pattern in self.patterns if matches(path, pattern)), "other")
            if len(self._classes) < 10_000:
                self._classes[path] = known
        return known

    def note(self, line: bytes, at: float) -> None:
        """Count one line; what cannot be read is counted as unread, nothing more."""
        try:
            kind, backend, server, code, ms, termination, client, how, path = (
                line.decode("utf-8", "replace").strip("\r\n\0").split("|", 8)
            )
            ms, *sizes = ms.split(",")  # a balancer that is configured as it was before says no sizes
            took = float(ms)  # "+12" when HAProxy logged before the end
            size = (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else (0, 0)
            if kind == "http":
                bad = int(code) >= 500 or int(code) == -1 or termination.startswith("S")
                self._count(backend, server, self.class_of(path), client, bad, took, at, int(code), path, size)
            elif kind == "tcp":
                self._session(f"{backend}/{server}", code, client, how.strip() == "start", at)
                if how.strip() == "end":
                    bad = termination.startswith("S") and not self.drained(f"{backend}/{server}")
                    self._count(backend, server, "other", client, bad, None, at, termination, path, size)
            else:
                self.unread += 1
        except ValueError:
            self.unread += 1

    def _count(
        self,
        backend: str,
        server: str,
        kind: str,
        client: str,
        bad: bool,
        ms: float | None,
        at: float,
        status: object,
        path: str,
        size: tuple[int, int],
    ) -> None:
        """``ms`` is None for a session: how long a device stayed says nothing about how slow the server is."""
        row = self.rows.setdefault((backend, server, kind), Row())
        row.note(int(at), client, bad, ms)
        row.bytes_in, row.bytes_out = row.bytes_in + size[0], row.bytes_out + size[1]
        if bad:
            self.samples.append(
                {"at": round(at, 3), "server": server, "path": path, "status": status, "client": client, "ms": ms}
            )

    def _session(self, server: str, source: str, client: str, begins: bool, at: float) -> None:
        known = self.connected.get(client)
        if begins and (known or len(self.connected) < self.KNOWN_CLIENTS):
            self.connected[client] = (server, source, at)
        elif not begins and known and known[1] == source:
            del self.connected[client]
            self.ended[server] = self.ended.get(server, 0) + 1

    def elsewhere(self, server: str, since: float) -> list[str]:
        """Where those come from that connected since then to another server of the same backend."""
        backend = server.partition("/")[0]
        return [
            source
            for where, source, began in self.connected.values()
            if began >= since and where != server and where.partition("/")[0] == backend
        ]

    def listed(self) -> list[Json]:
        return [
            {"backend": backend, "server": server, "class": kind, "total": row.total, "bad": row.bad}
            | {"clients": row.clients + len(row.seen), "bad_clients": row.bad_clients}
            | {"bytes_in": row.bytes_in, "bytes_out": row.bytes_out, "buckets": row.buckets}
            for (backend, server, kind), row in sorted(self.rows.items())
        ]


def matches(path: str, pattern: str) -> bool:
    """fnmatch, segment by segment: a * never crosses a slash."""
    parts, wanted_parts = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted_parts) and all(map(fnmatchcase, parts, wanted_parts))
