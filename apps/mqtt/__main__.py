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

from apps.mqtt.assemble import assemble
from apps.mqtt.config import BadConfig, Config, load
from apps.mqtt.disk.layout import StoreRefused
from apps.mqtt.disk.store import Store
from apps.mqtt.log import log

STOP_SECONDS = 2.0  # each for the pending commits and the connections; release.toml allows 5 in all


async def serve(config: Config, config_file: Path, store: Store) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = assemble(config, config_file, store)
    await app.ingest.start()  # first: whoever reads that this node is ready may connect
    await app.server.start(config.bind, config.http_port)
    log("ready", zone=config.zone, node=config.node, release=config.release, pid=os.getpid())

    working = [asyncio.create_task(work) for work in app.work()]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({*working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    broken = next((task for task in working if task.done()), None)
    if broken is not None:
        log("defect", why=repr(broken.exception()))
        return 1
    log("stopping")
    committing, *others = working
    for task in others:
        task.cancel()
    await asyncio.gather(app.ingest.stop(STOP_SECONDS), app.forwarder.stop(STOP_SECONDS))
    await app.hub.stop()
    await app.server.stop()
    app.sessions.close()
    committing.cancel()
    log("stopped", **{name: getattr(app.ingest.counters, name) for name in ("publishes_received", "puback_total")})
    if app.ingest.is_committing:
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
    except sqlite3.Error as error:
        what = f"What is kept beside the store in {config.data} cannot be opened: {error}."
        print(f"{what} Make room, or restore this node from a copy (python -m apps.mqtt.backup).", file=sys.stderr)
        return 1
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
