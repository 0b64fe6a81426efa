"""Built releases by digest, in one folder of the controller: built once, kept whole, handed out as the same bits.

    blobs/<hex>              a tree or a dependencies tar
    recipes/<hex>.json       a release that was asked about: its manifest before dependencies and signature
    dependencies/<key>.json  the blob that a requirements.lock became, for one Python
    manifests/<hex>.json     a release that is built and signed

Every file comes to its name whole (written beside, fsynced, renamed). How the bits are made is in ``build``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from controller.artifacts import build
from controller.artifacts import manifest as manifests
from controller.artifacts.manifest import Blob
from controller.artifacts.spec import AppSpec, check_of, parse
from controller.errors import Refused, Unreachable
from controller.keys import BuildKey
from controller.model import AppRelease, Check, Synthetic
from controller.sources.commits import Description
from controller.sources.trees import File


class Commits(Protocol):
    """Where an application's files come from."""

    def object_id(self, commit: str, path: str) -> str | None: ...

    def files(self, commit: str, prefix: str) -> tuple[File, ...]: ...

    def describe(self, commit: str) -> Description: ...


class ArtifactStore:
    """Releases of any application. Every method may be called from any thread."""

    def __init__(self, folder: Path, key: BuildKey, python: str = sys.executable) -> None:
        self._folder, self._key, self._python = folder, key, python
        self._known: dict[str, tuple[AppSpec, Blob, str]] = {}
        """git's name for an application's folder, to what it becomes."""
        self._building = threading.Lock()
        for part in ("blobs", "recipes", "dependencies", "manifests"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".install-*"):  # of a controller that was killed
            if time.time() - leftover.stat().st_mtime > 2 * build.INSTALL_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)

    # ---- asking ---------------------------------------------------------------------------------------------------

    def release(self, app: str, commit: str, source: Commits, settings: Mapping[str, Any]) -> AppRelease:
        """What ``app`` is at a fetched commit with these settings: digests only, nothing is installed.

        Raises BadSpec, or Refused when the folder holds what a release cannot.
        """
        spec, tree, lock = self._application(app, commit, source)
        recipe = manifests.unsigned(spec, commit, tree, None, lock, settings)
        place = self._place("recipes", recipe["release"])
        if not place.exists():
            self._write(place, manifests.canonical(recipe))
        return AppRelease(
            app, recipe["release"], recipe["artifact_digest"], recipe["config_digest"], commit,
            source.describe(commit).subject, spec.on_deadline,
        )  # fmt: skip

    def _application(self, app: str, commit: str, source: Commits) -> tuple[AppSpec, Blob, str]:
        folder = source.object_id(commit, f"apps/{app}")
        known = self._known.get(f"{app} {folder}")
        if known is None or not self._here(known[1]):
            files = source.files(commit, f"apps/{app}") if folder else ()
            content = build.tree(app, files)
            by_path = {file.path: file.content for file in files}
            spec = parse(by_path.get(f"apps/{app}/release.toml"), app)
            lock = by_path.get(f"apps/{app}/requirements.lock", b"")
            self._keep(lock)
            known = self._known[f"{app} {folder}"] = spec, self._keep(content), manifests.sha256(lock)
        return known

    def manifest(self, digest: str) -> dict[str, Any]:
        """The signed manifest of a built release. Raises Refused when it is not built."""
        content = _content(self._place("manifests", digest))
        if content is None:
            raise Refused(f"reading the manifest of {digest[:19]}", "it is not built", "Build it first.")
        found: dict[str, Any] = json.loads(content)
        return found

    def checks(self, digest: str) -> tuple[Check, ...]:
        """The checks that a built release states."""
        return tuple(check_of(written) for written in self.manifest(digest)["checks"])

    def synthetic(self, digest: str) -> Synthetic:
        """Where a built release may be asked by the controller itself."""
        manifest = self.manifest(digest)
        port = next((name for name, kind in manifest["ports"].items() if kind == "http"), "")
        return Synthetic(port, tuple(manifest.get("synthetic", ())))

    def bundle(self, digest: str, blobs: Collection[str]) -> bytes:
        """The tar that ``stage`` takes: the manifest, then those of its blobs that are named by their hex digits."""
        manifest, out = self.manifest(digest), io.BytesIO()
        members = [("manifest.json", manifests.canonical(manifest))]
        for blob in manifests.blobs(manifest).values():
            if blob.sha256 in blobs:
                members.append((f"blobs/{blob.sha256}", self._blob(blob.sha256)))
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    # ---- building -------------------------------------------------------------------------------------------------

    def ensure(self, release: AppRelease) -> dict[str, Any]:
        """The signed manifest of ``release``; what is missing of it is built.

        Raises Refused when it cannot be built, Unreachable when the package index or the disk fails.
        """
        with self._building:
            built = _content(self._place("manifests", release.digest))
            if built is not None and self._whole(manifest := json.loads(built)):
                return dict(manifest)
            recipe = _content(self._place("recipes", release.digest))
            if recipe is None:
                raise _unknown(release)
            manifest = json.loads(recipe)
            if not self._here(manifests.blobs(manifest)["tree"]):
                raise _unknown(release)
            lock = self._blob(manifest["lock"].removeprefix("sha256:"))
            if not build.names_nothing(lock):
                manifest["blobs"]["dependencies"] = asdict(self._dependencies(lock, release.app))
            signed = manifests.sign(manifest, self._key)
            self._write(self._place("manifests", release.digest), manifests.canonical(signed))
            return signed

    def _whole(self, manifest: Mapping[str, Any]) -> bool:
        """Signed by today's build key, with every blob here."""
        here = all(map(self._here, manifests.blobs(manifest).values()))
        return here and manifests.verify(manifest, self._key.public)

    def _dependencies(self, lock: bytes, app: str) -> Blob:
        """The blob of an installed lock; one installation serves every release that has the same lock."""
        key = hashlib.sha256(lock + self._python.encode()).hexdigest()
        record = self._folder / "dependencies" / f"{key}.json"
        known = _content(record)
        if known is not None:
            blob = Blob(**json.loads(known))
            if self._here(blob):
                return blob
        with tempfile.TemporaryDirectory(prefix=".install-", dir=self._folder) as folder:
            blob = self._keep(build.dependencies(lock, Path(folder), self._python, app))
        self._write(record, manifests.canonical(asdict(blob)))
        return blob

    # ---- files ----------------------------------------------------------------------------------------------------

    def _place(self, part: str, digest: str) -> Path:
        return self._folder / part / f"{digest.removeprefix('sha256:')}.json"

    def _keep(self, content: bytes) -> Blob:
        blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
        if not self._here(blob):
            self._write(self._folder / "blobs" / blob.sha256, content)
        return blob

    def _here(self, blob: Blob) -> bool:
        """Whether the blob is here, and still what its name says: what a disk has damaged is made again."""
        content = _content(self._folder / "blobs" / blob.sha256)
        return content is not None and hashlib.sha256(content).hexdigest() == blob.sha256

    def _blob(self, name: str) -> bytes:
        content = _content(self._folder / "blobs" / name)
        if content is None:
            raise Refused(f"reading blob {name[:12]}", "it is not in the store", "Read the commit and build it again.")
        return content

    def _write(self, place: Path, content: bytes) -> None:
        """The file is there whole, on disk, or not at all."""
        try:
            with tempfile.NamedTemporaryFile(prefix=f".{place.name[:12]}.", dir=place.parent, delete=False) as file:
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(place)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            _sync(place.parent)
        except OSError as error:
            said = f"{error.strerror or error}: nothing was kept"
            raise Unreachable(f"writing {place}", said, "Make room on the disk of the controller.") from error


def _unknown(release: AppRelease) -> Refused:
    attempt = f"building {release.app} {release.digest[:19]}"
    return Refused(attempt, "its files are not in the store", f"Read commit {release.commit[:12]} again.")


def _content(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
