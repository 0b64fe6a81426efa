"""Places apart from each other for tests: brought up where this machine can, skipped with the reason elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.apart.machines import Apart
from infra.local.places import Wanted
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from infra.outputs import NodeOutput, Outputs


@contextmanager
def apart(root: Path, nodes: Sequence[Wanted]) -> Iterator[Apart]:
    """The networks and their SSH servers, without anything else on them; who uses it is in the region."""
    places = Apart()
    try:
        places.begin(root, nodes)
    except ServerMissing as missing:
        places.end()
        pytest.skip(str(missing))
    try:
        yield places
    finally:
        places.end()


def needs_a_platform() -> None:
    """Skip, with the reason, where a platform with nodes apart cannot be brought up."""
    try:
        find_haproxy(), find_git_daemon()
        Apart.needs()
    except ServerMissing as missing:
        pytest.skip(str(missing))


def outputs(places: Apart, environment: str, nodes: Sequence[Wanted]) -> Outputs:
    """What the controller is told of them: machines without a node program, good for any command."""
    described = []
    for node in nodes:
        spot = places.spot(environment, node.name)
        described.append(
            NodeOutput(
                node.name, node.zone, "toy", "/", spot.transport, spot.address, "", "", {}, {}, (), spot.carrier,
                spot.host_key,
            )
        )  # fmt: skip
    return places.described(Outputs(environment, tuple(described), (), "", "", (), ""))
