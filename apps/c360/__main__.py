"""``python -m apps.c360 --config FILE``: put the parts together, serve, and end well.

Exit 0 after SIGTERM or SIGINT, 1 when it cannot serve (the port is taken), 2 when the settings cannot be used.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from apps.c360.settings import BadSettings, Settings, read_settings

FINISH_SECONDS = 3.0  # what is in flight at SIGTERM gets this long; release.toml's stop_seconds is longer


def main(argv: list[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # nothing is being served yet
    parser = argparse.ArgumentParser(prog="python -m apps.c360", description="Serve the single view of every customer.")
    parser.add_argument("--config", type=Path, required=True, help="the JSON file the platform wrote for this process")
    try:
        settings = read_settings(parser.parse_args(argv).config)
        asyncio.run(serve(settings))
    except BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def serve(settings: Settings) -> None:
    """Serve until a signal says stop; MongoDB may be away at any time, also now."""
    import uvicorn

    from apps.c360.customers import open_customers
    from apps.c360.logs import log_json_lines
    from apps.c360.metrics import Metrics
    from apps.c360.readiness import Readiness
    from apps.c360.web import application

    log_json_lines(environment=settings.environment, zone=settings.zone, node=settings.node, release=settings.release)
    async with open_customers(settings) as customers:
        readiness = Readiness()
        config = uvicorn.Config(
            application(customers, readiness, Metrics(settings.release)),
            host=settings.bind,
            port=settings.http_port,
            headers=[("X-Release", settings.release)],
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=int(FINISH_SECONDS),
        )
        server = uvicorn.Server(config)
        # The server handles signals itself and raises them once more when it is done: that time they end nothing.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        watch = asyncio.create_task(readiness.watch(customers))
        try:
            await server.serve()
        finally:
            readiness.end()
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
    logging.getLogger("c360").info("stopped")


if __name__ == "__main__":
    sys.exit(main())
