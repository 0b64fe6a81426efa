"""The node's HAProxy: its weights are compared with what it says itself each second, and put right.

Which weights are wanted follows from the leases (``promises``); what it logs is counted in ``counting``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .counting import Events
from .errors import Json
from .journal import boottime, say
from .promises import Lease
from .wires import Loop


class Balancer:
    """The node's HAProxy through its runtime socket. It never remembers a weight: it reads, compares and corrects."""

    SURE = 2.0  # seconds in which HAProxy's own checks have seen that a server went, and that it is back

    def __init__(self, loop: Loop, facts: Json, events: Events) -> None:
        self.loop, self.events = loop, events
        self.socket = Path(facts["socket"])
        self.tcp = {name for name, backend in facts["backends"].items() if backend["mode"] == "tcp"}
        self.up, self.since, self.pid, self.dropped = False, 0.0, "", 0
        self.weights: dict[str, int] = {}  # read back
        self.sessions: dict[str, int] = {}
        self.servers_up: dict[str, bool] = {}
        self.wanted: dict[str, int] = {}
        self.drained: frozenset[str] = frozenset()  # servers that a lease holds at 0
        self.away_since: dict[str, float] = {}  # tcp server → since when its clients may have gone elsewhere
        self.not_before: dict[str, float] = {}  # one that lost its clients undrained → when it may be sure to be up
        self.read_at = 0.0
        self.waiters: list[Callable[[], None]] = []
        self.busy, self.rounds = False, 0

    def command(self, words: str, done: Callable[[str | None], None]) -> None:
        line = (words + "\n").encode()
        self.loop.ask(self.socket, line, 2.0, lambda a: done(None if a is None else a.decode("utf-8", "replace")))

    def look(self, waiter: Callable[[], None] | None = None) -> None:
        """Read the balancer; correct what differs from what is wanted, read again, then tell the waiters."""
        if waiter:
            self.waiters.append(waiter)
        self.rounds = 3
        if not self.busy:
            self.busy = True
            self._look()

    def _look(self) -> None:
        self.command("show info;show stat -1 4 -1", self._seen)

    def _seen(self, answer: str | None) -> None:
        try:
            self._read(answer or "")
        except (ValueError, KeyError):
            self.up = False
        commands = self._corrections() if self.up else []
        if commands and self.rounds:
            self.rounds -= 1
            self.command(";".join(commands), lambda _: self._look())
            return
        self._bring_home()
        self.busy, waiters, self.waiters = False, self.waiters, []
        for waiter in waiters:
            waiter()

    def _read(self, answer: str) -> None:
        info, _, table = answer.partition("# pxname")
        known = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        self.up = "Pid" in known and bool(table)
        before, self.weights, self.sessions, self.servers_up = self.sessions, {}, {}, {}
        if not self.up:
            return
        self.dropped = int(known.get("DroppedLogs", 0))
        if known["Pid"] != self.pid:
            self.pid, self.since = known["Pid"], boottime() - float(known.get("Uptime_sec", 0))
            self.away_since, self.not_before = {}, {}
            say("balancer seen", pid=self.pid)
        names, *rows = (line.split(",") for line in ("pxname" + table).splitlines() if line)
        for row in rows:
            values = dict(zip(names, row, strict=False))
            server = f"{values['pxname']}/{values['svname']}"
            if server in self.wanted:
                self.weights[server] = int(values["weight"] or 0)
                self.sessions[server] = int(values["scur"] or 0)
                self.servers_up[server] = not values["status"].startswith(("DOWN", "MAINT"))
        self._notice_loss(before)

    def _notice_loss(self, before: Mapping[str, int]) -> None:
        """A server that lost half of its sessions since the last look was restarted, or died and came back."""
        now = boottime()
        for server in self.sessions:
            ended = self.events.ended.pop(server, 0)
            undrained = self.wanted.get(server) and server not in self.away_since
            if ended and 2 * ended > before.get(server, 0) and undrained and server.partition("/")[0] in self.tcp:
                self.away_since[server] = self.read_at
                self.not_before[server] = now + self.SURE
        self.read_at = now

    def _corrections(self) -> list[str]:
        """What to say so that the balancer is as wanted."""
        commands = []
        for server, wanted in self.wanted.items():
            weight = self.weights.get(server, wanted)
            if weight != wanted:
                commands.append(f"set weight {server} {wanted}")
            if wanted == 0 and server.partition("/")[0] in self.tcp:
                self.away_since.setdefault(server, boottime())
                if weight or (server in self.drained and self.sessions.get(server)):
                    commands.append(f"shutdown sessions server {server}")  # after the weight, or they would come back
        return commands

    def _bring_home(self) -> None:
        """Where a server takes connections again, let whoever came meanwhile reconnect: who belongs there goes there.

        Not only those that this balancer had seen on it: a client that was thrown off comes back through any balancer
        of the zone. Sessions older than that stay; so does everybody whose connection is not known from the log.
        """
        since, now = self.away_since, boottime()
        up = [s for s in since if self.wanted.get(s) and self.weights.get(s) and self.servers_up.get(s)]
        risen = [s for s in up if now >= self.not_before.get(s, 0.0)]
        for server in risen:
            self.not_before.pop(server, None)
        sources = {source for server in risen for source in self.events.elsewhere(server, since.pop(server))}
        if not sources:
            return

        def listed(answer: str | None) -> None:
            found = re.findall(r"^(0x[0-9a-f]+): .*?\bsrc=(\S+)", answer or "", re.MULTILINE)
            commands = [f"shutdown session {session}" for session, source in found if source in sources]
            for start in range(0, len(commands), 200):  # one line to HAProxy holds about 16 kB
                self.command(";".join(commands[start : start + 200]), lambda _: None)
            say("clients brought home", servers=risen, sessions=len(commands))

        self.command("show sess", listed)

    def status(self, leases: Iterable[Lease]) -> Json:
        def nested(flat: Mapping[str, Any]) -> Json:
            tree: Json = {}
            for key, value in flat.items():
                backend, _, server = key.partition("/")
                tree.setdefault(backend, {})[server] = value
            return tree

        held = [{"token": lease.token, "until": lease.until, "weights": dict(lease.weights)} for lease in leases]
        seen: dict[str, Mapping[str, Any]] = {
            "weights": self.weights,
            "sessions": self.sessions,
            "servers_up": self.servers_up,
        }
        return {"up": self.up, "since": self.since, "leases": held} | {key: nested(flat) for key, flat in seen.items()}
