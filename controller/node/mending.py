"""What lies otherwise than its blob has it: which files those are, and putting them back from it.

The blob's digest vouches for every byte, so nobody is asked what is right. Which blob belongs to what, and how it came
here, is not said here.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from pathlib import Path

from .disk import write_whole
from .errors import Refused


def sha256(path: Path) -> str:
    """Empty where there is no such file."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def differing(blob: Path, folder: Path) -> list[str]:
    """Each file that its blob has not, or has otherwise. Byte code is made here and need be in no blob."""
    found, known = set(), set()
    with tarfile.open(blob, mode="r:") as tar:
        for member in tar:
            known.add(member.name)
            if member.isfile() and sha256(folder / member.name) != hashlib.sha256(content(tar, member)).hexdigest():
                found.add(member.name)
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in known and "__pycache__" not in path.parts:
            found.add(name)
    return sorted(found)


def put_back(blob: Path, folder: Path) -> list[str]:
    """Every changed file as its blob has it, and which those were; what the blob has not is removed."""
    if sha256(blob) != blob.name:
        raise Refused("wrong digest", f"The blob {blob.name[:12]} is damaged too: stage the release with --anew.")
    changed = differing(blob, folder)
    with tarfile.open(blob, mode="r:") as tar:
        known = {member.name: member for member in tar}
        for name in changed:
            if name in known:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole(folder / name, content(tar, known[name]), known[name].mode)
            else:
                (folder / name).unlink()
                without_empty(folder / name, folder)
    return changed


def without_empty(gone: Path, folder: Path) -> None:
    """The folders that nothing is in any more go as well: a package's version is the name of one."""
    for parent in gone.parents:
        if parent == folder or any(parent.iterdir()):
            return
        parent.rmdir()


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""
