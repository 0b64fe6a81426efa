"""What a node program answers, read into the controller's values.

Pure. A node that answers garbage is a node that did not answer: everything unreadable becomes Unreachable here, and
nothing of it gets further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf, isfinite
from typing import Any

from controller.errors import Unreachable
from controller.judge.samples import Counts, Telemetry, plus
from controller.model import AppView, NodeView, Promise

NONSENSE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What reading an answer raises that is not of the agreed form."""
LARGEST = 1 << 53
"""No count and no generation reaches this: beyond it a float is no whole number, and soon none at all."""
METRIC = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{[^}]*\})?\s+([-+0-9.eE]+|NaN|[+-]?Inf)\s*$", re.MULTILINE)


@contextmanager
def reading(what: str, node: str) -> Iterator[None]:
    """Whatever is wrong with an answer that is read inside becomes Unreachable."""
    try:
        yield
    except NONSENSE as error:
        said = f"it makes no sense ({error!r:.200})"
        raise Unreachable(f"reading {what} of {node}", said, "Look at its log.") from error


def parsed(text: bytes, node: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"reading what {node} answered", f"it is no JSON ({error})", "Look at its log.") from error
    if not isinstance(value, dict):
        raise Unreachable(f"reading what {node} answered", "it is no JSON object", "Look at its log.")
    return value


def view(status: Mapping[str, Any], node: str, received_at: float) -> NodeView:
    """The node's status, received at ``received_at`` on the controller's clock. Raises Unreachable on nonsense."""
    with reading("the status", node):
        if status["node"] != node:
            raise ValueError(f"{status['node']!r} answered in its place")
        balancer, boottime = status["balancer"], finite(status["boottime"])
        return NodeView(
            node=node,
            received_at=received_at,
            boot=str(status["boot_id"]),
            boottime=boottime,
            apps={app: app_view(said, boottime) for app, said in status["apps"].items()},
            weights=flat(balancer["weights"], int) if balancer["up"] else {},
            weights_at=received_at,
            sessions=flat(balancer.get("sessions", {}), int),
            servers_up=flat(balancer.get("servers_up", {}), bool),
            leases=frozenset(str(lease["token"]) for lease in balancer.get("leases", ())),
        )


def app_view(said: Mapping[str, Any], boottime: float) -> AppView:
    pending, back, since = said["pending"], said.get("went_back"), said.get("ready_since")
    return AppView(
        running=digest(said["running"]),
        good=digest(said["good"]),
        previous=digest(said["previous"]),
        pending=None
        if pending is None
        else Promise(
            pending["token"], pending["digest"], pending["base"], finite(pending["until"]), int(pending["generation"])
        ),
        frozen=bool(said["frozen"]),
        ready=bool(said["ready"]),
        switching=bool(said["switching"]),
        restarts=count(said["restarts"]),
        generation=count(said["generation"]),
        ended=names(said["ended"]),
        harmful=names(said["harmful"]),
        staged=names(said["staged"]),
        went_back="" if not back else str(back["reason"]),
        went_back_kind="" if not back else str(back.get("kind", "")),
        went_back_token="" if not back else str(back["token"]),
        ready_for=inf if since is None else boottime - finite(since),
    )


def finite(said: Any) -> float:
    number = float(said)
    if not isfinite(number):
        raise ValueError(f"{said!r} is no time")
    return number


def digest(said: Any) -> str | None:
    if said is not None and not isinstance(said, str):
        raise TypeError(f"{said!r} is no digest")
    return said


def count(said: Any) -> int:
    if not 0 <= int(said) < LARGEST:
        raise ValueError(f"{said!r} is no count")
    return int(said)


def names(said: Any) -> frozenset[str]:
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise TypeError(f"{said!r} is no list of names")
    return frozenset(said)


def flat(nested: Mapping[str, Mapping[str, Any]], kind: type[Any]) -> dict[str, Any]:
    pairs = ((f"{backend}/{server}", value) for backend, servers in nested.items() for server, value in servers.items())
    return {name: kind(value) for name, value in pairs}


def telemetry(answer: Mapping[str, Any], node: str, app: str, received_at: float) -> Telemetry:
    """One observation: the node's status, its balancer's counters and its application's metrics."""
    seen = view(answer, node, received_at)
    with reading("the counters", node):
        events = answer["events"]
        edges = tuple(finite(edge) for edge in events["edges_ms"])
        rows: dict[tuple[str, str], Counts] = {}
        for row in events["rows"]:
            if row["backend"] == "":
                continue
            key = (str(row["server"]), str(row["class"]) if row.get("class") else str(row["backend"]))
            counts = Counts(
                count(row["total"]), count(row["bad"]), count(row["clients"]), count(row["bad_clients"]),
                tuple(count(n) for n in row["buckets"]), count(row.get("bytes_in", 0)), count(row.get("bytes_out", 0)),
            )  # fmt: skip
            if len(counts.buckets) not in (0, len(edges) + 1):
                raise ValueError(f"{len(edges)} edges and {len(counts.buckets)} buckets")
            rows[key] = plus(rows.get(key), counts)  # two backends have requests of no class
        return Telemetry(
            view=seen,
            since=float(answer["since"]),
            edges_ms=edges,
            events=rows,
            metrics=metrics(answer.get("metrics") or ""),
            metrics_of=answer.get("metrics_of"),
            bad=tuple(dict(call) for call in answer.get("samples", ())),
            resources={name: float(held) for name, held in answer.get("resources", {}).get(app, {}).items()},
        )


def metrics(text: str) -> dict[str, float]:
    """Prometheus text to values by name; series that differ in labels only are added up."""
    values: dict[str, float] = {}
    for name, value in METRIC.findall(text):
        values[name] = values.get(name, 0.0) + float(value)
    return values
