"""What every node of an environment runs and stands on: one observation and one inspection of each, side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from controller.drift.machines import Machine
from controller.drift.running import Running, Silent
from controller.errors import Trouble
from controller.fleets import answers
from controller.fleets.nodes import NodeFleet
from controller.model import NodeView
from infra.outputs import NodeOutput, Outputs

SIDE_BY_SIDE = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """One node: what it runs, and its machine; each may be missing by itself."""

    running: Running | Silent
    machine: Machine | Silent


def ask(outputs: Outputs, fleet: NodeFleet) -> dict[str, Asked]:
    """Every node by its name. Never raises: a node that does not answer is a Silent one."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = pool.map(lambda node: one(node, fleet), outputs.nodes)
        return {node.name: said for node, said in zip(outputs.nodes, found, strict=True)}


def one(node: NodeOutput, fleet: NodeFleet) -> Asked:
    try:
        view = fleet.observe(node.name).view
    except Trouble as trouble:
        silent = Silent(str(trouble))
        return Asked(silent, silent)
    began = time.time()
    try:
        inspected = fleet.inspect(node.name)
        with answers.reading("the inspection", node.name):
            middle = (began + time.time()) / 2
            return Asked(running(view, node, inspected.get("release") or {}), machine(node, inspected, middle))
    except Trouble as trouble:
        return Asked(running(view, node, {}), Silent(str(trouble)))


def running(view: NodeView, node: NodeOutput, release: Mapping[str, Any]) -> Running:
    app = view.apps[node.app]
    return Running(
        app.running,
        app.good,
        app.frozen,
        tuple(str(name) for name in release.get("changed", ())),
        int(release.get("changed_in_all", 0)),
        app.staged,
        app.generation,
        app.ended,
    )


def machine(node: NodeOutput, said: Mapping[str, Any], now: float) -> Machine:
    """``now`` is the controller's time in the middle of the call: a slow call makes no clock wrong."""
    release = said.get("release") or {}
    return Machine(
        node=node.name,
        app=node.app,
        python=str(said["python"]),
        kernel=str(said["kernel"]),
        machine=str(said["machine"]),
        system=str(said["system"]),
        program=str(said["program"]),
        clock=float(said["utc"]) - now,
        libraries={str(name): str(version) for name, version in (release.get("libraries") or {}).items()},
        balancer=tuple(str(line) for text in said["balancer"].values() for line in text),
        release=str(release.get("digest") or ""),
        root=node.root,
        packages={str(name): str(version) for name, version in (said.get("packages") or {}).items()},
    )
