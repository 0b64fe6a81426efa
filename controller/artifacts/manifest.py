"""A release's manifest: its one spelling in bytes, the digests that name it, and its signature.

The node program holds the same rules in its own words, because it imports nothing of ours; a test compares the two.
What a manifest is made from is ``spec``'s and ``build``'s matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from controller.artifacts.spec import AppSpec
from controller.keys import BuildKey, signed_by

SCHEMA = "turnabout/manifest/1"

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by their hash: 64 hex digits."""

    sha256: str
    bytes: int


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config_digest(config: Mapping[str, Any]) -> str:
    return sha256(canonical(config))


def artifact_digest(app: str, tree: str, lock: str) -> str:
    """``tree`` is the hex sha256 of the tree blob, ``lock`` the digest of the bytes of requirements.lock."""
    return sha256(canonical({"app": app, "tree": tree, "lock": lock}))


def release_digest(artifact: str, config: str) -> str:
    return sha256(canonical({"artifact_digest": artifact, "config_digest": config}))


def unsigned(
    spec: AppSpec, commit: str, tree: Blob, dependencies: Blob | None, lock: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of an application at a commit with one environment's settings, but for who built it."""
    artifact, settings = artifact_digest(spec.app, tree.sha256, lock), config_digest(config)
    return {
        "schema": SCHEMA,
        "app": spec.app,
        "release": release_digest(artifact, settings),
        "artifact_digest": artifact,
        "config_digest": settings,
        "commit": commit,
        "blobs": {"tree": asdict(tree), "dependencies": asdict(dependencies) if dependencies else None},
        "lock": lock,
        "start": list(spec.start),
        "stop_seconds": spec.stop_seconds,
        "data": spec.data,
        "ports": dict(spec.ports),
        "ready": spec.ready,
        "probe": list(spec.probe),
        "data_versions": {"reads": list(spec.reads), "writes": spec.writes},
        "on_deadline": spec.on_deadline,
        "checks": [dict(check) for check in spec.checks_as_written],
        "synthetic": list(spec.synthetic),
        "config": dict(config),
    }


def sign(manifest: Manifest, key: BuildKey) -> dict[str, Any]:
    """The manifest with its builder and the builder's signature, in place of any it had."""
    said = {name: value for name, value in manifest.items() if name != "signature"} | {"built_by": key.name}
    return said | {"signature": key.sign(canonical(said))}


def verify(manifest: Manifest, public: str) -> bool:
    """Whether the key ``public`` (64 hex digits) has signed exactly this."""
    said = {name: value for name, value in manifest.items() if name != "signature"}
    return signed_by(public, canonical(said), str(manifest.get("signature")))


def blobs(manifest: Manifest) -> dict[str, Blob]:
    """Name to blob of those that the manifest has."""
    return {name: Blob(**blob) for name, blob in manifest["blobs"].items() if blob is not None}
