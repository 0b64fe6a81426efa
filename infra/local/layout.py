"""Which nodes a platform on one machine has, on which ports and in which folders. Starts nothing.

One folder holds everything that is kept; the sockets are elsewhere, because the path of a Unix socket is at most 107
bytes long:

    ROOT/node.pyz                 the node program, as this platform runs it
    ROOT/keys/build.key           the key that signs manifests; nodes know its public half
    ROOT/ssh/                     the SSH servers' files, where nodes have them
    ROOT/git/repository.git       where environment branches are pushed to
    ROOT/mongod/                  the far store of all environments
    ROOT/ENVIRONMENT/outputs.json what the controller reads
    ROOT/ENVIRONMENT/NODE/        node.json, haproxy.cfg, and what the node program keeps
    /tmp/turnabout-…/ENVIRONMENT/NODE/   its sockets
"""

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import Environment
from infra.application import App, read_app
from infra.balancer import START_LINE, Balancer, Server, haproxy_cfg
from infra.facts import node_facts
from infra.local.places import OneMachine, Places, Spot, Wanted
from infra.outputs import NodeOutput

SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True)
class Node:
    """One node of one environment: its place in the fleet, its folders and its ports."""

    environment: str
    name: str
    zone: str
    app: App
    root: Path
    run: Path
    ports: Mapping[str, int]
    fronts: Mapping[str, int]
    observe_port: int
    observe_token: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Common:
    """What all nodes of a platform share."""

    haproxy: str
    python: str
    mongo_uri: Callable[[str], str]
    """Environment to where its far store is: all of them share one server here."""
    trusted: tuple[str, ...]


def wanted(environment: Environment) -> list[Wanted]:
    """The nodes of an environment that need a place."""
    fleets = environment.fleets.values()
    return [Wanted(environment.name, zone, name) for fleet in fleets for zone, name in fleet.node_names()]


def plan(
    environment: Environment, root: Path, apps: Path, take_port: Callable[[], int], places: Places | None = None
) -> tuple[Node, ...]:
    """Every node of an environment. ``take_port`` gives a free port each time it is called, ``places`` each a place."""
    places = places or OneMachine()
    nodes: list[Node] = []
    for fleet in environment.fleets.values():
        app = read_app(apps, fleet.app)
        for zone, name in fleet.node_names():
            nodes.append(
                Node(
                    environment=environment.name,
                    name=name,
                    zone=zone,
                    app=app,
                    root=root / environment.name / name,
                    run=run_folder(root) / environment.name / name,
                    ports={port: take_port() for port in app.modes},
                    fronts={port: take_port() for port in app.modes},
                    observe_port=take_port(),
                    observe_token=secrets.token_hex(16),
                    spot=places.spot(environment.name, name),
                )
            )
    return tuple(nodes)


def run_folder(root: Path) -> Path:
    """The folder of a platform's sockets: short, and always the same for the same root."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base)) > 40:
        base = Path("/tmp")
    return base / f"turnabout-{digest}"


def write(node: Node, peers: Sequence[Node], common: Common) -> None:
    """The files of one node. ``peers`` are all nodes of its application in its zone, itself among them."""
    for folder in (node.root, node.run):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    if len(os.fsencode(node.run / "balancer.sock")) > SOCKET_PATH_LIMIT:
        raise ValueError(f"{node.run} is too long for a socket in it; set TMPDIR to a shorter folder.")
    balancer = Balancer(
        bind=node.spot.bind,
        run=str(node.run),
        fronts=node.fronts,
        modes=node.app.modes,
        servers=tuple(Server(peer.name, peer.spot.host, peer.ports) for peer in peers),
        ready_port=node.app.ready_port,
        ready_path=node.app.ready_path,
    )
    config, start_line = node.root / "haproxy.cfg", node.root / "session_start.lua"
    start_line.write_text(START_LINE)
    config.write_text(haproxy_cfg(balancer, str(start_line)))
    facts = node_facts(
        node=node.name,
        zone=node.zone,
        environment=node.environment,
        bind=node.spot.host,
        run=str(node.run),
        app=node.app.name,
        ports=node.ports,
        haproxy=common.haproxy,
        config=str(config),
        balancer=balancer,
        observe_port=node.observe_port,
        observe_token=node.observe_token,
        trusted=common.trusted,
        mongo_uri=common.mongo_uri(node.environment),
        python=common.python,
    )
    path = node.root / "node.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")


def output(node: Node) -> NodeOutput:
    """The node, as the controller reads it."""
    return NodeOutput(
        name=node.name,
        zone=node.zone,
        app=node.app.name,
        root=str(node.root),
        transport=node.spot.transport,
        address=node.spot.address,
        observe_url=f"http://{node.spot.host}:{node.observe_port}/observe",
        observe_token=node.observe_token,
        fronts={port: f"{node.spot.host}:{number}" for port, number in node.fronts.items()},
        listens={port: f"{node.spot.host}:{number}" for port, number in node.ports.items()},
        backends=tuple(sorted(node.app.modes)),
        carrier=node.spot.carrier,
        host_key=node.spot.host_key,
    )
