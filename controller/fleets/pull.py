"""Pulling one node's ``observe``: an authenticated GET with an end.

A time limit on each read is none on the whole: a node that says a byte now and then would hold its caller for ever. So
the time that is left limits every read here, and what is read has a bound. What the answer means stands in ``answers``.
"""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from controller.errors import Unreachable

LARGEST = 16 << 20
"""Bytes; an answer of a large zone has some hundred thousand."""


def observe(node: str, url: str, token: str, seconds: float) -> bytes:
    """The body that the node answers with. Raises Unreachable on anything else, at the latest after ``seconds``."""
    attempt, place = f"observing {node}", urlsplit(url)
    asked = f"GET {place.path} HTTP/1.0\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
    try:
        said = heard((place.hostname or "", place.port or 80), asked.encode(), time.monotonic() + seconds)
    except TimeoutError:
        raise Unreachable(attempt, f"no whole answer within {seconds:.0f} s", "Look at the node.") from None
    except OSError as error:
        raise Unreachable(attempt, str(error) or type(error).__name__, "Look at the node.") from error
    head, end, body = said.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise Unreachable(attempt, "what came is no answer of HTTP", "Look at what listens there.")
    if words[1] != b"200":
        status = words[1].decode("latin-1")
        raise Unreachable(attempt, f"it answered {status:.20}", "Compare the observe tokens.")
    return body


def heard(address: tuple[str, int], asked: bytes, until: float) -> bytes:
    """Everything that is said until the other side hangs up. Raises TimeoutError at ``until``, or OSError."""
    said = bytearray()
    with socket.create_connection(address, left(until)) as sock:
        sock.settimeout(left(until))
        sock.sendall(asked)
        while len(said) < LARGEST:
            sock.settimeout(left(until))
            more = sock.recv(1 << 18)
            if not more:
                return bytes(said)
            said += more
    raise OSError(f"it says more than {LARGEST >> 20} MB")


def left(until: float) -> float:
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
