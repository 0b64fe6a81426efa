"""What a manifest must be before anything of it is unpacked: signed by a trusted key, whole, and of this node.

The digests are spelled here as the controller spells them (a test holds the two together). How a manifest's
placeholders are filled is the node's matter (``node``).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from .ed25519 import verify
from .errors import Json, Refused, short

if TYPE_CHECKING:
    from .node import Node

HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MANIFEST: dict[str, type | tuple[type, ...]] = {
    "app": str, "release": str, "artifact_digest": str, "config_digest": str, "commit": str, "blobs": dict, "lock": str,
    "start": list, "stop_seconds": (int, float), "data": str, "ports": dict, "ready": str, "data_versions": dict,
    "on_deadline": str, "checks": list, "config": dict, "signature": str,
}  # fmt: skip


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def config_digest(config: object) -> str:
    return sha256(canonical(config))


def artifact_digest(app: str, tree: str, lock: str) -> str:
    return sha256(canonical({"app": app, "tree": tree, "lock": lock}))


def release_digest(artifact_digest: str, config_digest: str) -> str:
    return sha256(canonical({"artifact_digest": artifact_digest, "config_digest": config_digest}))


def check_manifest(manifest: Json, digest: str, node: Node) -> None:
    """Raise Refused unless this is the signed, consistent manifest of ``digest`` for this node's application."""
    signed = {key: value for key, value in manifest.items() if key != "signature"}
    name, _, signature = str(manifest.get("signature", "")).partition(":")
    if name != "ed25519" or not re.fullmatch(r"[0-9a-f]{128}", signature):
        raise Refused("unsigned", "The manifest carries no ed25519 signature: only signed releases run here.")
    keys = [bytes.fromhex(key) for key in node.facts.get("trusted", [])]
    if not any(verify(key, canonical(signed), bytes.fromhex(signature)) for key in keys):
        raise Refused(
            "bad signature", "No key this node trusts has signed this manifest: it was altered, or is not ours."
        )
    wrong = sorted(key for key, kind in _MANIFEST.items() if not isinstance(manifest.get(key), kind))
    if wrong or manifest.get("schema") != "turnabout/manifest/1":
        raise Refused("bad manifest", f"This node program cannot use the manifest: {', '.join(wrong) or 'its schema'}.")
    versions = manifest["data_versions"]
    sound = {
        "start": bool(manifest["start"]) and all(isinstance(part, str) for part in manifest["start"]),
        "data_versions": isinstance(versions.get("reads"), list) and isinstance(versions.get("writes"), int),
        "on_deadline": manifest["on_deadline"] in ("revert", "freeze"),
        "stop_seconds": 0 <= manifest["stop_seconds"] <= 60,
        "checks": all(isinstance(check, dict) for check in manifest["checks"]),
    }
    if not all(sound.values()):
        unsound = ", ".join(key for key, fine in sound.items() if not fine)
        raise Refused("bad manifest", f"This node program cannot use the manifest's {unsound}.")
    if manifest["app"] != node.app or not _NAME.fullmatch(manifest["data"]):
        why = f"The manifest is of app {manifest['app']} with data {manifest['data']}; this node serves {node.app}."
        raise Refused("other app", why)
    tree = blobs_of(manifest)["tree"][0]
    expected = {
        "config_digest": config_digest(manifest["config"]),
        "artifact_digest": artifact_digest(manifest["app"], tree, manifest["lock"]),
        "release": release_digest(manifest["artifact_digest"], manifest["config_digest"]),
    }
    for key, value in expected.items():
        if manifest[key] != value:
            raise Refused("wrong digest", f"The manifest says {key} = {manifest[key]}, but its content gives {value}.")
    if manifest["release"] != digest:
        raise Refused("wrong digest", f"The manifest is of {short(manifest['release'])}, not of {short(digest)}.")
    words = [*node.argv([*manifest["start"], *manifest["probe"]], manifest), node.fill(manifest["ready"], manifest)]
    if "\0" in "".join(words):
        raise Refused("bad manifest", "The manifest's start, probe or ready holds a NUL byte.")


def blobs_of(manifest: Json) -> dict[str, tuple[str, int]]:
    """name → (hex digest, bytes) of the blobs that a manifest names."""
    found: dict[str, tuple[str, int]] = {}
    for name in ("tree", "dependencies"):
        blob = manifest["blobs"].get(name)
        if blob is None and name == "dependencies":
            continue
        fits = isinstance(blob, dict) and isinstance(blob.get("bytes"), int)
        if not fits or not HEX.fullmatch(str(blob.get("sha256"))):
            raise Refused("bad manifest", f"The manifest's blob {name} needs sha256 (64 hex digits) and bytes.")
        found[name] = (blob["sha256"], blob["bytes"])
    return found
