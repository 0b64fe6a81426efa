"""``node.json``: what every platform tells the node program of its node. Pure; the platform writes the file."""

from collections.abc import Mapping, Sequence

from infra.balancer import Balancer, backends

RESERVE_BYTES = 100 * 1024 * 1024
WATCHDOG_SECONDS = 5


def node_facts(
    *,
    node: str,
    zone: str,
    environment: str,
    bind: str,
    run: str,
    app: str,
    ports: Mapping[str, int],
    haproxy: str,
    config: str,
    balancer: Balancer,
    observe_port: int,
    observe_token: str,
    trusted: Sequence[str],
    mongo_uri: str,
    python: str,
) -> dict[str, object]:
    """The facts of one node. ``haproxy`` and ``config`` are the program and its file; ``run`` holds the sockets."""
    return {
        "node": node,
        "zone": zone,
        "environment": environment,
        "bind": bind,
        "run": run,
        "app": app,
        "ports": dict(ports),
        "balancer": {
            "argv": [haproxy, "-db", "-f", config],
            "socket": f"{run}/balancer.sock",
            "log": f"{run}/log.sock",
            "backends": backends(balancer),
        },
        "observe": {"port": observe_port, "token": observe_token},
        "trusted": list(trusted),
        "peers": {server.name: {"host": server.host, "ports": dict(server.ports)} for server in balancer.servers},
        "secrets": {"mongo_uri": mongo_uri},
        "python": python,
        "reserve_bytes": RESERVE_BYTES,
        "watchdog_seconds": WATCHDOG_SECONDS,
    }
