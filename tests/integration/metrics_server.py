"""A metrics server for tests: real HTTP, and the answers that Prometheus' HTTP API documents, or broken ones."""

from __future__ import annotations

import http.server
import json
import threading
import time
from urllib.parse import parse_qs


def vector(*series: tuple[dict[str, str], str]) -> str:
    result = [{"metric": metric, "value": [1700000000.123, value]} for metric, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


class MetricsServer:
    """Answers every query with ``status`` and ``body``, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, vector()
        self.drips = False
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server.asked.append((self.path, parse_qs(form)))
                self.send_response(server.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                while server.drips:
                    self.wfile.write(b" ")
                    time.sleep(0.02)
                self.wfile.write(server.body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self.drips = False
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)
