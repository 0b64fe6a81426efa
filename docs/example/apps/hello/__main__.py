"""``python -m apps.hello CONFIG``: serve ``/hello/NAME``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = json.loads(Path(sys.argv[1]).read_text())
COUNTS, ONE_AT_A_TIME = {"asked": 0, "answered": 0, "failed": 0}, threading.Lock()


def greeting(name: str) -> str:
    return f"{CONFIG['settings']['greeting']}, {name}!\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/ready":
            self.answer(200, "ready\n")
        elif self.path == "/metrics":
            with ONE_AT_A_TIME:
                self.answer(200, "".join(f"{name} {count}\n" for name, count in COUNTS.items()))
        else:
            try:
                status, text = 200, greeting(self.path.rpartition("/")[2])
            except Exception as error:  # a check counts it, and the log keeps it
                status, text = 500, repr(error)
                print(self.path, text, file=sys.stderr, flush=True)
            with ONE_AT_A_TIME:  # all three in one step: the law in release.toml holds at every look
                COUNTS["asked"] += 1
                COUNTS["answered" if status == 200 else "failed"] += 1
            self.answer(status, text)

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("X-Release", CONFIG["release"])
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    print("serving", CONFIG["release"], flush=True)
    ThreadingHTTPServer((CONFIG["bind"], CONFIG["ports"]["hello_http"]), Handler).serve_forever()
