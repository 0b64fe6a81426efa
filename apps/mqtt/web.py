"""What the HTTP paths answer: the newest reading, pages of readings, readiness, metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus

from apps.mqtt.counters import sample
from apps.mqtt.http_server import Answer, BadRequest, Request
from apps.mqtt.ingest import Ingest
from apps.mqtt.progress import ProgressReader
from apps.mqtt.queries import Reader

PAGE_DEFAULT, PAGE_MAX = 100, 1000
INT64_MAX = 2**63 - 1


class Web:
    def __init__(
        self, ingest: Ingest, reader: Reader, progress: ProgressReader, forwarder: Callable[[], tuple[bool, int]]
    ) -> None:
        """``forwarder`` tells whether that process runs and how often it was started again."""
        self._ingest = ingest
        self._reader = reader
        self._progress = progress
        self._forwarder = forwarder

    def respond(self, request: Request) -> Answer:
        try:
            match request.path:
                case ("v1", "devices", device, "latest"):
                    return self._latest(device)
                case ("v1", "readings"):
                    return self._readings(request.query)
                case ("ready",):
                    return self._ready()
                case ("live",):
                    return _json(HTTPStatus.OK, {"live": True, "zone": self._ingest.zone})
                case ("metrics",):
                    return self._metrics()
        except BadRequest as why:
            return refuse(why)
        return refuse(BadRequest(HTTPStatus.NOT_FOUND, "There is nothing under this path."))

    def _latest(self, device: str) -> Answer:
        latest = self._reader.latest(device)
        if latest is None:
            return refuse(BadRequest(HTTPStatus.NOT_FOUND, "This device has sent no reading to this node."))
        return _json(HTTPStatus.OK, asdict(latest))

    def _readings(self, query: dict[str, str]) -> Answer:
        unknown = query.keys() - {"device", "after", "limit"}
        if unknown:
            raise BadRequest(HTTPStatus.BAD_REQUEST, f"The parameter {ascii(min(unknown))[:40]} is not known.")
        after = _number(query, "after", 0, 0, INT64_MAX)
        limit = _number(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
        rows = self._reader.page(after, limit, query.get("device"))
        readings = [{**asdict(row), "id": row.id.hex()} for row in rows]
        return _json(HTTPStatus.OK, {"readings": readings, "next": rows[-1].n if rows else after})

    def _ready(self) -> Answer:
        why = self._ingest.not_ready()
        if why is not None:
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False, "zone": self._ingest.zone, "why": why})
        return _json(HTTPStatus.OK, {"ready": True, "zone": self._ingest.zone})

    def _metrics(self) -> Answer:
        """Both laws hold in every answer: the loop takes no other step while the numbers are gathered, and the
        store is counted as seen from the cursor that was read with the forwarder's own counts."""
        progress = self._progress.read()
        store = self._reader.snapshot(progress.cursor)
        ingest = self._ingest
        oldest = store.oldest_unsynced_rts
        running, restarts = self._forwarder()
        lines = ingest.counters.lines()
        for name, kind, value in (
            ("pending", "gauge", ingest.pending),
            ("connected", "gauge", ingest.connected),
            ("sessions", "gauge", len(ingest.hub.sessions)),
            ("subscriptions", "gauge", ingest.hub.subscriptions),
            ("connected_seconds", "counter", round(ingest.connected_seconds(), 3)),
            ("last_commit_age_seconds", "gauge", round(ingest.last_commit_age, 3)),
            ("stored", "counter", store.stored),
            ("forwarded", "counter", progress.forwarded),
            ("dead_letter", "counter", progress.dead_letter),
            ("backlog", "gauge", store.backlog),
            ("oldest_unsynced_age_seconds", "gauge", 0 if oldest is None else round(_age(oldest), 3)),
            ("far_errors", "counter", progress.far_errors),
            ("quarantine_dropped", "counter", store.quarantine_dropped),
            ("forwarder_running", "gauge", int(running)),
            ("forwarder_restarts", "counter", restarts),
        ):
            lines += sample(name, kind, value)
        return Answer(HTTPStatus.OK, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4; charset=utf-8")


def refuse(why: BadRequest) -> Answer:
    return _json(why.status, {"error": why.why})


def _json(status: HTTPStatus, document: object) -> Answer:
    return Answer(status, json.dumps(document).encode() + b"\n")


def _number(query: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high):
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"{name} must be an integer from {low} to {high}.")
    return int(text)


def _age(rts: int) -> float:
    return max(0.0, time.time() - rts / 1000)
