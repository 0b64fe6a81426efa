"""What this process was told: the platform's JSON file, read once into a frozen value.

Here: reading, checking and defaults. Not here: anything that acts on a setting.
Keys this release does not know are ignored, because the platform may add some at any time; a key it
needs and cannot find ends the process with one sentence.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORBIDDEN_IN_DATABASE_NAME = frozenset('/\\. "$*<>:|?\0')


class BadSettings(Exception):
    """The file the platform wrote cannot be used; the text is for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the application may know about where it runs."""

    release: str
    bind: str
    http_port: int
    mongo_uri: str = field(repr=False)  # carries a password
    database: str = "c360"
    environment: str = ""
    zone: str = ""
    node: str = ""


def read_settings(path: Path) -> Settings:
    """The settings in the JSON file at ``path``; raises ``BadSettings`` with one sentence."""
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise BadSettings(f"{path} cannot be read ({error.strerror}); start with --config FILE.") from error
    except ValueError as error:
        raise BadSettings(f"{path} is not JSON ({error}); write it again.") from error
    try:
        return _settings(told)
    except BadSettings as error:
        raise BadSettings(f"{path}: {error}") from error


def _settings(told: Any) -> Settings:
    port = _needed(told, "ports.http")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise BadSettings(f"ports.http is {port!r}; give a port from 1 to 65535.")
    database = _text(told, "settings.database", default="c360")
    if len(database) > 63 or FORBIDDEN_IN_DATABASE_NAME & set(database):
        raise BadSettings(
            f"settings.database is {database!r}; give a MongoDB database name, at most 63 characters and without dots."
        )
    return Settings(
        release=_text(told, "release"),
        bind=_text(told, "bind", default="127.0.0.1"),
        http_port=port,
        mongo_uri=_text(told, "secrets.mongo_uri"),
        database=database,
        environment=_text(told, "environment", default="unknown"),
        zone=_text(told, "zone", default="unknown"),
        node=_text(told, "node", default="unknown"),
    )


def _text(told: Any, key: str, default: str | None = None) -> str:
    value = _needed(told, key, default)
    if not isinstance(value, str) or not value:
        raise BadSettings(f"{key} is not a non-empty text; write one.")
    return value


def _needed(told: Any, key: str, default: Any = None) -> Any:
    here = told
    for part in key.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    if here is None:
        here = default
    if here is None:
        raise BadSettings(f"the key {key} is missing; the application cannot start without it.")
    return here
