"""What a node stands on, and whether its files are still as they were staged: for reports, asked now and then.

Answered by the call itself, not by serve: hashing a release takes longer than a look may. It reads only, unless it is
asked to mend: then what somebody changed in the release is put back from its blob, which its digest vouches for.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import re
import sys
import tarfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from .disk import write_whole
from .errors import Json, Refused
from .manifest import blobs_of
from .node import Node
from .promises import wanted

MOST = 20
"""So many changed files are named; the rest are counted."""
DIST = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


def inspect(node: Node, mend: bool = False) -> Json:
    """The machine, the balancer's configuration, and what is on disk of the release that should run."""
    state = node.load_states().get(node.app)
    digest = wanted(state) if state else None
    mended = put_back(node, digest) if digest and mend else []
    return {
        "inspected": {
            "mended": mended,
            "utc": time.time(),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "system": system(),
            "program": sha256(Path(sys.argv[0])),
            "balancer": {str(path): lines(path) for path in configurations(node)},
            "release": {"digest": digest, **on_disk(node, digest)} if digest else None,
        }
    }


def system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return platform.system()


def configurations(node: Node) -> list[Path]:
    """The files that the balancer is started with."""
    words = (node.facts.get("balancer") or {}).get("argv", [])
    return [Path(word) for before, word in pairwise(words) if before == "-f"]


def lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().splitlines()
    return []


def sha256(path: Path) -> str:
    with contextlib.suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def on_disk(node: Node, digest: str) -> Json:
    """The versions of a release's libraries, and the files that are not as its blob has them."""
    blobs = blobs_of(node.manifest(digest))
    changed = sorted(set(differing(node.store / "blobs" / blobs["tree"][0], node.release(digest) / "tree")))
    libraries = {}
    if "dependencies" in blobs:
        libraries = dict(versions(node.store / "dependencies" / blobs["dependencies"][0]))
    return {"changed": changed[:MOST], "changed_in_all": len(changed), "libraries": libraries}


def put_back(node: Node, digest: str) -> list[str]:
    """Every changed file of a release as its blob has it; what the blob has not is removed."""
    hex_digest = blobs_of(node.manifest(digest))["tree"][0]
    blob, tree = node.store / "blobs" / hex_digest, node.release(digest) / "tree"
    if sha256(blob) != hex_digest:
        raise Refused("wrong digest", f"The blob {hex_digest[:12]} is damaged too: stage a release anew instead.")
    changed = sorted(set(differing(blob, tree)))
    with tarfile.open(blob, mode="r:") as tar:
        known = {member.name: member for member in tar}
        for name in changed:
            if name in known:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole(tree / name, content(tar, known[name]), known[name].mode)
            else:
                (tree / name).unlink()
    return changed


def versions(folder: Path) -> Iterator[tuple[str, str]]:
    for entry in folder.glob("*.dist-info"):
        if found := DIST.fullmatch(entry.name):
            yield found["name"].lower().replace("_", "-"), found["version"]


def differing(blob: Path, tree: Path) -> Iterator[str]:
    """Each file of a tree that its blob has not, or has otherwise. Byte code is made here and is in no blob."""
    known = set()
    with tarfile.open(blob, mode="r:") as tar:
        for member in tar:
            known.add(member.name)
            if member.isfile() and sha256(tree / member.name) != hashlib.sha256(content(tar, member)).hexdigest():
                yield member.name
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        if path.is_file() and name not in known and "__pycache__" not in path.parts:
            yield name


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""
