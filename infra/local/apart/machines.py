"""The source's topology on one machine: a region, a bastion, nodes at the edge, a carrier's network with clients.

Each is a network namespace with addresses of its own, all of them reserved for documentation:

    192.0.2.0/26       region      the controller, git and the far store
    192.0.2.64/26      public      the bastion
    192.0.2.128/25     nodes of zones in the region
    198.51.100.0/24    nodes at the edge, a /28 for each zone of each environment
    203.0.113.0/25     carrier     clients, and the address by which each edge node is theirs
    203.0.113.128/25   internet    by which clients reach the region's nodes

One router joins all but the carrier's network, and keeps what security groups keep: SSH comes to nodes from the bastion
only; zones at the edge do not reach each other; nothing comes in to them from the internet. To the carrier's network
the region has no way at all.
"""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from infra.local.apart.namespaces import Namespace, switch, wire
from infra.local.apart.sshd import find_sshd, host_key, start_sshd, wait_until_listening
from infra.local.keys import ssh_key
from infra.local.places import Spot, Wanted
from infra.local.servers import Server, ServerFailed, ServerMissing
from infra.outputs import Outputs

REGION, PUBLIC = IPv4Network("192.0.2.0/26"), IPv4Network("192.0.2.64/26")
INLAND, EDGE = IPv4Network("192.0.2.128/25"), IPv4Network("198.51.100.0/24")
CARRIER, INTERNET = IPv4Network("203.0.113.0/25"), IPv4Network("203.0.113.128/25")
ZONE_BITS = 28
IN_REGION = "region"
"""The zone whose nodes are in the region; every other zone is at the edge."""


class Apart:
    """Places apart from each other. Between ``begin`` and ``end`` the calling thread is in the region."""

    def __init__(self) -> None:
        self.running: dict[str, Server] = {}
        """The SSH servers: ``sshd bastion``, ``sshd ENVIRONMENT/NODE``."""
        self.inside: tuple[str, ...] = ()
        self.clients: tuple[str, ...] = ()
        self.cut_off, self.told = True, ", each a machine of its own behind a bastion"
        self.servers = str(REGION[10])
        self.bastion = str(PUBLIC[10])
        self._networks: dict[str, Namespace] = {}
        self._spots: dict[tuple[str, str], Spot] = {}
        self._plugs: dict[str, str] = {}
        self.keys = Path()
        """The folder of the key with which the controller comes."""
        self._folder = Path()
        self._outside: Namespace | None = None

    # ---- places

    @staticmethod
    def needs() -> None:
        """Raises ServerMissing, with the reason, where this machine cannot place nodes apart."""
        if os.getuid() != 0:
            raise ServerMissing("Nodes in networks of their own need root, which alone may make such networks.")
        find_sshd()
        Namespace("to try").close()

    def begin(self, root: Path, nodes: Sequence[Wanted]) -> None:
        self.needs()
        self.keys, self._folder = root / "keys", root / "ssh"
        self._outside = Namespace.current()
        for name in ("router", "region", "bastion", "carrier"):
            self._networks[name] = Namespace(name)
        self._build()
        for node, (network, number) in _placed(nodes).items():
            self._add(node, network, number)
        self._guard()
        self._start_ssh(self.keys / "ssh.key")
        self._networks["region"].enter()
        self.inside, self.clients = self._networks["region"].within, self._networks["carrier"].within

    def spot(self, environment: str, name: str) -> Spot:
        return self._spots[environment, name]

    def described(self, outputs: Outputs) -> Outputs:
        key = host_key(self._folder / "bastion")
        return replace(outputs, bastion=self.bastion, bastion_host_key=key, ssh_user=getpass.getuser())

    def end(self) -> None:
        if self._outside is not None:
            self._outside.enter()
        for server in self.running.values():
            server.process.kill()  # and with it everybody who is logged in
        for server in self.running.values():
            server.stop()
        for network in self._networks.values():
            network.close()
        if self._outside is not None:
            self._outside.close()
        self._outside = None
        self._networks.clear()

    # ---- networks

    def _build(self) -> None:
        """The router with its switches, and everybody who is no node."""
        router, carrier = self._networks["router"], self._networks["carrier"]
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for name, network in (("region", REGION), ("public", PUBLIC), ("inland", INLAND)):
            switch(router, name, f"{network[1]}/{network.prefixlen}")
        switch(carrier, "carrier", f"{CARRIER[1]}/{CARRIER.prefixlen}")
        self._plug("region", "region", REGION, REGION[10])
        self._plug("bastion", "public", PUBLIC, PUBLIC[10])
        wire(router, "internet", carrier, "eth0")
        router.ip(f"addr add {INTERNET[1]}/{INTERNET.prefixlen} dev internet", "link set dev internet up")
        carrier.ip(
            f"addr add {INTERNET[2]}/{INTERNET.prefixlen} dev eth0", "link set dev eth0 up",
            f"route add default via {INTERNET[1]}",
        )  # fmt: skip

    def _plug(self, name: str, into: str, network: IPv4Network, address: object) -> None:
        """Wire a machine to a switch of the router, which is its way to everywhere else."""
        plug = self._plugs[name] = f"v{len(self._plugs)}"
        wire(self._networks["router"], plug, self._networks[name], "eth0")
        self._networks["router"].ip(f"link set dev {plug} master {into} up")
        self._networks[name].ip(
            f"addr add {address}/{network.prefixlen} dev eth0", "link set dev eth0 up",
            f"route add default via {network[1]}",
        )  # fmt: skip

    def _add(self, node: Wanted, network: IPv4Network, number: int) -> None:
        """A node's machine: its own address and, at the edge, one in the carrier's network."""
        name, router = f"{node.environment}/{node.name}", self._networks["router"]
        self._networks[name] = Namespace(name)
        into = "inland"
        if network != INLAND:
            into = f"edge{list(EDGE.subnets(new_prefix=ZONE_BITS)).index(network)}"
            if number == 0:
                switch(router, into, f"{network[1]}/{network.prefixlen}")
        host, carrier = network[4 + number], ""
        self._plug(name, into, network, host)
        if network != INLAND:
            carrier = str(CARRIER[10 + len(self._spots)])
            wire(self._networks["carrier"], f"n{len(self._spots)}", self._networks[name], "eth1")
            self._networks["carrier"].ip(f"link set dev n{len(self._spots)} master carrier up")
            self._networks[name].ip(f"addr add {carrier}/{CARRIER.prefixlen} dev eth1", "link set dev eth1 up")
        self._spots[node.environment, node.name] = Spot(
            str(host), "0.0.0.0", carrier, "ssh", str(host), within=self._networks[name].within
        )

    def _guard(self) -> None:
        """What security groups let through, as rules of the router: the first that fits decides."""
        ssh = "ipproto tcp dport 22"
        self._networks["router"].ip(
            f"rule add pref 10 from {PUBLIC} {ssh} lookup main",
            *(f"rule add pref 20 to {network} {ssh} prohibit" for network in (EDGE, INLAND)),
            f"rule add pref 30 from {INTERNET} to {EDGE} prohibit",
            f"rule add pref 30 from {EDGE} to {EDGE} prohibit",
        )

    # ---- SSH

    def _start_ssh(self, client: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        (self._folder / "authorized_keys").write_text(ssh_key(client) + "\n")
        self.start_sshd("bastion")
        for (environment, name), spot in self._spots.items():
            self.start_sshd(f"{environment}/{name}")
            key = host_key(self._folder / environment / name)
            self._spots[environment, name] = replace(spot, host_key=key)
        for server in self.running.values():
            wait_until_listening(server)

    def start_sshd(self, name: str) -> Server:
        """Start the SSH server of the bastion, or of ``ENVIRONMENT/NODE``; again if it was stopped or has died."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        host = self.bastion if name == "bastion" else self._host(name)
        within, authorised = self._networks[name].within, self._folder / "authorized_keys"
        known = f"sshd {name}"
        if known in self.running:
            self.stop_sshd(name)
        self.running[known] = start_sshd(known, folder, host, within, authorised, bastion=name == "bastion")
        return self.running[known]

    def stop_sshd(self, name: str) -> None:
        """Kill it, with every session and every connection that it passes on."""
        server = self.running[f"sshd {name}"]
        server.process.kill()
        server.process.wait()

    def _host(self, name: str) -> str:
        environment, _, node = name.partition("/")
        return self._spots[environment, node].host

    # ---- what a test does to it

    def cut(self, name: str) -> None:
        """Pull a machine's cable to the router; its carrier's side stays."""
        self._networks["router"].ip(f"link set dev {self._plugs[name]} down")

    def mend(self, name: str) -> None:
        """Plug it in again; who was given up for unreachable meanwhile is looked for at once."""
        self._networks["router"].ip(f"link set dev {self._plugs[name]} up", "neigh flush all")
        self._networks[name].ip("neigh flush all")

    def network(self, name: str) -> Namespace:
        return self._networks[name]


def _placed(nodes: Sequence[Wanted]) -> Mapping[Wanted, tuple[IPv4Network, int]]:
    """Each node's subnet and its number in it. Raises ServerFailed when there are more than fit."""
    free = EDGE.subnets(new_prefix=ZONE_BITS)
    zones: dict[tuple[str, str], IPv4Network] = {}
    counts: dict[IPv4Network, int] = {}
    placed: dict[Wanted, tuple[IPv4Network, int]] = {}
    for node in nodes:
        where = (node.environment, node.zone)
        if where not in zones:
            zones[where] = INLAND if node.zone == IN_REGION else next(free, INLAND)
        network = zones[where]
        number = counts.get(network, 0)
        counts[network] = number + 1
        if number > network.num_addresses - 6 or (network == INLAND and node.zone != IN_REGION):
            raise ServerFailed(
                f"{EDGE} and {INLAND} have no place for {node.environment}/{node.name}: run fewer nodes."
            )
        placed[node] = (network, number)
    return placed
