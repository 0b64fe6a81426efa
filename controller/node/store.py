"""The releases on a node's disk: taken from a tar whole or not at all, and removed when nobody can need them.

How a blob is unpacked stands in ``unpack``, how it is laid down again in ``mending``, whether a manifest may be
believed in ``manifest``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import IO

from .disk import lock, remove, sync_directory
from .errors import Failed, Json, Refused
from .manifest import blobs_of, check_manifest
from .mending import put_back, sha256
from .node import Node
from .unpack import unpack_dependencies, unpack_release

TAKES_NO_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def stage(node: Node, digest: str, stream: IO[bytes], anew: bool = False) -> Json:
    """Take a release from a tar; leave it whole and verified in the store, or leave the store as it was.

    ``anew``: one that is here is compared with its blobs, and what lies otherwise is put back.
    """
    brought: list[Path] = []
    with lock(node.store / ".lock", "Another stage or gc is at work.", wait=True):
        try:
            for part in ("blobs", "releases", "dependencies"):
                (node.store / part).mkdir(parents=True, exist_ok=True)
                for leftover in (node.store / part).glob(".*.tmp"):  # of a stage that was killed
                    remove(leftover)
            return _stage(node, digest, stream, brought, anew)
        except BaseException as problem:
            for path in brought:
                remove(path)
            if isinstance(problem, OSError) and problem.errno in TAKES_NO_MORE:
                why = f"The disk of {node.root} takes no more ({problem.strerror}): nothing was staged."
                why += " Run gc, then stage again."
                raise Failed("disk", why) from None
            if isinstance(problem, (OSError, tarfile.TarError, EOFError)):
                why = f"The release did not arrive whole ({problem}): nothing was staged. Stage again."
                raise Failed("cut off", why) from None
            raise


def _stage(node: Node, digest: str, stream: IO[bytes], brought: list[Path], anew: bool) -> Json:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        first = tar.next()
        content = tar.extractfile(first) if first and first.name == "manifest.json" and first.isreg() else None
        if first is None or content is None or first.size > 4 << 20:
            raise Refused("bad tar", "The tar must begin with manifest.json (at most 4 MB); the blobs follow it.")
        manifest = _parsed(content.read())
        check_manifest(manifest, digest, node)
        place, blobs = node.release(digest), blobs_of(manifest)
        here = (place / "manifest.json").exists()
        if here and not anew:
            os.utime(place / "manifest.json")  # asked for again: gc counts it among the newest
            _swallow(stream)
            return {"staged": True}
        _check_space(node, blobs)
        named = dict(blobs.values())
        for member in iter(tar.next, None):
            name = member.name.removeprefix("blobs/")
            if name not in named or not member.isreg() or not member.name.startswith("blobs/"):
                raise Refused("bad tar", f"The tar holds {member.name}, which the manifest does not name.")
            content = tar.extractfile(member)
            if content is not None and not _blob_is_there(node, name, here):
                _take_blob(node.store / "blobs" / name, named[name], content, brought)
    missing = [hex_digest for name, (hex_digest, _) in blobs.items() if not _have(node, name, hex_digest, here)]
    if missing:
        return {"staged": False, "missing": missing}
    if here:
        return {"staged": True, "mended": _mend(node, digest, blobs)}
    if "dependencies" in blobs:
        unpack_dependencies(node, blobs["dependencies"][0], brought)
    unpack_release(node, manifest, blobs["tree"][0])
    return {"staged": True}


def _parsed(content: bytes) -> Json:
    try:
        manifest = json.loads(content)
    except ValueError as problem:
        raise Refused("bad manifest", f"manifest.json is not JSON: {problem}.") from None
    if not isinstance(manifest, dict):
        raise Refused("bad manifest", "manifest.json is not a JSON object.")
    return manifest


def _swallow(stream: IO[bytes]) -> None:
    while stream.read(1 << 20):
        pass


def _mend(node: Node, digest: str, blobs: dict[str, tuple[str, int]]) -> list[str]:
    """Lay a release that is here down again: the files that were not as its blobs have them."""
    mended = put_back(node.store / "blobs" / blobs["tree"][0], node.release(digest) / "tree")
    if "dependencies" in blobs:
        blob = node.store / "blobs" / blobs["dependencies"][0]
        mended += put_back(blob, node.store / "dependencies" / blob.name)
        blob.unlink()  # as after unpacking: its directory is what is kept
    return mended


def _have(node: Node, name: str, hex_digest: str, anew: bool) -> bool:
    """``anew``: what was unpacked is what is doubted, so its blob is wanted."""
    unpacked = name == "dependencies" and not anew and (node.store / "dependencies" / hex_digest).exists()
    return unpacked or _blob_is_there(node, hex_digest, anew)


def _blob_is_there(node: Node, hex_digest: str, anew: bool) -> bool:
    blob = node.store / "blobs" / hex_digest
    return sha256(blob) == hex_digest if anew else blob.exists()


def _check_space(node: Node, blobs: dict[str, tuple[str, int]]) -> None:
    """Room for what is not here yet: the blob, and as much again for its files; and the reserve stays free."""
    need = sum(
        2 * size for hex_digest, size in blobs.values() if not (node.store / "dependencies" / hex_digest).exists()
    )
    reserve = int(node.facts.get("reserve_bytes", 0))
    disk = os.statvfs(node.store)
    free = disk.f_bavail * disk.f_frsize
    if free < need + reserve:
        why = f"Staging needs {need} bytes beside the reserve of {reserve}, and {node.store} has {free} free"
        raise Failed("disk", f"{why}: nothing was staged. Run gc, then stage again.")


def _take_blob(place: Path, size: int, content: IO[bytes], brought: list[Path]) -> None:
    partial, seen, total = place.with_name(f".{place.name}.tmp"), hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            while chunk := content.read(1 << 20):
                total += len(chunk)
                seen.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if (seen.hexdigest(), total) != (place.name, size):
            got = f"{total} bytes with sha256 {seen.hexdigest()[:12]}"
            raise Refused("wrong digest", f"Blob {place.name[:12]} should have {size} bytes; what came is {got}.")
        brought.append(place)
        partial.rename(place)
        sync_directory(place.parent)
    finally:
        partial.unlink(missing_ok=True)


def gc(node: Node) -> Json:
    """Remove releases nobody can need: never good, previous, pending or its base, nor the three newest staged."""
    with lock(node.store / ".lock", "A stage is at work; run gc when it is done."):
        with lock(node.store / ".choice", "The node program is choosing a release; run gc again."):
            keep = set(node.staged()[:3])
            for state in node.load_states().values():
                keep |= {digest for digest in (state.good, state.previous) if digest}
                keep |= {digest for p in (state.pending,) if p for digest in (p.digest, p.base) if digest}
            gone = [digest for digest in node.staged() if digest not in keep]
            for digest in gone:  # a rename is quick: nothing can be activated half-removed
                place = node.release(digest)
                place.rename(place.with_name(f".{place.name}.tmp"))
        used = {hex_digest for digest in node.staged() for hex_digest, _ in blobs_of(node.manifest(digest)).values()}
        for part in ("blobs", "dependencies", "releases"):
            for path in (node.store / part).glob("*"):
                if (part != "releases" and path.name not in used) or path.name.startswith("."):
                    remove(path)
        return {"removed": gone}
