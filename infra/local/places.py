"""Where the parts of a platform on this machine are: the question that a platform asks, and the plain answer to it.

``OneMachine`` puts everything on loopback, where a node is a process like any other. ``apart`` gives each node a
network of its own and an SSH server, as it has in the cloud. Which nodes there are, and what is in their files, is
``layout``'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.local.servers import HOST
from infra.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one node is, and how commands reach it."""

    host: str = HOST
    """Its address for everybody inside: the controller, and the other nodes of its zone."""
    bind: str = HOST
    """What its balancer listens on."""
    carrier: str = ""
    """Its address for clients, where theirs is another network."""
    transport: str = "local"
    address: str = ""
    host_key: str = ""
    within: tuple[str, ...] = ()
    """Words before a program that starts it there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A node that needs a place."""

    environment: str
    zone: str
    name: str


class Places(Protocol):
    """Places for the nodes of one platform. ``begin`` comes first, ``end`` last."""

    servers: str
    """Address of the servers that nodes use."""
    inside: tuple[str, ...]
    """Words before a program that starts it where the controller is."""
    clients: tuple[str, ...]
    """Words before a program that starts it where clients are."""
    cut_off: bool
    """Whether nothing else is in reach of here, such as a package index."""
    told: str
    """Where the nodes are, as the end of a sentence for people; empty where that needs no words."""

    def begin(self, root: Path, nodes: Sequence[Wanted]) -> None:
        """Make a place for each node; ``root`` is where files may be kept. Raises ServerMissing, ServerFailed."""
        ...

    def spot(self, environment: str, name: str) -> Spot: ...

    def described(self, outputs: Outputs) -> Outputs:
        """The outputs of one environment, with what these places alone know, such as the way in."""
        ...

    def end(self) -> None:
        """Undo ``begin``, as far as it came."""
        ...


class OneMachine:
    """Everything on loopback; nothing to make."""

    servers: str = HOST
    inside: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    cut_off: bool = False
    told: str = ""

    def begin(self, root: Path, nodes: Sequence[Wanted]) -> None: ...

    def spot(self, environment: str, name: str) -> Spot:
        return Spot()

    def described(self, outputs: Outputs) -> Outputs:
        return outputs

    def end(self) -> None: ...
