"""One node's HAProxy configuration: the text, and what the real HAProxy does with it."""

import contextlib
import itertools
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from infra.balancer import START_LINE, Balancer, Server, backends, haproxy_cfg
from infra.facts import node_facts
from infra.local.servers import ServerMissing, answers, find_haproxy

MODES = {"mqtt": "tcp", "http": "http"}


def balancer(run: str = "/run/bos-a", servers: tuple[Server, ...] | None = None, **ports: int) -> Balancer:
    if servers is None:
        servers = tuple(
            Server(f"bos-{letter}", "127.0.0.1", {"mqtt": 21001 + 10 * i, "http": 21002 + 10 * i})
            for i, letter in enumerate("abc")
        )
    fronts = ports or {"mqtt": 22001, "http": 22002}
    return Balancer("127.0.0.1", run, fronts, {name: MODES[name] for name in fronts}, servers)


# ---------------------------------------------------------------- the text


def test_one_backend_asks_and_the_others_follow_its_answer() -> None:
    lines = [line.strip() for line in haproxy_cfg(balancer(), "start.lua").splitlines()]
    assert "server bos-b 127.0.0.1:21012 weight 100 check" in lines
    assert "server bos-b 127.0.0.1:21011 weight 100 track http/bos-b" in lines


def test_an_application_without_mqtt_gets_no_tcp_section() -> None:
    assert "mode tcp" not in haproxy_cfg(balancer(http=22002), "start.lua")


def test_servers_must_be_checkable() -> None:
    with pytest.raises(ValueError, match=r"ready port 'http' is not of kind http"):
        haproxy_cfg(balancer(mqtt=22001), "start.lua")


def test_the_node_is_told_where_the_nodes_of_its_zone_are() -> None:
    told = node_facts(
        node="bos-a", zone="BOS", environment="dev", bind="127.0.0.1", run="/run", app="mqtt", ports={"http": 21002},
        haproxy="haproxy", config="haproxy.cfg", balancer=balancer(), observe_port=1, observe_token="t", trusted=(),
        mongo_uri="mongodb://x", python="python",
    )  # fmt: skip
    assert told["peers"] == {
        f"bos-{letter}": {"host": "127.0.0.1", "ports": {"mqtt": 21001 + 10 * at, "http": 21002 + 10 * at}}
        for at, letter in enumerate("abc")
    }


def test_the_node_is_told_the_base_weights() -> None:
    weights = {"bos-a": 100, "bos-b": 100, "bos-c": 100}
    assert backends(balancer()) == {
        "http": {"mode": "http", "servers": weights},
        "mqtt": {"mode": "tcp", "servers": weights},
    }


# ---------------------------------------------------------------- the real thing


class App:
    """Stands in for the application of one node: an HTTP port, and a port that acknowledges whatever it is sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.sessions: list[socket.socket] = []
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/reset":
                    self.close_connection = True
                    return
                bad = self.path.startswith("/broken") or (self.path == "/ready" and not app.ready)
                self.send_response(500 if bad else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.mqtt = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                session, _ = self.mqtt.accept()
            except OSError:
                return
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    @staticmethod
    def _serve(session: socket.socket) -> None:
        with session, contextlib.suppress(OSError):
            while session.recv(1000):
                session.sendall(b"\x20\x02\x00\x00")

    def close(self) -> None:
        self.http.shutdown()
        for end in (self.http.socket, self.mqtt, *self.sessions):
            end.close()


class Zone:
    """A real HAProxy before two applications, and the lines that it writes to the node program."""

    def __init__(self, run: Path, haproxy: str, tls: str = "") -> None:
        self.apps = {name: App(name) for name in ("bos-a", "bos-b")}
        servers = tuple(
            Server(name, "127.0.0.1", {"http": app.http.server_port, "mqtt": app.mqtt.getsockname()[1]})
            for name, app in self.apps.items()
        )
        free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.mqtt, self.http = (end.getsockname()[1] for end in free)
        for end in free:
            end.close()
        self.log = socket.socket(socket.AF_UNIX)
        self.log.bind(str(run / "log.sock"))
        self.log.listen()
        self.log.settimeout(5)
        self.lines: IO[bytes] | None = None
        self.run = run
        config, lua = run / "haproxy.cfg", run / "start.lua"
        lua.write_text(START_LINE)
        described = replace(balancer(str(run), servers, mqtt=self.mqtt, http=self.http), tls=tls)
        config.write_text(haproxy_cfg(described, str(lua)))
        checked = subprocess.run([haproxy, "-c", "-f", str(config)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr
        self.process = subprocess.Popen([haproxy, "-db", "-f", str(config)], stderr=(run / "stderr").open("wb"))
        eventually(lambda: (run / "balancer.sock").exists() and answers(self.http))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for app in self.apps.values():
            app.close()
        if self.lines:
            self.lines.close()
        self.log.close()

    def line(self) -> list[str]:
        if self.lines is None:
            connection, _ = self.log.accept()
            connection.settimeout(5)
            with connection:
                self.lines = connection.makefile("rb")
        return self.lines.readline().decode().rstrip("\n").split("|")

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(5)
            admin.connect(str(self.run / "balancer.sock"))
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()

    def status(self, backend: str, server: str) -> str:
        for row in self.ask("show stat").splitlines():
            fields = row.split(",")
            if fields[:2] == [backend, server]:
                return fields[17]
        return "absent"

    def get(self, path: str, client: str | None = None) -> tuple[int, str | None]:
        connection = HTTPConnection("127.0.0.1", self.http, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"X-Client-Id": client} if client else {})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("X-Served-By")

    def connect(self, client: str) -> socket.socket:
        name = client.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
        session = socket.create_connection(("127.0.0.1", self.mqtt), 5)
        session.sendall(bytes([0x10, len(body)]) + body)
        assert session.recv(4) == b"\x20\x02\x00\x00"
        return session


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "did not become true"
        time.sleep(0.02)


@pytest.fixture
def zone() -> Iterator[Zone]:
    try:
        haproxy = find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with TemporaryDirectory(prefix="turnabout-", dir="/tmp") as run:
        zone = Zone(Path(run), haproxy)
        try:
            yield zone
        finally:
            zone.close()


def test_no_line_is_lost_while_nobody_reads_them(zone: Zone) -> None:
    for number in range(60):
        zone.get(f"/v1/devices/{number}")
    assert [zone.line()[8] for _ in range(60)] == [f"/v1/devices/{number}" for number in range(60)]


def test_each_request_is_one_line(zone: Zone) -> None:
    status, server = zone.get("/v1/devices/d7/latest?fresh=1", client="reader-1")
    assert status == 200
    assert server in zone.apps
    line = zone.line()
    assert line[:4] == ["http", "http", server, "200"]
    took, sent, answered = (int(one) for one in line[4].split(","))
    assert took < 60_000 and sent > len("GET /v1/devices/d7/latest?fresh=1 HTTP/1.1") and answered > 0
    assert line[5:] == ["--", "reader-1", "GET", "/v1/devices/d7/latest"]


def test_a_client_without_a_name_is_its_address_and_a_name_cannot_break_the_line(zone: Zone) -> None:
    zone.get("/")
    assert zone.line()[6] == "127.0.0.1"
    zone.get("/", client="a|b c\t" + "x" * 500)
    line = zone.line()
    assert len(line) == 9
    assert line[6] == "a_b_c_" + "x" * 58


def test_bad_answers_are_told_apart_from_broken_ones(zone: Zone) -> None:
    status, server = zone.get("/broken")
    assert status == 500
    line = zone.line()
    assert line[2:4] == [server, "500"]
    assert line[5] == "--"
    status, server = zone.get("/reset")
    assert status == 502
    line = zone.line()
    assert line[2] == server
    assert line[3] == "502"
    assert line[5].startswith("S")


def test_a_session_is_one_line_at_its_start_and_one_at_its_end(zone: Zone) -> None:
    session = zone.connect("d|007")
    source = "{}:{}".format(*session.getsockname())
    start = zone.line()
    assert start[:2] == ["tcp", "mqtt"]
    assert start[2] in zone.apps
    assert start[3] == source
    assert start[4].isdigit()
    assert start[5:] == ["--", "d_007", "start", ""]
    session.close()
    end = zone.line()
    assert end[:4] == start[:4]
    assert all(one.isdigit() for one in end[4].split(",")) and end[4].count(",") == 2
    assert end[5:] == ["--", "d_007", "end", ""]


def test_a_client_of_mqtt_5_has_the_same_home_as_one_of_3_1_1(zone: Zone) -> None:
    zone.connect("d007").close()
    home = zone.line()[2]
    zone.line()
    name, expiry = b"\0\4d007", b"\5\x11\0\0\1\x2c"  # a property stands before the client id
    body = b"\0\4MQTT\5\0\0\x3c" + expiry + name
    with socket.create_connection(("127.0.0.1", zone.mqtt), 5) as session:
        session.sendall(bytes((0x10, len(body))) + body)
        start = zone.line()
    assert (start[2], start[6]) == (home, "d007")


def test_what_is_not_mqtt_reaches_no_server(zone: Zone) -> None:
    with socket.create_connection(("127.0.0.1", zone.mqtt), 5) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""
    line = zone.line()
    assert line[:3] == ["tcp", "mqtt", "<NOSRV>"]
    assert line[5:] == ["PR", "-", "end", ""]


def test_a_device_has_one_home_and_all_servers_are_homes(zone: Zone) -> None:
    homes: dict[str, set[str]] = {}
    for _, number in itertools.product(range(2), range(21)):
        zone.connect(f"d{number:04d}").close()
        first, second = zone.line(), zone.line()
        homes.setdefault(f"d{number:04d}", set()).update((first[2], second[2]))
    assert all(len(found) == 1 for found in homes.values())
    assert len(Counter(server for found in homes.values() for server in found)) == 2


def test_weights_are_set_through_the_socket_and_sessions_leave_when_shut(zone: Zone) -> None:
    session = zone.connect("d1")
    home = zone.line()[2]
    other = next(name for name in zone.apps if name != home)
    assert zone.ask(f"set server mqtt/{home} weight 0") == "\n"
    assert zone.ask(f"set server http/{home} weight 0") == "\n"
    assert {zone.get("/")[1] for _ in range(6)} == {other}
    for _ in range(6):
        zone.line()
    zone.ask(f"shutdown sessions server mqtt/{home}")
    assert session.recv(10) == b""
    assert zone.line()[5:8] == ["K-", "d1", "end"]
    zone.connect("d1").close()
    assert zone.line()[2] == other


def test_a_server_that_is_not_ready_loses_its_requests_and_its_sessions(zone: Zone) -> None:
    session = zone.connect("d1")
    home = zone.line()[2]
    zone.apps[home].ready = False
    assert session.recv(10) == b""
    assert zone.line()[5:8] == ["D-", "d1", "end"]
    assert zone.status("http", home) == zone.status("mqtt", home) == "DOWN"
    zone.apps[home].ready = True
    eventually(lambda: zone.status("mqtt", home) == zone.status("http", home) == "UP")


def test_only_lines_of_the_contract_reach_the_log(zone: Zone) -> None:
    for app in zone.apps.values():
        app.ready = False
    eventually(lambda: all(zone.status("http", name) == "DOWN" for name in zone.apps))
    assert zone.get("/") == (503, None)
    line = zone.line()
    assert line[:4] == ["http", "http", "<NOSRV>", "503"]
