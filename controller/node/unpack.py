"""From a blob to files: only plain members that stay inside, compiled, and on disk before they get their name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from .disk import remove, sync_directory, write_whole
from .errors import Json, Refused
from .manifest import canonical
from .node import Node
from .processes import libc


def unpack_dependencies(node: Node, hex_digest: str, brought: list[Path]) -> None:
    place, blob = node.store / "dependencies" / hex_digest, node.store / "blobs" / hex_digest
    if not place.exists():
        partial = place.with_name(f".{hex_digest}.tmp")
        try:
            unpack(blob, partial)
            compile_to_bytes(node, partial)
            brought.append(place)
            _settle(partial, place)
        finally:
            remove(partial)
    blob.unlink(
        missing_ok=True
    )  # its directory is what is kept; a tree's blob stays, for releases that differ in config


def unpack_release(node: Node, manifest: Json, tree: str) -> None:
    place = node.release(manifest["release"])
    partial = place.with_name(f".{place.name}.tmp")
    try:
        partial.mkdir()
        unpack(node.store / "blobs" / tree, partial / "tree")
        if not (partial / "tree" / "apps" / node.app).is_dir():
            raise Refused("bad tree", f"The tree holds no apps/{node.app}.")
        compile_to_bytes(node, partial / "tree")
        write_whole(partial / "manifest.json", canonical(manifest))
        write_whole(partial / "config.json", node.app_config(manifest), 0o600)
        _settle(partial, place)
    finally:
        remove(partial)


def unpack(blob: Path, place: Path) -> None:
    """Unpack a tar of plain files, directories and inner links; anything that could reach outside is refused.

    All rules are here. Python's own filter sees the members as well where there is one (from 3.11.4 on).
    """
    place.mkdir()
    with tarfile.open(blob, mode="r:") as tar:
        members = tar.getmembers()
        links = {member.name.rstrip("/") for member in members if member.issym()}
        for member in members:
            if not (is_plain(member) and stays_inside(member, links)):
                raise Refused(
                    "unsafe tar", f"The blob's member {member.name} is no plain file, or leads out of its release."
                )
            member.mode = (member.mode | (0o700 if member.isdir() else 0o600)) & 0o755
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        if hasattr(tarfile, "data_filter"):
            try:
                tar.extractall(place, filter="data")
            except tarfile.FilterError as problem:
                raise Refused("unsafe tar", f"The blob would write outside of its release: {problem}.") from None
        else:
            tar.extractall(place)  # every member was looked at above


def is_plain(member: tarfile.TarInfo) -> bool:
    kind = member.isreg() or member.isdir() or member.issym() or member.islnk()
    return kind and not member.issparse()


def stays_inside(member: tarfile.TarInfo, links: set[str]) -> bool:
    """Neither its name nor where it leads goes upward, begins at the root, or passes through a link."""
    parts = Path(member.name).parts
    named = [Path(member.name), *([Path(member.linkname)] if member.issym() or member.islnk() else [])]
    outward = any(path.is_absolute() or ".." in path.parts for path in named)
    return not outward and not any("/".join(parts[:depth]) in links for depth in range(1, len(parts)))


def compile_to_bytes(node: Node, place: Path) -> None:
    """Byte-compile at stage time, so that no start pays for it; what does not compile is the application's matter.

    A blob that was built with this Python's byte code in it is left as it is.
    """
    if any(place.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")):
        return
    argv = [node.facts["python"], "-I", "-S", "-m", "compileall", "-q", "-q", str(place)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        subprocess.run(argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=300, check=False)


def _settle(partial: Path, place: Path) -> None:
    """Everything under ``partial`` is on disk before it gets its name."""
    handle = os.open(partial, os.O_RDONLY)
    try:
        if libc().syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(handle)
    partial.rename(place)
    sync_directory(place.parent)
