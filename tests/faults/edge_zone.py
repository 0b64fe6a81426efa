"""A zone of the edge application as the platform has it, two nodes with a balancer before each, and ways to hurt it.

Devices with certificates come by the balancers. Each way leaves everything running again.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from apps.mqtt.broker.access import DENIED_FILE
from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.preloaded import FailingDisk, WrongClock
from apps.mqtt.tests.running import Edge, Mongod, until
from apps.mqtt.tests.wandering import Sender
from infra.balancer import START_LINE, Balancer, Server, haproxy_cfg
from infra.local.ports import Ports
from infra.local.servers import answers, find_haproxy
from tests.integration.authority import Authority

DAY = 86_400
FULL_AT = 4096  # bytes of each file; everything that a running node writes is beyond


class Front:
    """The balancer of one node, which knows both. Raises ServerMissing."""

    def __init__(self, folder: Path, run: Path, edges: list[Edge], authority: Authority, ports: Ports) -> None:
        self.mqtt = ports.take()
        lua, self._config = folder / "session_start.lua", folder / "haproxy.cfg"
        servers = [Server(e.document["node"], "127.0.0.1", {"mqtt": e.mqtt, "http": e.http}) for e in edges]
        described = Balancer(
            bind="127.0.0.1", run=str(run), fronts={"mqtt": self.mqtt, "http": ports.take()},
            modes={"mqtt": "tcp", "http": "http"}, servers=tuple(servers), tls=str(authority.folder),
        )  # fmt: skip
        run.mkdir()
        lua.write_text(START_LINE)
        self._config.write_text(haproxy_cfg(described, str(lua)))
        self._argv = [find_haproxy(), "-db", "-f", str(self._config)]

    def start(self) -> None:
        with self._config.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(self._argv, stdout=log, stderr=log)
        until(lambda: answers(self.mqtt))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Around:
    """What all zones of a run have in common. Without a C compiler neither flushes fail nor clocks are off."""

    mongod: Mongod
    authority: Authority
    disk: Path | None
    clock: Path | None


class Zone:
    def __init__(self, folder: Path, run: Path, name: str, ack: str, around: Around) -> None:
        self._around, self._run, self._ports = around, run, Ports()
        self.edges = []
        for node in ("a", "b"):
            (folder / node).mkdir()
            uri, port = around.mongod.uri, self._ports.take
            self.edges.append(Edge(folder / node, zone=name, node=node, mongo_uri=uri, port=port, ack=ack))
        self._fronts: dict[str, Front] = {}
        self.revoked: Sender | None = None
        self.faults: dict[str, Callable[[Edge], None]] = {
            "kill ingest": self.kill_ingest,
            "stop ingest": self.stop_ingest,
            "end ingest": self.end_ingest,
            "kill sync": self.kill_sync,
            "stop sync": self.stop_sync,
            "kill far": self.kill_far,
            "stop far": self.stop_far,
            "kill balancer": self.kill_balancer,
            "stop balancer": self.stop_balancer,
            "disk hangs": self.hang_disk,
            "disk full": self.fill_disk,
            "restart both": self.restart_both,
            "certificate revoked": self.revoke,
        }
        if around.disk is not None and around.clock is not None:
            self._disk = FailingDisk(around.disk, folder, *self.edges)
            self._clocks = {edge.document["node"]: WrongClock(around.clock, edge) for edge in self.edges}
            self._off = cycle((DAY, -DAY, 0))
            self.faults |= {"flushes fail, power cut": self.lose_power, "clock off": self.put_clock_off}

    def start(self) -> None:
        for edge in self.edges:
            edge.meet(*self.edges)
            edge.start()
        for edge in self.edges:
            node = edge.document["node"]
            front = Front(edge.directory, self._run / node, self.edges, self._around.authority, self._ports)
            self._fronts[node] = front
            front.start()

    # -- who comes by the balancers ----------------------------------------------------------------------------

    @property
    def doors(self) -> list[int]:
        return [front.mqtt for front in self._fronts.values()]

    def certificate(self, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._around.authority.folder / "ca.pem"))
        context.load_cert_chain(self._around.authority.device(name))
        return context

    # -- ways to hurt it ---------------------------------------------------------------------------------------

    def kill_ingest(self, edge: Edge) -> None:
        edge.kill()
        edge.start()

    def end_ingest(self, edge: Edge) -> None:
        assert edge.stop() == 0
        edge.start()

    def restart_both(self, edge: Edge) -> None:
        for each in self.edges:
            each.kill()
        for each in self.edges:
            each.start()

    def stop_ingest(self, edge: Edge) -> None:
        assert edge.process is not None
        _stop_for_a_while(edge.process.pid)

    def kill_sync(self, edge: Edge) -> None:
        os.kill(edge.forwarder(), signal.SIGKILL)

    def stop_sync(self, edge: Edge) -> None:
        _stop_for_a_while(edge.forwarder())

    def kill_far(self, edge: Edge) -> None:
        self._around.mongod.stop(signal.SIGKILL)
        self._around.mongod.start()

    def stop_far(self, edge: Edge) -> None:
        _stop_for_a_while(self._around.mongod.pid)

    def kill_balancer(self, edge: Edge) -> None:
        front = self._fronts[edge.document["node"]]
        front.kill()
        front.start()

    def stop_balancer(self, edge: Edge) -> None:
        _stop_for_a_while(self._fronts[edge.document["node"]].process.pid)

    def hang_disk(self, edge: Edge) -> None:
        with closing(sqlite3.connect(edge.data / FILE, isolation_level=None, timeout=20)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            time.sleep(1)
            blocker.execute("ROLLBACK")

    def fill_disk(self, edge: Edge) -> None:
        """No file of the process may grow for a while."""
        assert edge.process is not None
        with edge.log.open("a") as log:  # a file like others: grown beyond it takes no line, and never half of one
            log.write(f'{{"event": "padding", "with": "{" " * FULL_AT}"}}\n')
        former = resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (FULL_AT, resource.RLIM_INFINITY))
        time.sleep(1)
        resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, former)

    def lose_power(self, edge: Edge) -> None:
        """After flushes that failed, on both nodes: pages of such a flush count as clean, and never reach the disk."""
        self._disk.fails()
        time.sleep(1)
        self._disk.power_cut(edge)
        self._disk.works()
        edge.start()

    def put_clock_off(self, edge: Edge) -> None:
        """A day ahead, a day behind, right again."""
        off = next(self._off)
        self._clocks[edge.document["node"]].is_off(off)
        self.kill_ingest(edge)
        assert abs(edge.events("ready")[-1]["at"] - time.time() - off) < 60

    def revoke(self, edge: Edge) -> None:
        """A certificate, while its device sends: until it has another one, nothing of it comes in."""
        device = self.revoked
        assert device is not None
        self._deny(f"{device.client}\n")
        refused = device.refusals
        until(lambda: device.refusals > refused)
        acknowledged = len(device.acknowledged)
        until(lambda: device.refusals > refused + 3)
        assert len(device.acknowledged) == acknowledged
        self._deny("")

    def _deny(self, names: str) -> None:
        """On both nodes, and both have read it."""
        read = [len(edge.events("denied_reloaded")) for edge in self.edges]
        for edge in self.edges:
            (edge.data / DENIED_FILE).write_text(names)
        until(lambda: all(len(e.events("denied_reloaded")) > n for e, n in zip(self.edges, read, strict=True)))

    def close(self) -> None:
        for edge in self.edges:
            if not edge.ended():
                edge.kill()
        for front in self._fronts.values():
            front.kill()
        self._ports.close()


@contextmanager
def running_zone(folder: Path, name: str, ack: str, around: Around) -> Iterator[Zone]:
    with TemporaryDirectory(prefix="turnabout-", dir="/tmp") as run:  # of sockets, whose paths must be short
        zone = Zone(folder, Path(run), name, ack, around)
        try:
            zone.start()
            yield zone
        finally:
            zone.close()


def _stop_for_a_while(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)
