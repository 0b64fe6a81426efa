"""The file that the node program hands over, parsed once into frozen values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from apps.mqtt.readings import rules, schema
from apps.mqtt.readings.rules import BadRule, Rule
from apps.mqtt.readings.schema import BadSchema, Table

TABLES: dict[str, Callable[[object], tuple[object, ...]]] = {"rules": rules.parse, "schema": schema.parse}
ACCEPTED, REQUIRED = "accepted", "required"
DECLARED, INFER = "declared", "infer"
NODE, PEER = "node", "peer"
CHOICES = {"certificates": (ACCEPTED, REQUIRED), "ack": (NODE, PEER), "schema_mode": (DECLARED, INFER)}
"""What a text may be, where it is one of few."""
ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class BadConfig(Exception):
    """The file lacks or contradicts something needed; the message is one sentence for whoever starts the app."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment's table for this application. Numbers are positive integers, except where 0 is explained."""

    max_packet_bytes: int = 16_384
    max_connections: int = 5_000
    max_rate: int = 0  # messages a second of one client; one that is faster is read more slowly. 0: no limit
    max_in_flight: int = 200  # messages of one connection that wait for their commit
    max_pending: int = 20_000  # the same, of all connections
    max_batch: int = 2_000  # messages in one transaction
    connect_seconds: int = 3  # a connection that sends no CONNECT within this is closed
    quarantine_rows: int = 10_000  # the oldest are dropped, and counted, beyond this
    retention_days: int = 30  # readings that are far are kept here this long
    max_store_bytes: int = 0  # near it, readings that are far go early; 0: as much as the disk holds
    session_seconds: int = 604_800  # how long a session outlives its connection, at most; never over the retention
    watchers: str = "watch-*"  # client ids that may subscribe to the whole zone; patterns, separated by spaces
    ack: str = NODE  # "peer": a PUBACK waits until a second node of the zone has the message on its disk too
    certificates: str = ACCEPTED  # "required": who comes without one, or not by the zone's balancers, is refused
    rules: tuple[Rule, ...] = ()  # a list of tables: see ``rules``
    schema: tuple[Table, ...] = ()  # a list of tables: see ``schema``
    schema_mode: str = DECLARED  # "infer", for development: take what can be kept, write down what it is
    forward_batch: int = 5_000  # documents in one write to the far store, at most


@dataclass(frozen=True, slots=True)
class Config:
    zone: str
    node: str
    bind: str
    release: str
    mqtt_port: int
    http_port: int
    data: Path
    mongo_uri: str
    peers: dict[str, tuple[str, int]]  # the other nodes of the zone: where each answers by HTTP
    balancers: frozenset[str]  # addresses of all nodes of the zone, from which its balancers connect
    settings: Settings


def load(path: Path) -> Config:
    """Raises BadConfig. Keys that are not known here are for others, or for a newer release."""
    try:
        parsed = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadConfig(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise BadConfig(f"The configuration {path} is not JSON: {error}.") from None
    zone = _needed(parsed, path, "zone", str)
    if not ZONE.fullmatch(zone):
        raise BadConfig(f'{path}: "zone" is {zone!r}; it may hold letters, digits, "_" and "-", at most 32.')
    nodes = _nodes(parsed, path)
    return Config(
        zone=zone,
        node=_needed(parsed, path, "node", str),
        bind=_needed(parsed, path, "bind", str),
        release=_needed(parsed, path, "release", str),
        mqtt_port=_needed(parsed, path, "ports.mqtt", int),
        http_port=_needed(parsed, path, "ports.http", int),
        data=Path(_needed(parsed, path, "data", str)),
        mongo_uri=_needed(parsed, path, "secrets.mongo_uri", str),
        peers={name: where for name, where in nodes.items() if name != parsed.get("node")},
        balancers=frozenset(host for host, _ in nodes.values()) | {_needed(parsed, path, "bind", str)},
        settings=parsed_settings(parsed, path),
    )


def _needed(parsed: Any, path: Path, key: str, kind: type) -> Any:
    found = parsed
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if type(found) is not kind or found == "":
        missing = "is missing" if found is None else f"is not {'a number' if kind is int else 'a text'}"
        raise BadConfig(f'{path}: "{key}" {missing}; the application cannot start without it.')
    return found


def _nodes(parsed: Any, path: Path) -> dict[str, tuple[str, int]]:
    """All nodes of the zone. Without the key, the node is alone in it."""
    try:
        named = parsed.get("peers", {}).items()
        return {str(name): (str(peer["host"]), int(peer["ports"]["http"])) for name, peer in named}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadConfig(f'{path}: "peers" is not a table of nodes, each with "host" and "ports.http".') from None


def parsed_settings(parsed: Any, path: Path) -> Settings:
    """Of a file's whole table. Raises BadConfig, which names ``path``."""
    table = parsed.get("settings", {})
    if not isinstance(table, dict):
        raise BadConfig(f'{path}: "settings" is not a table.')
    chosen: dict[str, Any] = {}
    for field in fields(Settings):
        if field.name not in table:
            continue
        value = table[field.name]
        if field.name in TABLES:
            try:
                chosen[field.name] = TABLES[field.name](value)
            except (BadRule, BadSchema) as error:
                raise BadConfig(f'{path}: "settings.{field.name}" cannot be used: {error}.') from None
            continue
        if isinstance(field.default, str):
            if not isinstance(value, str):
                raise BadConfig(f'{path}: "settings.{field.name}" is {value!r}; it must be a text.')
            if value not in CHOICES.get(field.name, (value,)):
                may = " or ".join(f'"{choice}"' for choice in CHOICES[field.name])
                raise BadConfig(f'{path}: "settings.{field.name}" is {value!r}; it must be {may}.')
            chosen[field.name] = value
            continue
        lowest = 0 if field.default == 0 else 1
        if type(value) is not int or value < lowest:
            raise BadConfig(f'{path}: "settings.{field.name}" is {value!r}; it must be an integer from {lowest} up.')
        chosen[field.name] = value
    return Settings(**chosen)
