"""An environment brought up in the emulated cloud by the program itself: what it declares is made there as declared.

The SDK's monitor answers, and each resource is really created by calls of AWS's API, so that the ids and addresses that
others get are the cloud's own. It is no engine: it makes everything once, and knows no state afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

from environments import from_folder
from environments.overlay import Table
from environments.settings import imagined
from infra import declared
from infra.application import read_app
from infra.monitor import Willing, run
from tests.infra.provider.every import KINDS
from tests.infra.provider.kinds import Cloud
from tests.infra.provider.questions import answer

HOUSE = Path(__file__).parents[2]


class Making(Willing):
    """Makes what is asked for; what the emulated cloud cannot, or Atlas without a server, is only said to be there."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud
        self.made: dict[str, str] = {}
        """Kind and logical name to the cloud's own id."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        return answer(self.cloud, args.token, dict(args.args))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        kind = KINDS.get(args.typ)
        if kind is None or (not args.typ.startswith("aws:") and self.cloud.atlas is None):
            return super().new_resource(args)
        asked = {key: whole(rpc.unwrap_rpc_secret(value)) for key, value in args.inputs.items()}
        if kind.named and kind.named not in asked:
            name = f"{args.name[:20]}-0f1e2d".replace("_", "-")
            asked[kind.named] = name.lower() if kind.named == "bucket" else name
        maker = kind(self.cloud)
        id = maker.create(asked)
        self.made[f"{args.typ.rpartition(':')[2]} {args.name}"] = id
        return id, asked | (maker.read(id, asked) or {})


def whole(value: Any) -> Any:
    """Numbers as they were written: what comes over the wire is all floats."""
    if isinstance(value, dict):
        return {key: whole(rpc.unwrap_rpc_secret(inner)) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    if isinstance(value, pulumi.FileAsset):
        return {"path": str(value.path)}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fill(client: Callable[[str], Any], name: str, table: Table | None = None, atlas: Any = None) -> dict[str, str]:
    """Bring the shipped environment up, or what ``table`` makes of it: kind and logical name to the id of each."""
    environment = from_folder(HOUSE / "environments", name) if table is None else imagined(name, table)
    making = Making(Cloud(client, atlas))
    apps = {app: read_app(HOUSE / "apps", app) for app in environment.fleets}
    run(lambda: declared.export(environment, apps), name, answers=making)
    return making.made
