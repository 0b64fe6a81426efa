"""The edge application behind the platform's own balancer, over TLS: devices come with certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.balancer import START_LINE, Balancer, Server, haproxy_cfg
from infra.local.servers import answers, find_haproxy, start, wait_until


@contextmanager
def balancer(folder: Path, tls: Path, mqtt: int, http: int, fronts: dict[str, int]) -> Iterator[None]:
    """The balancer of one node, whose application listens on ``mqtt`` and ``http``. Raises ServerMissing."""
    with TemporaryDirectory(prefix="turnabout-", dir="/tmp") as run:
        described = Balancer(
            bind="127.0.0.1", run=run, fronts=fronts, modes={"mqtt": "tcp", "http": "http"},
            servers=(Server("bos-a", "127.0.0.1", {"mqtt": mqtt, "http": http}),), tls=str(tls),
        )  # fmt: skip
        config, lua = folder / "haproxy.cfg", folder / "session_start.lua"
        lua.write_text(START_LINE)
        config.write_text(haproxy_cfg(described, str(lua)))
        server = start("haproxy", [find_haproxy(), "-db", "-f", str(config)], folder / "haproxy.log")
        try:
            wait_until(server, lambda: all(answers(port) for port in fronts.values()))
            yield
        finally:
            server.stop()
