"""One node's directory: its facts, its state file, what is staged, and how a release of it is started.

What is promised is ``promises``' matter; how a release comes into the store is ``store``'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .disk import write_whole
from .errors import Json, Refused
from .facts import read_facts
from .manifest import HEX, blobs_of, canonical, check_manifest
from .promises import AppState, Facts, Release, state_from_json


class Node:
    """One node's directory and its ``node.json``: where everything lies, and how it is read and written."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self.facts = read_facts(str(self.root))
        self.app: str = self.facts["app"]
        self.run = Path(self.facts["run"])
        self.store = self.root / "store"
        self.log = self.root / "logs" / f"{self.app}.log"
        self._read: dict[tuple[str, int], Json] = {}  # manifests by digest and inode: what is staged never changes
        self._verified: set[tuple[str, int]] = set()

    def boot_id(self) -> str:
        return Path(self.facts.get("boot_id_file", "/proc/sys/kernel/random/boot_id")).read_text().strip()

    def release(self, digest: str) -> Path:
        return self.store / "releases" / digest.removeprefix("sha256:")

    # ---- state.json

    def load_states(self) -> dict[str, AppState]:
        path = self.root / "state.json"
        if not path.exists():
            return {}
        try:
            return {app: state_from_json(known) for app, known in json.loads(path.read_text())["apps"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            why = f"{path} is damaged ({problem!r}): restore it, or remove it to begin with no release."
            raise Refused("damaged state", why) from None

    def save_states(self, states: Mapping[str, AppState]) -> None:
        known = {"schema": "turnabout/node-state/1", "apps": {app: asdict(state) for app, state in states.items()}}
        write_whole(self.root / "state.json", canonical(known), 0o600)

    # ---- what is staged

    def manifest(self, digest: str, verified: bool = False) -> Json:
        """The manifest as staged; ``verified``: only if its signature and digests still hold."""
        path = self.release(digest) / "manifest.json"
        key = (digest, path.stat().st_ino)
        manifest = self._read.get(key) or json.loads(path.read_bytes())
        if verified and key not in self._verified:
            check_manifest(manifest, digest, self)
            self._verified.add(key)
        self._read[key] = manifest
        return manifest

    def staged(self) -> list[str]:
        """The digests in the store, the newest first."""
        found: list[tuple[int, str]] = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.store / "releases"):
                with contextlib.suppress(FileNotFoundError):
                    if HEX.fullmatch(entry.name):
                        stamp = Path(entry.path, "manifest.json").stat().st_mtime_ns
                        found.append((stamp, f"sha256:{entry.name}"))
        return [digest for _, digest in sorted(found, reverse=True)]

    def promise_facts(self, proven: Iterable[str | None] = ()) -> Facts:
        """The staged releases as promises see them. One that no longer verifies is not among them, except those that
        were good here: a key that is trusted no more must not take away the way back."""
        releases: dict[str, Release] = {}
        for digest in self.staged():
            with contextlib.suppress(Refused, OSError, ValueError):
                manifest = self.manifest(digest, verified=digest not in set(proven))
                versions = manifest["data_versions"]
                frozen = manifest["on_deadline"] == "freeze"
                releases[digest] = Release(frozenset(versions["reads"]), versions["writes"], frozen)
        return Facts(releases, frozenset(self.base_weights()))

    def base_weights(self) -> dict[str, int]:
        backends = (self.facts.get("balancer") or {}).get("backends", {})
        return {
            f"{name}/{server}": int(weight) for name, b in backends.items() for server, weight in b["servers"].items()
        }

    # ---- how a release is started

    def fill(self, text: str, manifest: Json) -> str:
        """Replace the placeholders of a manifest; an unknown one is refused (already at stage time)."""
        place = self.release(manifest["release"])
        known = {
            "release": str(place / "tree"),
            "data": str(self.root / "data" / manifest["data"]),
            "config": str(place / "config.json"),
            "bind": self.facts["bind"],
            "python": self.facts["python"],
        } | {f"port.{name}": str(port) for name, port in self.facts["ports"].items()}

        def value(match: re.Match[str]) -> str:
            if match[1] not in known:
                names = ", ".join(sorted(known))
                raise Refused(
                    "placeholder", f"The manifest uses {match[0]}, which this node does not have (has: {names})."
                )
            return str(known[match[1]])

        return re.sub(r"\{([a-z][a-z0-9_.]*)\}", value, text)

    def argv(self, words: Iterable[Any], manifest: Json) -> list[str]:
        argv = [self.fill(str(word), manifest) for word in words]
        return [self.facts["python"], *argv[1:]] if argv[0] == "python" else argv

    def surroundings(self, manifest: Json) -> dict[str, str]:
        """The environment of a release's processes: its own modules and none of ours."""
        modules = [self.release(manifest["release"]) / "tree"]
        if "dependencies" in (blobs := blobs_of(manifest)):
            modules.append(self.store / "dependencies" / blobs["dependencies"][0])
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        env |= {"PYTHONPATH": ":".join(map(str, modules)), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        return env | {"TURNABOUT_NODE": str(self.root)}

    def app_config(self, manifest: Json) -> bytes:
        """The file an application is started with; its secrets are this node's, readable offline."""
        facts = self.facts
        return canonical(
            {key: facts[key] for key in ("environment", "zone", "node", "bind", "ports")}
            | {"release": manifest["release"], "data": str(self.root / "data" / manifest["data"])}
            | {"settings": manifest["config"], "secrets": facts.get("secrets", {}), "peers": facts.get("peers", {})}
        )
