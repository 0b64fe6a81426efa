"""A zone at a glance: what each node says of itself, put together by whichever node is asked (``/v1/zone``).

The live page is made of this and of the stream. A node that does not answer is named in ``missing``; the rest is right
without it. An answer is good for half a second, so that many open pages cost as much as one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from apps.mqtt.broker.alerts import Alerts
from apps.mqtt.broker.ingest import Ingest
from apps.mqtt.disk.progress import ProgressReader
from apps.mqtt.disk.queries import Reader
from apps.mqtt.zone.zone_reads import Row, ZoneReads, is_newer

DEVICES = 500  # those that were heard last, of each node
SET_ASIDE = 8
GOOD_SECONDS = 0.5
TOTALS = ("publishes_received", "committed", "duplicates", "quarantined", "refused")


class Overview:
    def __init__(
        self, node: str, release: str, ingest: Ingest, reader: Reader, progress: ProgressReader, alerts: Alerts,
        zone: ZoneReads, is_syncing: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._node, self._release = node, release
        self._ingest, self._reader, self._progress, self._alerts = ingest, reader, progress, alerts
        self._zone = zone
        self._is_syncing = is_syncing
        self._made: tuple[float, Row] | None = None
        self._making = asyncio.Lock()

    def node(self) -> Row:
        """This node's part."""
        ingest, progress = self._ingest, self._progress.read()
        store = self._reader.snapshot(progress.cursor)
        now, why = int(time.time() * 1000), ingest.not_ready()
        oldest = store.oldest_unsynced_rts
        return {
            "node": self._node, "release": self._release, "at": now, "ready": why is None, "why": why or "",
            "connected": ingest.connected, "stored": store.stored, "backlog": store.backlog,
            "lag_seconds": 0 if oldest is None else round(max(0, now - oldest) / 1000, 3),
            "dead_letter": progress.dead_letter, "syncing": self._is_syncing(),
            "totals": {name: getattr(ingest.counters, name) for name in TOTALS},
            "known": self._reader.devices(),
            "devices": [asdict(latest) for latest in self._reader.heard_last(DEVICES)],
            "alerts": self._alerts_standing(),
            "set_aside": self._reader.set_aside(SET_ASIDE),
        }  # fmt: skip

    def _alerts_standing(self) -> list[Row]:
        said = [json.loads(message.payload) for message in self._reader.retained(("f/+/+/alert/+",)) if message.payload]
        return [each for each in said if self._alerts.stands(each["rule"], each["device"])]

    async def of_zone(self) -> Row:
        async with self._making:
            if self._made is None or time.monotonic() - self._made[0] > GOOD_SECONDS:
                answers, missing = await self._zone.ask_all("/peer/summary", {})
                self._made = (
                    time.monotonic(),
                    put_together(self._ingest.zone, [self.node(), *answers.values()], missing),
                )
            return self._made[1]


def put_together(zone: str, nodes: list[Row], missing: list[str]) -> Row:
    """One list of devices, each with its newest reading; what nodes say of themselves stays apart."""
    newest: dict[str, Row] = {}
    alerts: dict[tuple[str, str], Row] = {}
    set_aside: list[Row] = []
    for node in nodes:
        for row in node.pop("devices"):
            row = {**row, "node": node["node"]}
            known = newest.get(row["device"])
            if known is None or is_newer(row, known):
                newest[row["device"]] = row
        for alert in node.pop("alerts"):
            alerts[alert["rule"], alert["device"]] = alert
        set_aside += [{**each, "node": node["node"]} for each in node.pop("set_aside")]
    found: dict[str, Any] = {
        "zone": zone,
        "at": nodes[0]["at"],
        "nodes": sorted(nodes, key=lambda node: str(node["node"])),
        "devices": sorted(newest.values(), key=lambda row: str(row["device"])),
        "alerts": sorted(alerts.values(), key=lambda alert: -int(alert["at"])),
        "set_aside": sorted(set_aside, key=lambda each: -int(each["rts"]))[:SET_ASIDE],
    }
    return found | ({"partial": True, "missing": missing} if missing else {})
