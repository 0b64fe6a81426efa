"""Prod as ``pulumi up`` creates it in an emulated cloud, for the demo: its nodes are commanded by Run Command alone.

The stack is the product's own, by the real engine; which instances there are, which bucket holds releases and which
parameters name them is read from the parameter that it publishes. Nodes of this machine play the instances, because
the emulated ones run nothing; dev and stage stay on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from infra.engine.binary import NoEngine, find
from infra.local.places import Spot, Wanted
from infra.local.servers import ServerFailed, ServerMissing
from infra.outputs import Outputs, from_json
from tests.infra.account import HOUSE, open_account
from tests.infra.emulated.instances import Instances

ENVIRONMENT = "prod"


class Created(Instances):
    """Places of which prod's are instances of a stack; ``begin`` brings it up."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._created: Outputs | None = None

    def begin(self, root: Path, nodes: Sequence[Wanted]) -> None:
        folder = root / "cloud"
        folder.mkdir()
        account = self._open.enter_context(open_account(folder))
        self.cloud = account.aws
        account.make_stack(ENVIRONMENT)
        up = account.turnabout("up", ENVIRONMENT)
        if up.code:
            raise ServerFailed(f"The stack did not come up in the emulated cloud: {up.err.strip()}")
        self.told = f", prod's on what `pulumi up` made in an emulated cloud ({up.said.partition(': ')[2]})"
        name = f"/turnabout/{ENVIRONMENT}/outputs"
        published = self.cloud.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        self._created = from_json(published, name)
        self.taken_for_aws(root)
        instances = {node.name: node.address for node in self._created.nodes}
        wanted = [node for node in nodes if node.environment == ENVIRONMENT]
        if {node.name for node in wanted} != instances.keys():
            raise ServerFailed(f"The stack has other nodes than the demo: {', '.join(sorted(instances))}.")
        for node in wanted:
            self.plays(ENVIRONMENT, node.name, instances[node.name], root)

    def spot(self, environment: str, name: str) -> Spot:
        return super().spot(environment, name) if environment == ENVIRONMENT else Spot()

    def described(self, outputs: Outputs) -> Outputs:
        if self._created is None or outputs.environment != ENVIRONMENT:
            return outputs
        made = self._created
        return replace(outputs, region=made.region, artifacts=made.artifacts, releases=made.releases)

    def end(self) -> None:
        self.no_longer_taken_for_aws()
        self._open.close()


def created() -> Created:
    """Raises ServerMissing where the engine is not here."""
    try:
        find(HOUSE)
    except NoEngine as error:
        raise ServerMissing(str(error)) from None
    return Created()
