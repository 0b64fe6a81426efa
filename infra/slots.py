"""Where each node of an environment will be: its subnet, its fixed private address and its ports. Pure.

A slot outlives the machine in it. Its address follows from its zone and its letter, so that the balancers of a zone
know their servers before one machine runs, and a machine that is replaced is found where the old one was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from environments import Environment, Infra, Subnet
from infra.application import App
from infra.balancer import Balancer, Server

OBSERVE_PORT = 21000
LISTENS_FROM = 21001
FIRST_ADDRESS = 4  # AWS keeps the first four of each subnet, and the last
ROOT = "/srv/turnabout"
PROGRAM = ("/usr/bin/python3.11", "-I", "-S", f"{ROOT}/node.pyz")


class NoFront(Exception):
    """A port of an application has no port that clients use; the message says which."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One node's place."""

    name: str
    zone: str
    app: App
    subnet: Subnet
    address: str

    @property
    def root(self) -> str:
        return f"{ROOT}/{self.name}"

    @property
    def listens(self) -> dict[str, int]:
        """Port name to the port on which the application itself listens."""
        return {port: LISTENS_FROM + number for number, port in enumerate(sorted(self.app.modes))}


def slots(environment: Environment, infra: Infra, apps: Mapping[str, App]) -> tuple[Slot, ...]:
    """Every node of the environment. A zone of several subnets fills them in turn. Raises NoFront."""
    missing = [
        f"apps/{app}/release.toml names a port {port}; write which port clients use for it into infra.fronts"
        for app in environment.fleets
        for port in sorted(apps[app].modes.keys() - infra.fronts.keys())
    ]
    if missing:
        raise NoFront("\n".join(missing))
    return tuple(
        slot for app, fleet in environment.fleets.items() for slot in _of(fleet.node_names(), infra, apps[app])
    )


def _of(nodes: tuple[tuple[str, str], ...], infra: Infra, app: App) -> list[Slot]:
    found: list[Slot] = []
    for zone, name in nodes:
        number = sum(slot.zone == zone for slot in found)
        subnets = infra.zones[zone]
        subnet = subnets[number % len(subnets)]
        address = IPv4Network(subnet.cidr)[FIRST_ADDRESS + number // len(subnets)]
        found.append(Slot(name, zone, app, subnet, str(address)))
    return found


def speaks_mqtt(slot: Slot) -> bool:
    return "tcp" in slot.app.modes.values()


def balancer_of(slot: Slot, every: tuple[Slot, ...], fronts: Mapping[str, int], run: str, tls: bool) -> Balancer:
    """What HAProxy on one node does: it balances over the nodes of its zone, ``tls`` with certificates for MQTT."""
    peers = [peer for peer in every if (peer.zone, peer.app.name) == (slot.zone, slot.app.name)]
    return Balancer(
        bind=slot.address,
        run=run,
        fronts={port: fronts[port] for port in slot.app.modes},
        modes=slot.app.modes,
        servers=tuple(Server(peer.name, peer.address, peer.listens) for peer in peers),
        ready_port=slot.app.ready_port,
        ready_path=slot.app.ready_path,
        tls=f"{slot.root}/tls" if tls and speaks_mqtt(slot) else "",
    )
