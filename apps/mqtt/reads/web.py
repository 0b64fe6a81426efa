"""What the HTTP paths answer: the newest reading, pages of readings, readiness, metrics."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from apps.mqtt.broker.alerts import Alerts
from apps.mqtt.broker.ingest import Ingest
from apps.mqtt.counters import sample
from apps.mqtt.disk.down_store import DownReader
from apps.mqtt.disk.progress import ProgressReader
from apps.mqtt.disk.queries import Reader
from apps.mqtt.peers import HEADER
from apps.mqtt.reads.http_server import Answer, BadRequest, Request, Stream
from apps.mqtt.reads.stream import Streams, TooMany
from apps.mqtt.zone.follow import Follower
from apps.mqtt.zone.overview import Overview
from apps.mqtt.zone.peering import Peering
from apps.mqtt.zone.zone_reads import BadPlace, ZoneReads

LIVE_PAGE = Path(__file__).with_name("page.html")
PAGE_DEFAULT, PAGE_MAX = 100, 1000
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sources:
    """What the answers are made of."""

    ingest: Ingest
    reader: Reader
    progress: ProgressReader
    forwarder: Callable[[], tuple[bool, int]]
    """Whether the sync process runs, and how often it was started again."""
    down: DownReader
    alerts: Alerts
    zone: ZoneReads
    streams: Streams
    peering: Peering
    followers: Sequence[Follower]
    overview: Overview
    word: str
    """By which the nodes of a zone know each other."""


class Web:
    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._ingest = sources.ingest
        self._reader = sources.reader
        self._page = Answer(HTTPStatus.OK, LIVE_PAGE.read_bytes(), "text/html; charset=utf-8")

    async def respond(self, request: Request) -> Answer | Stream:
        try:
            match request.path:
                case ("v1", "devices", device, "latest"):
                    return await self._latest_of_zone(device)
                case ("v1", "readings"):
                    return await self._readings(request.query)
                case ("v1", "zone"):
                    return _json(HTTPStatus.OK, await self._from.overview.of_zone())
                case ("v1", "stream"):
                    return self._stream(request)
                case ("peer", what):
                    return await self._peer(what, request)
                case ("ready",):
                    return self._ready()
                case ("live",):
                    return _json(HTTPStatus.OK, {"live": True, "zone": self._ingest.zone})
                case ("",):
                    return self._page
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

    async def _latest_of_zone(self, device: str) -> Answer:
        own = self._latest(device)
        if self._from.zone.is_alone:
            return own
        newest, missing = await self._from.zone.latest(
            device, json.loads(own.body) if own.status == HTTPStatus.OK else None
        )
        if newest is None:
            why = "This device has sent no reading to this zone."
            return _json(HTTPStatus.NOT_FOUND, {"error": why} | _partial(missing))
        return _json(HTTPStatus.OK, newest | _partial(missing))

    async def _readings(self, query: dict[str, str]) -> Answer:
        _known(query, "device", "after", "limit")
        limit = _number(query, "limit", PAGE_DEFAULT, 1, PAGE_MAX)
        try:
            rows, place, missing = await self._from.zone.readings(query.get("after", "0"), limit, query.get("device"))
        except BadPlace:
            why = f"after must be an integer from 0 to {INT64_MAX}, or a place that an earlier answer gave as next."
            raise BadRequest(HTTPStatus.BAD_REQUEST, why) from None
        return _json(HTTPStatus.OK, {"readings": rows, "next": place} | _partial(missing))

    def _stream(self, request: Request) -> Stream:
        _known(request.query, "device", "after")
        after = request.headers.get("last-event-id") or request.query.get("after")
        try:
            return Stream(self._from.streams.open(after, request.query.get("device")), "text/event-stream")
        except BadPlace:
            why = "Last-Event-ID, or after, must be the id of an earlier event."
            raise BadRequest(HTTPStatus.BAD_REQUEST, why) from None
        except TooMany:
            raise BadRequest(HTTPStatus.SERVICE_UNAVAILABLE, "Too many streams are open; try again.") from None

    async def _peer(self, what: str, request: Request) -> Answer:
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), self._from.word.encode()):
            return refuse(BadRequest(HTTPStatus.FORBIDDEN, "This is for the other nodes of the zone."))
        if what == "latest":
            own = self._latest(request.query.get("device", ""))
            return _json(HTTPStatus.OK, {"latest": json.loads(own.body) if own.status == HTTPStatus.OK else None})
        if what == "summary":
            return _json(HTTPStatus.OK, self._from.overview.node())
        try:
            found = await self._from.peering.respond(what, request.query)
        except (KeyError, ValueError):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "No node of this zone asks so.") from None
        if found is None:
            raise BadRequest(HTTPStatus.NOT_FOUND, "There is nothing under this path.")
        return _json(HTTPStatus.OK, found)

    def _ready(self) -> Answer:
        why = self._ingest.not_ready()
        if why is not None:
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False, "zone": self._ingest.zone, "why": why})
        certificates = self._ingest.settings.certificates  # the probe must know how to come in
        return _json(HTTPStatus.OK, {"ready": True, "zone": self._ingest.zone, "certificates": certificates})

    def _metrics(self) -> Answer:
        """Both laws hold in every answer: the loop takes no other step while the numbers are gathered, and the
        store is counted as seen from the cursor that was read with the forwarder's own counts."""
        progress = self._from.progress.read()
        store = self._reader.snapshot(progress.cursor)
        ingest = self._ingest
        oldest = store.oldest_unsynced_rts
        running, restarts = self._from.forwarder()
        lines = ingest.counters.lines()
        for name, kind, value in (
            ("pending", "gauge", ingest.pending),
            ("connected", "gauge", ingest.connected),
            ("copies_pending", "gauge", ingest.copies.pending if ingest.copies is not None else 0),
            (
                "copies_late_seconds",
                "gauge",
                round(ingest.copies.oldest_seconds, 3) if ingest.copies is not None else 0,
            ),
            ("sessions", "gauge", len(ingest.hub.sessions)),
            ("subscriptions", "gauge", ingest.hub.subscriptions),
            ("alerts", "gauge", self._from.alerts.standing),
            ("peers", "gauge", len(self._from.followers)),
            ("peers_reached", "gauge", sum(follower.is_there for follower in self._from.followers)),
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
        for name, value in self._from.down.counts().items():
            lines += sample(name, "gauge" if name == "down_following" else "counter", value)
        return Answer(HTTPStatus.OK, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4; charset=utf-8")


def _partial(missing: list[str]) -> dict[str, object]:
    return {"partial": True, "missing": missing} if missing else {}


def _known(query: dict[str, str], *names: str) -> None:
    unknown = query.keys() - set(names)
    if unknown:
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"The parameter {ascii(min(unknown))[:40]} is not known.")


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
