"""Calls of AWS that go straight into the emulated cloud of their own process, without a socket on the way.

What answers is what answers on loopback. Who asks it for thousands of things spends most of the time on connections
otherwise.
"""

from __future__ import annotations

import io
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.botocore_stubber import MockRawResponse

PLAIN = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Direct:
    """What botocore asks before it would send a request: a WSGI application's answer to it."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        head: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], error: object = None) -> None:
            head[:] = [int(status.partition(" ")[0]), dict(headers)]

        parts = self._application(environ(request), start)
        try:
            content = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        return AWSResponse(request.url, head[0], head[1], MockRawResponse(content))


def environ(request: AWSPreparedRequest) -> dict[str, Any]:
    """The request as WSGI has it."""
    body = request.body or b""
    content = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
    url = urlsplit(request.url)
    made = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1") or "/",
        "RAW_URI": url.path,
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        made[key if key in PLAIN else f"HTTP_{key}"] = value.decode() if isinstance(value, bytes) else value
    return {**made, "CONTENT_LENGTH": str(len(content))}
