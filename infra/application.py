"""What a platform must know of an application: the part of its release.toml that says ports and where it is ready.

The rest of that file is the controller's, which reads it strictly. This reading serves every platform.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


class BadApp(Exception):
    """An application's release.toml cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class App:
    """What the platform must know of an application: its ports, and where it says that it is ready."""

    name: str
    modes: Mapping[str, str]
    ready_port: str
    ready_path: str


def read_app(folder: Path, name: str) -> App:
    """The platform's part of ``folder/NAME/release.toml``; the rest of that file is the controller's."""
    path = folder / name / "release.toml"
    try:
        told = tomllib.loads(path.read_text())
        modes = {str(port): str(mode) for port, mode in told["ports"].items()}
        ready = urlsplit(told["ready"])
    except FileNotFoundError:
        raise BadApp(f"{path} is missing; every application of a fleet needs one.") from None
    except (tomllib.TOMLDecodeError, KeyError, AttributeError) as error:
        raise BadApp(f"{path} cannot be read: {error!r}; it needs `ports` and `ready`.") from None
    for port, mode in modes.items():
        if mode not in ("tcp", "http"):
            raise BadApp(f'{path}: ports.{port} is "{mode}"; it must be "tcp" (MQTT) or "http".')
    asked = [port for port in modes if "{port." + port + "}" in ready.netloc]
    if len(asked) != 1 or modes[asked[0]] != "http":
        raise BadApp(f'{path}: ready is "{told["ready"]}"; it must name one port of kind http, as {{port.http}}.')
    return App(name, modes, asked[0], ready.path)
