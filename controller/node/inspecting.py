"""What a node stands on, and whether its files are still as they were staged: for reports, asked now and then.

Answered by the call itself, not by serve: hashing a release takes longer than a look may. It reads only, unless it is
asked to mend: then what somebody changed in the release is put back from its blob, which its digest vouches for.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from .errors import Json
from .manifest import blobs_of
from .mending import differing, put_back, sha256
from .node import Node
from .promises import wanted

MOST = 20
"""So many changed files are named; the rest are counted."""
PACKAGES = (
    ("dpkg-query", "--show", "--showformat", "${binary:Package} ${Version}\n"),
    ("rpm", "--query", "--all", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n"),
)
DIST = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


def inspect(node: Node, mend: bool = False) -> Json:
    """The machine, the balancer's configuration, and what is on disk of the release that should run."""
    state = node.load_states().get(node.app)
    digest = wanted(state) if state else None
    mended = put_back(*tree(node, digest)) if digest and mend else []
    return {
        "inspected": {
            "mended": mended,
            "utc": time.time(),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "system": system(),
            "packages": packages(),
            "program": sha256(Path(sys.argv[0])),
            "balancer": {str(path): lines(path) for path in configurations(node)},
            "release": {"digest": digest, **on_disk(node, digest)} if digest else None,
        }
    }


def system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return platform.system()


def packages() -> Json:
    """What the system's package manager says is installed, by name; nothing where it is none of those we know."""
    found: dict[str, list[str]] = {}
    for argv in PACKAGES:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
            for line in done.stdout.decode(errors="replace").splitlines():
                name, _, version = line.partition(" ")
                found.setdefault(name, []).append(version)  # of a kernel there may be several
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def configurations(node: Node) -> list[Path]:
    """The files that the balancer is started with."""
    words = (node.facts.get("balancer") or {}).get("argv", [])
    return [Path(word) for before, word in pairwise(words) if before == "-f"]


def lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().splitlines()
    return []


def tree(node: Node, digest: str) -> tuple[Path, Path]:
    """A release's own files: their blob, and where they lie."""
    return node.store / "blobs" / blobs_of(node.manifest(digest))["tree"][0], node.release(digest) / "tree"


def on_disk(node: Node, digest: str) -> Json:
    """The versions of a release's libraries, and the files that are not as its blob, or their record, has them."""
    blobs = blobs_of(node.manifest(digest))
    changed = differing(*tree(node, digest))
    libraries = {}
    if "dependencies" in blobs:
        folder = node.store / "dependencies" / blobs["dependencies"][0]
        libraries = dict(versions(folder))
        changed += unrecorded(folder)
    return {"changed": changed[:MOST], "changed_in_all": len(changed), "libraries": libraries}


def versions(folder: Path) -> Iterator[tuple[str, str]]:
    for entry in folder.glob("*.dist-info"):
        if found := DIST.fullmatch(entry.name):
            yield found["name"].lower().replace("_", "-"), found["version"]


def unrecorded(folder: Path) -> list[str]:
    """The files of libraries that are not as what installed them wrote down; their blob is not kept."""
    found = set()
    for record in folder.glob("*.dist-info/RECORD"):
        for name, said, *_ in (row for row in csv.reader(lines(record)) if len(row) > 1):
            inside = not name.startswith(("..", "bin/", "/"))  # programs are left out of a release
            if inside and said.startswith("sha256=") and said != as_recorded(sha256(folder / name)):
                found.add(name)
    return sorted(found)


def as_recorded(hex_digest: str) -> str:
    """A digest as wheels write it: base64 of another alphabet, without its padding."""
    return "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(hex_digest)).decode().rstrip("=")
