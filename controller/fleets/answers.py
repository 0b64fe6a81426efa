"""What a node program answers, read into the controller's values.

Pure. A node that answers garbage is a node that did not answer: everything unreadable becomes Unreachable here, and
nothing of it gets further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import inf
from typing import Any

from controller.errors import Unreachable
from controller.model import AppView, NodeView, Promise
from controller.samples import Counts, Telemetry, plus

METRIC = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{[^}]*\})?\s+([-+0-9.eE]+|NaN|[+-]?Inf)\s*$", re.MULTILINE)


def parsed(text: bytes, node: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Unreachable(f"reading what {node} answered", f"it is no JSON ({error})", "Look at its log.") from error
    if not isinstance(value, dict):
        raise Unreachable(f"reading what {node} answered", "it is no JSON object", "Look at its log.")
    return value


def view(status: Mapping[str, Any], node: str, received_at: float) -> NodeView:
    """The node's status, received at ``received_at`` on the controller's clock. Raises Unreachable on nonsense."""
    try:
        if status["node"] != node:
            raise ValueError(f"{status['node']!r} answered in its place")
        balancer = status["balancer"]
        return NodeView(
            node=node,
            received_at=received_at,
            boot=str(status["boot_id"]),
            boottime=float(status["boottime"]),
            apps={app: app_view(said, float(status["boottime"])) for app, said in status["apps"].items()},
            weights=flat(balancer["weights"], int) if balancer["up"] else {},
            sessions=flat(balancer.get("sessions", {}), int),
            servers_up=flat(balancer.get("servers_up", {}), bool),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"reading the status of {node}"
        raise Unreachable(what, f"it makes no sense ({error!r})", "Look at its log.") from error


def app_view(said: Mapping[str, Any], boottime: float) -> AppView:
    pending, back, since = said["pending"], said.get("went_back"), said.get("ready_since")
    return AppView(
        running=said["running"],
        good=said["good"],
        previous=said["previous"],
        pending=None
        if pending is None
        else Promise(
            pending["token"], pending["digest"], pending["base"], float(pending["until"]), int(pending["generation"])
        ),
        frozen=bool(said["frozen"]),
        ready=bool(said["ready"]),
        switching=bool(said["switching"]),
        restarts=int(said["restarts"]),
        generation=int(said["generation"]),
        ended=frozenset(said["ended"]),
        harmful=frozenset(said["harmful"]),
        staged=frozenset(said["staged"]),
        went_back="" if not back else str(back["reason"]),
        went_back_kind="" if not back else str(back.get("kind", "")),
        ready_for=inf if since is None else boottime - float(since),
    )


def flat(nested: Mapping[str, Mapping[str, Any]], kind: type[Any]) -> dict[str, Any]:
    pairs = ((f"{backend}/{server}", value) for backend, servers in nested.items() for server, value in servers.items())
    return {name: kind(value) for name, value in pairs}


def telemetry(answer: Mapping[str, Any], node: str, app: str, received_at: float) -> Telemetry:
    """One observation: the node's status, its balancer's counters and its application's metrics."""
    seen = view(answer, node, received_at)
    try:
        events = answer["events"]
        rows: dict[tuple[str, str], Counts] = {}
        for row in events["rows"]:
            if row["backend"] == "":
                continue
            key = (str(row["server"]), str(row["class"]) if row.get("class") else str(row["backend"]))
            counts = Counts(
                int(row["total"]), int(row["bad"]), int(row["clients"]), int(row["bad_clients"]),
                tuple(int(n) for n in row["buckets"]),
            )  # fmt: skip
            rows[key] = plus(rows.get(key), counts)  # two backends have requests of no class
        return Telemetry(
            view=seen,
            since=float(answer["since"]),
            edges_ms=tuple(float(edge) for edge in events["edges_ms"]),
            events=rows,
            metrics=metrics(answer.get("metrics") or ""),
            metrics_of=answer.get("metrics_of"),
            bad=tuple(answer.get("samples", ())),
            resources={name: float(held) for name, held in answer.get("resources", {}).get(app, {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"reading the counters of {node}"
        raise Unreachable(what, f"they make no sense ({error!r})", "Look at its log.") from error


def metrics(text: str) -> dict[str, float]:
    """Prometheus text to values by name; series that differ in labels only are added up."""
    values: dict[str, float] = {}
    for name, value in METRIC.findall(text):
        values[name] = values.get(name, 0.0) + float(value)
    return values
