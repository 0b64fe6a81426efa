"""Asking serve: one question, one answer, over its socket. Six of ten calls do only this, so it imports little."""

from __future__ import annotations

import _socket  # what socket is built on: socket itself imports selectors and enum, milliseconds for each call
import json

from .errors import Failed, Json
from .facts import read_facts


def ask_serve(root: str, request: Json, seconds: float = 10.0) -> Json:
    """What serve answers to ``request``; raises Failed when it does not."""
    run = read_facts(root)["run"]
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(f"{run}/control.sock")
        sock.sendall(json.dumps(request).encode() + b"\n")
        heard = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        answer: Json = json.loads(heard)
        return answer
    except (OSError, ValueError) as problem:
        why = f"The node program of {root} does not answer ({problem}): is `supervise` running?"
        raise Failed("silent", why) from None
    finally:
        sock.close()
