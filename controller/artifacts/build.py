"""The two blobs of a release, as deterministic tars: the application's own files, and what it depends on.

The same files give the same bytes on any machine and day: members by the alphabet, no times, no owners, two modes. What
a release is called and where blobs are kept is not said here.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from controller.errors import Refused, Trouble, Unreachable
from controller.sources.trees import LINK, PROGRAM, SUBMODULE, File

LFS = b"version https://git-lfs.github.com/spec/"
INSTALL_SECONDS = 300.0

Member = tuple[str, bool, bytes]
"""Name, whether it is a program, content."""


def tar(members: Iterable[Member]) -> bytes:
    """An uncompressed tar of plain files, always the same for the same members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for name, runs, content in sorted(members, key=lambda member: member[0].encode("utf-8", "surrogateescape")):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if runs else 0o644
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tree(app: str, files: Sequence[File]) -> bytes:
    """The tar of ``apps/<app>`` as the files of a commit; its tests stay behind.

    ``apps/__init__.py`` is there, empty, so that ``python -m apps.<app>`` works in an unpacked release.
    """
    folder = f"apps/{app}/"
    members: list[Member] = [("apps/__init__.py", False, b"")]
    for file in files:
        if not file.path.startswith(f"{folder}tests/"):
            _refuse_what_is_no_file(file)
            members.append((file.path, file.mode == PROGRAM, file.content))
    if not any(name.startswith(folder) for name, _, _ in members):
        raise Refused(f"building {app}", f"the commit has no folder {folder.rstrip('/')}", "Add it, or drop its fleet.")
    return tar(members)


def _refuse_what_is_no_file(file: File) -> None:
    reason = {LINK: "a symbolic link", SUBMODULE: "a submodule"}.get(file.mode)
    if file.content.startswith(LFS):
        reason = "a pointer into Git LFS"
    if reason:
        remedy = "Commit the file itself: a release holds all that it needs."
        raise Refused(f"building {file.path.split('/')[1]}", f"{file.path} is {reason}", remedy)


def names_nothing(lock: bytes) -> bool:
    """Whether a requirements.lock asks for no package: it is missing, empty, or all comment."""
    return not any(line.strip() and not line.lstrip().startswith(b"#") for line in lock.splitlines())


def dependencies(lock: bytes, folder: Path, python: str, app: str) -> bytes:
    """The tar of what ``lock`` pins, installed by ``python``'s pip into the empty ``folder``, byte code included.

    The byte code is compiled once here, by content instead of time, so that no node spends its cores on it.

    Each package must have the hash that the lock states. Raises Unreachable when the index does not answer, Refused
    when the lock cannot be installed.
    """
    attempt = f"installing apps/{app}/requirements.lock"
    listed, place = folder / "requirements.lock", folder / "site-packages"
    listed.write_bytes(lock)
    command = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-compile", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--no-warn-script-location", "--target", str(place), "-r", str(listed)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=INSTALL_SECONDS, check=False, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unreachable(attempt, f"pip was not done after {INSTALL_SECONDS:g} s", "It is tried again.") from None
    except OSError as error:
        raise Refused(attempt, f"{python} does not start ({error.strerror})", "Name another Python.") from None
    if done.returncode:
        raise _pip_failed(attempt, done.stderr)
    compiled = [python, "-I", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(place)]
    compiled += [str(place)]
    subprocess.run(compiled, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_SECONDS, check=False)
    return tar(_installed(place))


def _installed(place: Path) -> Iterator[Member]:
    """What pip installed, but for what differs from one installation to the next: ``bin`` names its Python's path."""
    for path in place.rglob("*"):
        name = path.relative_to(place)
        if path.is_file() and name.parts[0] != "bin":
            yield name.as_posix(), path.stat().st_mode & 0o100 != 0, path.read_bytes()


def _pip_failed(attempt: str, said: str) -> Trouble:
    errors = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR: ")]
    short = "; ".join(errors)[:600] or said.strip()[-600:] or "it said nothing"
    if "Retrying (" in said or re.search(r"timed out|[Cc]onnection|Temporary failure", said):
        return Unreachable(attempt, f"the package index does not answer (pip: {short})", "It is tried again.")
    if "--require-hashes" in said or "DO NOT MATCH THE HASHES" in said:
        remedy = "Write the lock anew with pip-compile --generate-hashes, and review what changed."
        return Refused(attempt, f"a package is not pinned by its hash, or has another one (pip: {short})", remedy)
    return Refused(attempt, f"pip could not (pip: {short})", "Correct the lock.")
