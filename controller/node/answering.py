"""Who asks serve, and how each is answered: commands over the control socket, ``GET /observe`` over HTTP.

What an order does is not decided here: ``obey`` is handed in.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable

from .balancer import Balancer
from .errors import Failed, Json, Refused
from .observing import Observing
from .promises import Command
from .wires import Wire


class Answering:
    """Reads a question from a wire and writes the answer to it."""

    def __init__(
        self, observing: Observing, obey: Callable[[Command], None], balancer: Balancer | None, token: str
    ) -> None:
        self.observing, self.obey, self.balancer, self.token = observing, obey, balancer, token

    def command(self, wire: Wire, line: bytes) -> None:
        def reply(error: Json | None = None, **fields: object) -> None:
            answer = {"ok": error is None, "error": error} | fields | {"status": self.observing.status()}
            wire.send(json.dumps(answer).encode() + b"\n", last=True)

        def seen(answer: Json) -> None:
            wire.send(json.dumps({"ok": True, "error": None} | answer).encode(), last=True)

        try:
            request = json.loads(line)
            verb = request.pop("verb")
            if verb == "status":
                reply()
            elif verb == "observe":
                self.observing.observe(seen)
            else:
                weights = tuple((server, weight) for server, weight in request.pop("weights", ()))
                self.obey(Command(verb, weights=weights, **request))
                if verb == "traffic" and self.balancer:
                    self.balancer.look(lambda: reply(applied=self._applied()))
                else:
                    reply()
        except (Refused, Failed) as refusal:
            reply({"kind": refusal.kind, "sentence": refusal.sentence})
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            reply({"kind": "usage", "sentence": f"The node program does not understand this: {problem!r}."})

    def _applied(self) -> bool:
        """Whether the balancer has every leased weight (it may be down; serve keeps trying)."""
        balancer = self.balancer
        return bool(balancer and all(balancer.weights.get(s) == weight for s, weight in balancer.wanted.items()))

    def http(self, wire: Wire, head: bytes) -> None:
        def reply(status: str, body: bytes) -> None:
            headers = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            wire.send(headers.encode() + b"Connection: close\r\n\r\n" + body, last=True)

        lines = head.decode("latin-1").split("\r\n")
        given = next(
            (line.partition(":")[2].strip() for line in lines if line.lower().startswith("authorization:")), ""
        )
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self.token}".encode()):
            reply("401 Unauthorized", b'{"error":"observe needs this node\'s bearer token"}')
        elif lines[0].split()[:2] != ["GET", "/observe"]:
            reply("404 Not Found", b'{"error":"only GET /observe is answered here"}')
        else:
            self.observing.observe(lambda seen: reply("200 OK", json.dumps(seen).encode()))
