"""Where the parts of the serving process are put together, and which of them work on their own."""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.mqtt.bell import Bell
from apps.mqtt.broker.access import Access
from apps.mqtt.broker.alerts import Alerts
from apps.mqtt.broker.homes import Homes
from apps.mqtt.broker.hub import Hub
from apps.mqtt.broker.ingest import Ingest
from apps.mqtt.broker.learning import Learning
from apps.mqtt.config import INFER, Config
from apps.mqtt.disk.copy_store import CopyStore
from apps.mqtt.disk.down_store import DownReader
from apps.mqtt.disk.logs import own_logs
from apps.mqtt.disk.progress import ProgressReader
from apps.mqtt.disk.queries import Reader
from apps.mqtt.disk.session_store import SessionStore
from apps.mqtt.disk.store import Store, Tally
from apps.mqtt.peers import password, peers_of
from apps.mqtt.reads.http_server import HttpServer
from apps.mqtt.reads.stream import Streams
from apps.mqtt.reads.web import Sources, Web, refuse
from apps.mqtt.syncing.downlink import Downlink
from apps.mqtt.syncing.supervise import Forwarder
from apps.mqtt.zone.follow import Follower
from apps.mqtt.zone.keeping import Keeper
from apps.mqtt.zone.overview import Overview
from apps.mqtt.zone.peering import Peering
from apps.mqtt.zone.retained import Retained
from apps.mqtt.zone.zone_reads import ZoneReads


@dataclass(frozen=True, slots=True)
class Application:
    ingest: Ingest
    hub: Hub
    sessions: SessionStore
    forwarder: Forwarder
    server: HttpServer
    followers: tuple[Follower, ...]
    keepers: tuple[Keeper, ...]
    downlink: Downlink
    alerts: Alerts
    learning: Learning | None

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What never ends by itself; committing comes first, and is the last to be stopped."""
        return [
            self.ingest.commit_for_ever(),
            self.ingest.trim_for_ever(),
            self.ingest.heed_denials(),
            self.hub.keep_for_ever(),
            self.forwarder.keep_running(),
            self.downlink.publish_for_ever(),
            self.alerts.listen_for_silence(),
            *(() if self.learning is None else (self.learning.write_for_ever(),)),
            *(follower.follow_for_ever() for follower in self.followers),
            *(keeper.keep_for_ever() for keeper in self.keepers),
        ]


def assemble(config: Config, config_file: Path, store: Store) -> Application:
    node, reader, bell = config.node, Reader(config.data), Bell()
    word = password(config.mongo_uri, config.zone)
    peers = peers_of(config.peers, word)
    access = Access(config.zone, config.settings.watchers, config.data)
    sessions = SessionStore(config.data)
    hub = Hub(access, sessions, Homes(node, peers, sessions), Retained(reader.retained, peers).matching)
    for own in own_logs(node, reader):
        hub.add_log(own)
    heads = sessions.load_heads()
    followers = tuple(Follower(node, peer, hub, sessions, bell, heads.get(peer.name, {})) for peer in peers.values())
    progress = ProgressReader(config.data)
    learning = Learning(config.data, config.zone) if config.settings.schema_mode == INFER else None

    def committed(tally: Tally) -> None:
        if tally.kept:
            hub.grown(f"{node}/readings", tally.first - 1 + len(tally.kept), tally.readings)
        hub.published(f"{node}/messages", tally.messages)
        bell.ring()
        forwarder.wake()
        alerts.look(tally.kept)
        if learning is not None:
            learning.look(tally.kept)

    # A deferred look-up, because each of the two needs the other.
    forwarder = Forwarder(config_file, lambda: downlink.news.ring())
    ingest = Ingest(config, store, access, hub, committed, lambda: progress.read().cursor)
    zone_reads = ZoneReads(node, peers, reader.rows)
    alerts = Alerts(
        config.zone, config.settings.rules, ingest.publish,
        zone_reads.heard_elsewhere, reader.retained(), reader.newest(),
    )  # fmt: skip
    down = DownReader(config.data)
    downlink = Downlink(config.zone, down, reader.mark("far"), ingest.publish)
    peering = Peering(node, hub, reader, sessions, bell, ingest.copies, lambda: progress.read().cursor)
    copy_store, thread = CopyStore(config.data), ThreadPoolExecutor(1, "copies")
    days = config.settings.retention_days
    keepers = tuple(Keeper(node, peer, copy_store, thread, days) for peer in peers.values())
    hub.copied = peering.copied
    sessions.on_change = bell.ring
    overview = Overview(
        node, config.release, ingest, reader, progress, alerts, zone_reads, lambda: forwarder.state()[0]
    )
    web = Web(
        Sources(
            ingest, reader, progress, forwarder.state, down, alerts, zone_reads,
            Streams(node, reader, hub, peers, bell), peering, followers, overview, word,
        )
    )  # fmt: skip
    server = HttpServer(web.respond, refuse, config.release)
    return Application(ingest, hub, sessions, forwarder, server, followers, keepers, downlink, alerts, learning)
