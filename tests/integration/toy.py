"""A small real application for tests of the loop: what a developer would have in ``apps/toy``, and edits of it.

It serves ``/items/N`` from ``answer.py``, which is the file that changes are made to; it counts what it answers, and
says which release it is. Nothing in it can be switched: what is wrong with a release stands in its source.
"""

from __future__ import annotations

MAIN = """\
import http.server, json, socketserver, sys, threading
from pathlib import Path

config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
sys.path.insert(0, str(Path(__file__).parent))
import answer

counts, one_at_a_time = dict.fromkeys(("asked", "answered", "failed"), 0), threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = 200, "yes"
        if self.path == "/metrics":
            with one_at_a_time:
                body = "".join(f"{name} {count}\\n" for name, count in counts.items())
        elif self.path != "/ready":
            try:
                body = answer.answer(int(self.path.rpartition("/")[2]), config["settings"])
                how = answer.answered
            except Exception as error:
                status, body, how = 500, repr(error), answer.failed
                print("cannot answer", self.path, repr(error), file=sys.stderr, flush=True)
            with one_at_a_time:
                how(counts)
        content = body.encode()
        self.send_response(status)
        self.send_header("X-Release", config["release"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 64


print("serving", config["release"], flush=True)
[port] = config["ports"].values()
Server((config["bind"], port), Handler).serve_forever()
"""

ANSWER = """\
def answer(number, settings):
    return f"{settings['greeting']}: item {number}"


def answered(counts):
    counts["asked"] += 1
    counts["answered"] += 1


def failed(counts):
    counts["asked"] += 1
    counts["failed"] += 1
"""

PROBE = """\
import sys, urllib.request
urllib.request.urlopen(f"http://{sys.argv[1]}:{sys.argv[2]}/items/1", timeout=4).read()
"""

RELEASE = """\
app = "{app}"
start = ["python", "apps/{app}/main.py", "--config", "{{config}}"]
stop_seconds = 2
data = "{app}"
ports = {{ {port} = "http" }}
ready = "http://{{bind}}:{{port.{port}}}/ready"
probe = ["python", "apps/{app}/probe.py", "{{bind}}", "{{port.{port}}}"]
on_deadline = "revert"

[data_versions]
reads = [1]
writes = 1

[[checks]]
name = "errors"
kind = "share"
bad = {{ status = "5xx", or = "reset" }}
paths = ["/items/*"]

[[checks]]
name = "counted"
kind = "conservation"
law = "asked = answered + failed"
"""


def files(app: str) -> dict[str, str]:
    """Every file of the application, by its path in the repository. Its port is named after it: backends are too."""
    here = f"apps/{app}"
    return {
        f"{here}/main.py": MAIN,
        f"{here}/answer.py": ANSWER,
        f"{here}/probe.py": PROBE,
        f"{here}/release.toml": RELEASE.format(app=app, port=app),
    }


# ---- edits: what stands in a file before and after ------------------------------------------------------------------

Edit = tuple[str, str, str]
"""File of the application, text that stands there once, and what it becomes."""


def good(word: str) -> Edit:
    """Another answer, as right as the one before."""
    return "answer.py", "def answer(number, settings):\n", f"# {word}\ndef answer(number, settings):\n"


def harm(word: str) -> Edit:
    """Every second item cannot be answered any more."""
    return "answer.py", "    return f", f"    assert number % 2, 'odd numbers only, {word}'\n    return f"


EXITS: Edit = ("answer.py", "def answer(", "raise LookupError('no such table: items')\n\n\ndef answer(")
"""It ends with 1 as soon as it is started."""
HANGS: Edit = ("answer.py", "def answer(", "import time\n\ntime.sleep(600)\n\n\ndef answer(")
"""It starts, and never serves."""
MISCOUNTS: Edit = ("answer.py", 'counts["answered"] += 1', 'counts["answered"] += 2')
"""It answers as it should and counts twice: only its own books show it."""
ONE_WAY: Edit = ("release.toml", 'on_deadline = "revert"', 'on_deadline = "freeze"')
"""Behind it no node goes back."""
