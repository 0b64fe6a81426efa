"""The platform on one machine, running: mongod, a git server, and the nodes of any number of environments.

Everything here is a process of this machine and a child of the process that called ``up``, and dies with it. The node
program is only a file that is named: what it does is its own. No application runs until a release is rolled out.
"""

import http.client
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from environments import Environment
from infra.local import layout
from infra.local.keys import build_key
from infra.local.places import OneMachine, Places
from infra.local.ports import Ports
from infra.local.servers import (
    HOST,
    Server,
    ServerFailed,
    ServerMissing,
    bare_repository,
    find_haproxy,
    mongo_uri,
    start,
    start_git_daemon,
    start_mongod,
    wait_until,
)
from infra.outputs import REPLACE, NodeOutput, Outputs, to_json

READY_SECONDS = 30.0


@dataclass(slots=True)
class Platform:
    """A running platform. ``servers`` are in the order in which they were started, by name."""

    root: Path
    outputs: Mapping[str, Outputs]
    servers: dict[str, Server] = field(default_factory=dict)
    ports: Ports = field(default_factory=Ports)
    places: Places = field(default_factory=OneMachine)

    def __enter__(self) -> "Platform":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_node(self, environment: str, name: str) -> None:
        """Start the node program of one node, again if it was stopped or has died."""
        known = f"{environment}/{name}"
        if known in self.servers:
            self.servers[known].stop()
        node = next(node for node in self.outputs[environment].nodes if node.name == name)
        within = self.places.spot(environment, name).within
        argv = [*within, *self.outputs[environment].program, node.root, "supervise"]
        self.servers[known] = start(known, argv, Path(node.root, "supervise.log"))

    def replace_where_asked(self) -> None:
        """Give every node whose root holds a request another machine: all its processes go, what it kept stays.

        What is started dies with the thread that starts it, so this is for one that stays.
        """
        for environment, outputs in self.outputs.items():
            for node in outputs.nodes:
                asked = Path(node.root, REPLACE)
                if asked.exists():
                    self.start_node(environment, node.name)
                    asked.unlink(missing_ok=True)

    def wait_for_nodes(self) -> None:
        """Return when every node answers its observers."""
        for environment, outputs in self.outputs.items():
            for node in outputs.nodes:
                wait_until(self.servers[f"{environment}/{node.name}"], partial(observed, node), READY_SECONDS)

    def stop(self) -> None:
        """Stop everything, nodes first and all at once, so that each has its whole time to end."""
        running = [server for server in self.servers.values() if server.process.poll() is None]
        nodes = [server for server in running if "/" in server.name]
        for server in nodes:
            server.process.terminate()
        until = time.monotonic() + 15
        for server in nodes:
            server.stop(max(0.1, until - time.monotonic()))
        for server in reversed([server for server in running if "/" not in server.name]):
            server.stop()
        self.places.end()
        self.ports.close()
        shutil.rmtree(layout.run_folder(self.root), ignore_errors=True)


def up(
    root: Path,
    environments: Sequence[Environment],
    program: Path,
    apps: Path,
    far_store: bool = True,
    places: Places | None = None,
) -> Platform:
    """Bring a platform up under ``root``; what an earlier one kept there is taken on.

    ``program`` is the node program, packed to one file, ``apps`` the folder of the applications; without ``far_store``
    there is no mongod, for applications that need none. ``places`` says where nodes are, if not on loopback. Raises
    ``ServerMissing``, ``ServerFailed``, ``BadApp`` or ``NoPortsLeft``; then nothing is left running.
    """
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    platform = Platform(root, {}, places=places or OneMachine())
    try:
        _bring_up(platform, environments, program, apps, far_store)
    except BaseException:
        platform.stop()
        raise
    return platform


def _bring_up(
    platform: Platform, environments: Sequence[Environment], program: Path, apps: Path, far_store: bool
) -> None:
    root, ports, places = platform.root, platform.ports, platform.places
    shutil.rmtree(layout.run_folder(root), ignore_errors=True)  # of a platform that was killed
    _own_folder(layout.run_folder(root))
    places.begin(root, [node for environment in environments for node in layout.wanted(environment)])
    nodes = {environment.name: layout.plan(environment, root, apps, ports.take, places) for environment in environments}
    taken = _take_program(program, root)
    trusted = (build_key(root / "keys" / "build.key"),)
    mongo_port, git_port = ports.take(), ports.take()
    common = layout.Common(find_haproxy(), sys.executable, partial(mongo_uri, places.servers, mongo_port), trusted)
    bare_repository(root / "git" / "repository.git")
    platform.outputs = {
        name: places.described(
            Outputs(
                environment=name,
                nodes=tuple(layout.output(node) for node in planned),
                program=(sys.executable, "-I", "-S", str(taken)),
                mongo_uri=common.mongo_uri(name),
                repository=f"git://{HOST}:{git_port}/repository.git",
                trusted=trusted,
                bastion="",
            )
        )
        for name, planned in nodes.items()
    }
    for planned in nodes.values():
        for node in planned:
            layout.write(node, [peer for peer in planned if (peer.app, peer.zone) == (node.app, node.zone)], common)
    for name, outputs in platform.outputs.items():
        for described in outputs.nodes:
            platform.start_node(name, described.name)
    platform.servers["git daemon"] = start_git_daemon(root / "git", git_port, root / "git" / "daemon.log")
    if far_store:
        platform.servers["mongod"] = start_mongod(root / "mongod", places.servers, mongo_port)
    platform.wait_for_nodes()
    for name, outputs in platform.outputs.items():
        _replace(root / name / "outputs.json", to_json(outputs))


def _take_program(program: Path, root: Path) -> Path:
    """A copy of the node program: what changes in the checkout does not change a running platform."""
    if not program.is_file():
        how = f"make it with `python -m controller.node.pack {program}`, or name it with --program"
        raise ServerMissing(f"The node program {program} is missing; {how}.")
    taken = root / "node.pyz"
    partial = taken.with_suffix(".partial")  # a node that is being started reads the old file or the new one
    shutil.copyfile(program, partial)
    partial.replace(taken)
    return taken


def observed(node: NodeOutput) -> bool:
    """Whether the node program of a node answers."""
    where = urlsplit(node.observe_url)
    connection = http.client.HTTPConnection(where.netloc, timeout=2)
    try:
        connection.request("GET", where.path, headers={"Authorization": f"Bearer {node.observe_token}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _own_folder(path: Path) -> None:
    """A folder that only we can use: its name can be guessed, and the folder above it is everybody's."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid():
        raise ServerFailed(f"{path} belongs to somebody else; remove it, or set TMPDIR to a folder of your own.")


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)
