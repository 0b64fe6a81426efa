"""A site: where one controller keeps its things, and which environments it leads.

Read from ``turnabout.toml``; relative paths are relative to that file. What the environments are stands in git, what
the platform is in its outputs; a site only says where to find them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from environments.problems import no_toml
from infra.outputs import Outputs, from_json

FILE = "turnabout.toml"


class BadSite(Exception):
    """The site file cannot be used; the message says what and where, and what to do."""


class Webhook(BaseModel):
    """Where a forge may tell that something was pushed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    secret: Annotated[str, Field(min_length=8)]


class SiteFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    environments: Annotated[list[str], Field(min_length=1)]
    outputs: str = "."
    """Folder with ``<environment>/outputs.json``, as the platform writes them."""
    state: str = "controller"
    """Folder for ledgers, the mirror of the repository and built artefacts."""
    keys: str = "keys"
    repository: str | None = None
    """Overrides where the outputs say the branches are."""
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A site file, read: folders are absolute."""

    file: Path
    environments: tuple[str, ...]
    outputs_folder: Path
    state: Path
    keys: Path
    repository: str | None
    webhook: Webhook | None

    def outputs(self, environment: str) -> Outputs:
        """What the platform of ``environment`` says it is. Raises BadSite, BadOutputs."""
        path = self.outputs_folder / environment / "outputs.json"
        try:
            text = path.read_bytes()
        except OSError as error:
            said = f"{path}: {error.strerror}. Bring the platform up, or run `pulumi up`, to write it."
            raise BadSite(said) from error
        return from_json(text, str(path))

    def ledger(self, environment: str) -> Path:
        return self.state / environment / "ledger.db"

    def leader(self, environment: str) -> Path:
        """The file that the controller that leads ``environment`` holds locked."""
        return self.state / environment / "leader.lock"

    def require(self, environment: str) -> str:
        """``environment``, if this site leads it. Raises BadSite."""
        if environment not in self.environments:
            known = ", ".join(self.environments)
            raise BadSite(f"There is no environment {environment!r} in {self.file}; it has {known}.")
        return environment


def load_site(path: Path) -> Site:
    """Read a site file. Raises BadSite with every complaint."""
    try:
        content = path.read_bytes()
    except OSError as error:
        ways = "Name the site with --site or in TURNABOUT_SITE, or write one (see docs/site.md)."
        raise BadSite(f"{path}: {error.strerror}. {ways}") from error
    try:
        stated = SiteFile.model_validate(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSite(f"{path}: {': '.join(no_toml(content, error))}") from error
    except ValidationError as error:
        lines = [f"  - {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise BadSite(f"{path}: {len(lines)} problem{'s' * (len(lines) != 1)}\n" + "\n".join(lines)) from error
    folder = path.resolve().parent
    return Site(
        path, tuple(stated.environments), folder / stated.outputs, folder / stated.state, folder / stated.keys,
        stated.repository, stated.webhook,
    )  # fmt: skip
