"""HAProxy's configuration on one node, as text. Pure: reads nothing, writes nothing, starts nothing.

Every node of a zone balances over all nodes of the zone:

- **HTTP** goes round robin by weight; the answer names its server in ``X-Served-By``.
- **MQTT** goes by consistent hash of the client id, so that each device has a home node whichever balancer it
  reaches, and the share of a canary is the share of its nodes. Over TLS, where the platform has certificates; the
  server is then told the name in the device's certificate (PROXY protocol, version 2).

Each request, and the start and the end of each MQTT session, is one line to the node program, fields separated by
``|``, so that a release is counted outside of itself:

- ``http|BACKEND|SERVER|STATUS|MS|TERMINATION|CLIENT|METHOD|PATH``
- ``tcp|BACKEND|SERVER|SOURCE_IP:PORT|MS|TERMINATION|CLIENT|start or end|``

HAProxy 2.8 writes one log line for a TCP session: at its end, or with ``option logasap`` at its start. Both are
needed (the start tells which session is which client's), so the start is a log line from a small Lua action, run when
the server's CONNACK passes. Weights are changed at run time through the admin socket, never by a reload.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_CLIENT_ID = "req.payload(0,0),mqtt_field_value(connect,client_identifier)"
_CLEAN = "regsub([^A-Za-z0-9._:-],_,g),bytes(0,64)"
"""A client names itself: what it sends may neither break a log line nor fill it."""

START_LINE = """\
-- Logs the start of an MQTT session: HAProxy itself logs one line per TCP session, at its end.
core.register_action("session_start", { "tcp-res" }, function(txn)
    local f = txn.f
    local began = txn:get_var("sess.began") or f:date(0, "ms")
    core.log(core.info, table.concat({
        "tcp", f:be_name(), f:srv_name() or "<NOSRV>", f:src() .. ":" .. f:src_port(),
        tostring(f:date(0, "ms") - began), "--", txn:get_var("sess.client") or "-", "start", "",
    }, "|"))
end, 0)
"""
"""The Lua action of the TCP frontends; kept in a file beside the configuration."""


@dataclass(frozen=True, slots=True)
class Server:
    """One node of the zone, as every balancer of the zone sees it."""

    name: str
    host: str
    ports: Mapping[str, int]
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Balancer:
    """What one node's HAProxy has to do. Port names are the application's: they name backends too."""

    bind: str
    run: str
    """Short directory of the sockets: the path of a Unix socket may not exceed 107 bytes."""
    fronts: Mapping[str, int]
    modes: Mapping[str, str]
    """Port name to ``tcp`` (MQTT) or ``http``, as the application's release.toml says."""
    servers: tuple[Server, ...]
    ready_port: str = "http"
    """The port on which servers are asked whether they are ready; the other backends follow its answer."""
    ready_path: str = "/ready"
    tls: str = ""
    """Folder of ``server.pem`` and ``devices.pem``, where MQTT is spoken over TLS and devices have certificates."""


def backends(balancer: Balancer) -> dict[str, dict[str, object]]:
    """The backends and their base weights, as node.json tells them to the node program."""
    weights = {server.name: server.weight for server in balancer.servers}
    return {name: {"mode": balancer.modes[name], "servers": dict(weights)} for name in sorted(balancer.fronts)}


def haproxy_cfg(balancer: Balancer, start_line: str) -> str:
    """The configuration of one node. ``start_line`` is the path of the file that holds ``START_LINE``."""
    if balancer.modes.get(balancer.ready_port) != "http":
        raise ValueError(f"The ready port {balancer.ready_port!r} is not of kind http: servers are checked on it.")
    parts = [_head(balancer, start_line)]
    for name in sorted(balancer.fronts):
        if balancer.modes[name] == "http":
            parts += [_http_front(name, balancer), _http_back(name, balancer)]
        else:
            parts += [_mqtt_front(name, balancer), _mqtt_back(name, balancer)]
    return "\n".join(parts)


def _head(balancer: Balancer, start_line: str) -> str:
    # Only frontends log: a backend that logs sends "server is down" texts to the socket of the node program.
    # Through a ring: a datagram socket takes 11 lines while the node program is busy, and the rest would be lost.
    return f"""\
global
    log ring@lines len 4096 format raw local0
    stats socket {balancer.run}/balancer.sock mode 600 level admin
    stats timeout 30s
    nbthread 1
    maxconn 2000
    hard-stop-after 5s
    .if version_atleast(2.8)
    tune.lua.log.stderr off
    .endif
    lua-load {start_line}

ring lines
    format raw
    maxlen 4096
    size 524288
    timeout connect 1s
    timeout server 10s
    server node unix@{balancer.run}/log.sock

defaults
    timeout connect 1s
    timeout queue 2s
    timeout check 1s
    timeout client-fin 5s
    timeout server-fin 5s
    retries 2
    option redispatch 1
    option dontlognull
    option clitcpka
    option srvtcpka
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
"""


def _http_front(name: str, balancer: Balancer) -> str:
    return f"""\
frontend {name}-front
    mode http
    bind {balancer.bind}:{balancer.fronts[name]}
    log global
    log-format "http|{name}|%s|%ST|%Ta,%U,%B|%ts|%[var(txn.client)]|%HM|%HP"
    timeout client 75s
    timeout http-request 5s
    timeout http-keep-alive 75s
    option idle-close-on-response
    http-request set-var(txn.client) req.hdr(X-Client-Id),{_CLEAN}
    http-request set-var(txn.client) src unless {{ var(txn.client) -m len gt 0 }}
    http-after-response set-header X-Served-By %s if {{ srv_name -m found }}
    default_backend {name}
"""


def _http_back(name: str, balancer: Balancer) -> str:
    # A client that gives up is logged when it does, not when the server would have answered.
    return f"""\
backend {name}
    mode http
    balance roundrobin
    timeout server 5s
    option abortonclose
{_servers(name, balancer)}"""


def _mqtt_front(name: str, balancer: Balancer) -> str:
    # A device goes by the name in its certificate: otherwise one stolen key could speak for every device.
    tls = balancer.tls
    files = f"crt {tls}/server.pem ca-file {tls}/devices.pem"
    secure = f" ssl {files} verify required ssl-min-ver TLSv1.2" if tls else ""
    itself = "{ ssl_c_s_dn(cn),strcmp(sess.client) eq 0 }"
    only = f"\n    tcp-request content reject if {{ var(sess.client) -m found }} !{itself}" if tls else ""
    return f"""\
frontend {name}-front
    mode tcp
    bind {balancer.bind}:{balancer.fronts[name]}{secure}
    log global
    log-format "tcp|{name}|%s|%ci:%cp|%Tt,%U,%B|%ts|%[var(sess.client)]|end|"
    timeout client 15m
    tcp-request inspect-delay 3s
    tcp-request content set-var(sess.began) date(0,ms) unless {{ var(sess.began) -m found }}
    tcp-request content reject if {{ req.len gt 0 }} !{{ req.payload(0,1) -m bin 10 }}
    tcp-request content set-var(sess.client) {_CLIENT_ID},{_CLEAN} if {{ req.payload(0,0),mqtt_is_valid }}{only}
    tcp-request content accept if {{ var(sess.client) -m found }}
    tcp-request content reject if WAIT_END
    default_backend {name}
"""


def _mqtt_back(name: str, balancer: Balancer) -> str:
    # The hash is over the variable: over the payload HAProxy finds nothing here, and silently goes round the ring.
    # Over TLS the server is told whose certificate it was: by then the connection is the balancer's.
    says = " send-proxy-v2-ssl-cn" if balancer.tls else ""
    return f"""\
backend {name}
    mode tcp
    balance hash var(sess.client)
    hash-type consistent
    timeout server 15m
    tcp-response inspect-delay 3s
    tcp-response content lua.session_start
{_servers(name, balancer, says)}"""


def _servers(name: str, balancer: Balancer, more: str = "") -> str:
    asks = name == balancer.ready_port
    lines = [f"    option httpchk GET {balancer.ready_path}", "    http-check expect status 200"] if asks else []
    for server in balancer.servers:
        how = "check" if asks else f"track {balancer.ready_port}/{server.name}"
        lines.append(f"    server {server.name} {server.host}:{server.ports[name]} weight {server.weight} {how}{more}")
    return "\n".join(lines) + "\n"
