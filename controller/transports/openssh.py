"""What OpenSSH is told, and what its complaints mean. Pure.

The configuration is the whole of it: neither the machine's nor the user's own is read, so that what holds stands here.
Host keys are pinned: a machine is who the outputs say, or nothing is said to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from controller.errors import Refused, Unreachable

BASTION = "_bastion"
"""What the bastion is called in the configuration: no node can have that name."""
CONNECT_SECONDS = 3
ALIVE_SECONDS, ALIVE_MISSED = 1, 3
"""A connection on which nothing comes for their product is given up: it must not hold up the next command for long."""
KEPT_SECONDS = 60
"""An idle connection ends by itself after this, also when its controller was killed."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}")

_ALL = """\
Host *
  BatchMode yes
  User {user}
  IdentityFile "{key}"
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  ForwardAgent no
  ForwardX11 no
  PermitLocalCommand no
  RequestTTY no
  EscapeChar none
  StrictHostKeyChecking yes
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  CheckHostIP no
  ConnectTimeout {connect}
  ConnectionAttempts 1
  ServerAliveInterval {alive}
  ServerAliveCountMax {missed}
  ControlMaster auto
  ControlPath "{folder}/%C"
  ControlPersist {kept}
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine that SSH reaches. ``address`` is a host, or ``host:port``."""

    name: str
    address: str
    host_key: str

    @property
    def known(self) -> str:
        """Its line of known_hosts."""
        return f"{self.name} {self.host_key}"

    def stanza(self, through: Machine | None) -> str:
        found = ADDRESS.fullmatch(self.address)
        assert found is not None, "a way is made of machines that ``misnamed`` found nothing wrong with"
        lines = [f"Host {self.name}", f"  HostName {found['host'].strip('[]')}", f"  HostKeyAlias {self.name}"]
        lines += [f"  Port {found['port']}"] if found["port"] else []
        lines += [f"  ProxyJump {through.name}"] if through else []
        return "\n".join(lines) + "\n"


def misnamed(machine: Machine) -> str | None:
    """What is wrong with a machine as the outputs describe it: a word of theirs must never become an option."""
    if machine.name != BASTION and not NAME.fullmatch(machine.name):
        return f"{machine.name!r} is no name for a machine"
    if not ADDRESS.fullmatch(machine.address):
        return f"{machine.address!r} is neither a host nor host:port"
    if not machine.host_key:
        return "they pin no host key"
    if not KEY.fullmatch(machine.host_key):
        return f"{machine.host_key!r:.60} is no host key (ssh-ed25519 AAAA…)"
    return None


def config(folder: str, user: str, key: str, machines: Iterable[Machine], bastion: Machine | None) -> str:
    """The configuration; what ``folder`` holds besides is known_hosts, and the sockets of shared connections."""
    told = _ALL.format(
        user=user, key=key, folder=folder, connect=CONNECT_SECONDS, alive=ALIVE_SECONDS, missed=ALIVE_MISSED,
        kept=KEPT_SECONDS,
    )  # fmt: skip
    first = f'{bastion.stanza(None)}  ControlPath "{shared(folder)}"\n' if bastion else ""
    return "\n".join([first, *(machine.stanza(bastion) for machine in machines), told])  # what comes first rules


def shared(folder: str) -> str:
    """The socket of the bastion's shared connection: it is there as long as the connection is."""
    return f"{folder}/bastion"


# ---- complaints ------------------------------------------------------------------------------------------------------

_READ_BACK = "It is read back."
_COMPLAINTS: tuple[tuple[str, str, str], ...] = (
    (
        r"Host key verification failed",
        "its host key is not the one in the outputs",
        "If its machine is new, bring the platform up to pin the new key; if not, somebody answers in its place.",
    ),
    (
        r"Permission denied \(",
        "it refuses the controller's key {key}",
        "Let {user} come with the public half of that key.",
    ),
    (r"Could not resolve hostname", "its name is not known", "Look at the address in the outputs."),
    (r"Connection refused", "no SSH server listens there", "Start it, or look at the address in the outputs."),
    (
        r"No route to host|Network is unreachable",
        "no way leads to it",
        "Look at the network, and whether it may be reached from here.",
    ),
    (
        r"Connection timed out|timed out during banner exchange",
        f"no connection within {CONNECT_SECONDS} s",
        "Look whether its machine runs and the network lets SSH through.",
    ),
    (
        r"kex_exchange_identification|Connection closed by UNKNOWN",
        "the connection to it was not taken",
        "Look whether its machine and its SSH server run.",
    ),
    (
        r"mux_client|client_loop|not responding|closed by remote host|Connection reset|Broken pipe",
        "the connection broke, so it is unknown whether it acted",
        _READ_BACK,
    ),
)


def trouble(attempt: str, err: bytes, user: str, key: str) -> Unreachable:
    """What ssh's complaint means for people. Whatever it is: the command may have run, and is read back."""
    text = err.decode("utf-8", "replace")
    for pattern, said, remedy in _COMPLAINTS:
        if re.search(pattern, text):
            return Unreachable(attempt, said.format(key=key), remedy.format(user=user))
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    said = f"ssh: {last}" if last else "the command was cut off, so it is unknown whether it acted"
    return Unreachable(attempt, said, _READ_BACK)


def unusable(environment: str, wrong: Iterable[str]) -> Refused:
    return Refused(
        f"reaching the nodes of {environment} by SSH", "; ".join(wrong), "Bring the platform up to write its outputs."
    )
