"""Starts the edge application: ``python -m apps.mqtt --config FILE``.

The order of starting and stopping lives here. Exit codes: 0 stopped as asked, 1 could not start or go on,
2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

from apps.mqtt.access import Access
from apps.mqtt.config import BadConfig, Config, load
from apps.mqtt.http_server import HttpServer
from apps.mqtt.hub import Hub
from apps.mqtt.ingest import Ingest
from apps.mqtt.layout import StoreRefused
from apps.mqtt.log import log
from apps.mqtt.logs import own_logs
from apps.mqtt.progress import ProgressReader
from apps.mqtt.queries import Reader
from apps.mqtt.session_store import SessionStore
from apps.mqtt.store import Store, Tally
from apps.mqtt.supervise import Forwarder
from apps.mqtt.web import Web, refuse

STOP_SECONDS = 2.0  # each for the pending commits and the connections; release.toml allows 5 in all


async def serve(config: Config, config_file: Path, store: Store) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    forwarder = Forwarder(config_file)
    progress = ProgressReader(config.data)
    reader = Reader(config.data)
    access = Access(config.zone, config.settings.watchers, config.data)
    sessions = SessionStore(config.data)
    hub = Hub(access, sessions, reader.retained)
    for own in own_logs(config.node, reader):
        hub.add_log(own)

    def committed(tally: Tally) -> None:
        hub.published(f"{config.node}/readings", tally.readings)
        hub.published(f"{config.node}/messages", tally.messages)
        forwarder.wake()

    ingest = Ingest(config, store, access, hub, committed, lambda: progress.read().cursor)
    web = Web(ingest, reader, progress, forwarder.state)
    server = HttpServer(web.respond, refuse, config.release)
    await server.start(config.bind, config.http_port)
    await ingest.start()
    log("ready", zone=config.zone, node=config.node, release=config.release, pid=os.getpid())

    committing = asyncio.create_task(ingest.commit_for_ever())
    trimming = asyncio.create_task(ingest.trim_for_ever())
    forwarding = asyncio.create_task(forwarder.keep_running())
    stopped = asyncio.create_task(stop.wait())
    keeping = asyncio.create_task(hub.keep_for_ever())
    denying = asyncio.create_task(ingest.heed_denials())
    working = (committing, trimming, forwarding, keeping, denying)
    await asyncio.wait({*working, stopped}, return_when=asyncio.FIRST_COMPLETED)

    broken = next((task for task in working if task.done()), None)
    if broken is not None:
        log("defect", why=repr(broken.exception()))
        return 1
    log("stopping")
    forwarding.cancel()
    trimming.cancel()
    keeping.cancel()
    denying.cancel()
    await asyncio.gather(ingest.stop(STOP_SECONDS), forwarder.stop(STOP_SECONDS))
    await hub.stop()
    sessions.close()
    await server.stop()
    committing.cancel()
    log("stopped", **{name: getattr(ingest.counters, name) for name in ("publishes_received", "puback_total")})
    if ingest.is_committing:
        os._exit(0)  # the disk hangs, and so would any orderly end; what is not committed was not acknowledged
    return 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.mqtt", description="The edge application of one node.")
    parser.add_argument("--config", type=Path, required=True, help="the JSON file that the node program writes")
    config_file: Path = parser.parse_args(argv).config
    try:
        config = load(config_file)
    except BadConfig as error:
        print(error, file=sys.stderr)
        return 2
    try:
        store = Store(
            config.data,
            config.zone,
            quarantine_rows=config.settings.quarantine_rows,
            max_store_bytes=config.settings.max_store_bytes,
        )
    except (StoreRefused, OSError, sqlite3.Error) as error:
        print(f"The store cannot be opened. {error}", file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            return runner.run(serve(config, config_file, store))
    except OSError as error:
        print(f"A port cannot be opened: {error.strerror or error}.", file=sys.stderr)
        return 1
    finally:
        store.close()


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # slower, and as correct
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
