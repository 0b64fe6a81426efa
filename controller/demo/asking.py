"""What nodes say themselves, asked directly: while the controller is dead nobody else can say it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from controller.model import Lane
from controller.stories.story import CANDIDATE, LAST_GOOD, SILENT, STARTING, STOPPING
from infra.outputs import NodeOutput, Outputs


def answer(node: NodeOutput) -> Mapping[str, Any] | None:
    """What a node says of its application; None while it does not answer."""
    request = urllib.request.Request(node.observe_url, headers={"Authorization": f"Bearer {node.observe_token}"})
    try:
        with urllib.request.urlopen(request, timeout=2) as said:
            app: Mapping[str, Any] = json.load(said)["apps"][node.app]
            return app
    except OSError:
        return None


def states(outputs: Outputs, lane: Lane) -> dict[str, str]:
    """Each node of the lane in one word, as the faces write it."""
    return {node.name: state(answer(node), lane) for node in outputs.nodes if node.name in lane.nodes}


def state(app: Mapping[str, Any] | None, lane: Lane) -> str:
    if app is None:
        return SILENT
    if app["running"] == lane.candidate.digest:
        return CANDIDATE if app["ready"] and not app["switching"] else STARTING if app["pending"] else STOPPING
    return LAST_GOOD if app["ready"] and app["running"] == lane.base_digest else STOPPING


def all_run(outputs: Outputs, nodes: tuple[str, ...], digest: str | None) -> bool:
    """Whether each of ``nodes`` runs ``digest`` and nothing else, ready, and holds no promise."""
    for node in outputs.nodes:
        if node.name in nodes:
            app = answer(node)
            if app is None or app["running"] != digest or app["pending"] is not None or not app["ready"]:
                return False
    return True
