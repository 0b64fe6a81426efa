"""Applications built from a real repository by a real pip, and what a node makes of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from controller.artifacts import build
from controller.artifacts import manifest as manifests
from controller.artifacts.spec import BadSpec
from controller.artifacts.store import ArtifactStore
from controller.errors import Refused, Unreachable
from controller.keys import BuildKey, build_key
from controller.model import AppRelease
from controller.node import manifest as node_manifest
from controller.node.pack import pack
from controller.node.unpack import unpack
from controller.sources.git import GitSource

RELEASE = """\
app = "small"
start = ["python", "-m", "apps.small", "--config", "{config}"]
stop_seconds = 2
data = "small"
ports = { http = "http" }
ready = "http://{bind}:{port.http}/ready"
probe = ["python", "-m", "apps.small", "--probe"]
on_deadline = "revert"

[data_versions]
reads = [1]
writes = 1

[[checks]]
name = "errors"
kind = "share"
bad = { status = "5xx", or = "reset" }
"""
SETTINGS = {"greeting": "hello", "retries": 3}


def git(folder: Path, *argv: str) -> str:
    identity = {f"GIT_{role}_{what}": "ann" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *argv], cwd=folder, env=env, check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()


def wheel(folder: Path) -> str:
    """Write a wheel of the package ``dependable``, which brings a program too; the lock that pins it."""
    info = "dependable-1.0.dist-info"
    files = {
        "dependable/__init__.py": b'def word() -> str:\n    return "depended on"\n',
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: dependable\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\ndependable = dependable:word\n",
    }
    hashes = {
        name: base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=") for name, body in files.items()
    }
    record = "".join(f"{name},sha256={hashes[name].decode()},{len(body)}\n" for name, body in files.items())
    place = folder / "dependable-1.0-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for name, body in (*files.items(), (f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode())):
            archive.writestr(name, body)
    return f"dependable==1.0 --hash=sha256:{hashlib.sha256(place.read_bytes()).hexdigest()}\n"


class Shop:
    """A repository with an application that has a dependency, and a store that builds it without any network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        (folder / "wheels").mkdir()
        self.lock = wheel(folder / "wheels")
        self.work.mkdir()
        git(self.work, "init", "-q", "-b", "prod")
        self.key = build_key(folder / "keys")
        self.source = GitSource(str(self.work), folder / "mirror.git")
        self.store = self.new_store()

    def new_store(self, folder: str = "store", key: BuildKey | None = None) -> ArtifactStore:
        return ArtifactStore(self.folder / folder, key or self.key)

    def commits(self, **more: str | None) -> str:
        """Commit the application with these files of its folder besides, or instead; the commit, fetched."""
        files = {
            "release_toml": RELEASE,
            "requirements_lock": self.lock,
            "__main__py": "import dependable\nprint(dependable.word())\n",
            "__init__py": "",
            "tests/test_small_py": "assert True\n",
        }
        for name, content in (files | more).items():
            stem, _, suffix = name.rpartition("_" if not name.startswith("__") else "py")
            path = self.work / "apps" / "small" / (f"{stem}.{suffix}" if suffix else f"{stem}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if content is None else path.write_text(content)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", "Say hello")
        return self.source.fetch("prod")

    def release(self, commit: str, store: ArtifactStore | None = None, **settings: Any) -> AppRelease:
        return (store or self.store).release("small", commit, self.source, settings or SETTINGS)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return made


def members(content: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            body = archive.extractfile(member)
            assert body is not None
            found[member.name] = body.read()
    return found


def blob(store: ArtifactStore, manifest: dict[str, Any], name: str) -> bytes:
    digits = manifest["blobs"][name]["sha256"]
    return members(store.bundle(manifest["release"], (digits,)))[f"blobs/{digits}"]


def test_what_a_commit_wants_is_known_without_building_it(shop: Shop) -> None:
    commit = shop.commits()
    release = shop.release(commit)
    assert (release.app, release.commit, release.subject, release.on_deadline) == (
        "small", commit, "Say hello", "revert",
    )  # fmt: skip
    assert release.config_digest == manifests.config_digest(SETTINGS)
    assert release.digest == manifests.release_digest(release.artifact_digest, release.config_digest)
    assert shop.release(commit) == release
    with pytest.raises(Refused, match=r"it is not built\. Build it first"):
        shop.store.manifest(release.digest)


def test_a_built_release_is_signed_and_its_blobs_are_what_it_says(shop: Shop) -> None:
    release = shop.release(shop.commits())
    manifest = shop.store.ensure(release)
    assert manifest == shop.store.manifest(release.digest)
    assert manifests.verify(manifest, shop.key.public)
    assert manifest["lock"] == f"sha256:{hashlib.sha256(shop.lock.encode()).hexdigest()}"
    for name, about in manifest["blobs"].items():
        content = blob(shop.store, manifest, name)
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (about["sha256"], about["bytes"])
    assert release.artifact_digest == manifests.artifact_digest(
        "small", manifest["blobs"]["tree"]["sha256"], manifest["lock"]
    )
    assert list(members(blob(shop.store, manifest, "tree"))) == [
        "apps/__init__.py",
        "apps/small/__init__.py",
        "apps/small/__main__.py",
        "apps/small/release.toml",
        "apps/small/requirements.lock",
    ]
    assert [check.name for check in shop.store.checks(release.digest)] == ["errors"]


def test_a_built_release_runs_from_its_blobs_alone(shop: Shop, tmp_path: Path) -> None:
    manifest = shop.store.ensure(shop.release(shop.commits()))
    for name in ("tree", "dependencies"):
        (tmp_path / f"{name}.tar").write_bytes(blob(shop.store, manifest, name))
        unpack(tmp_path / f"{name}.tar", tmp_path / name)
    env = {"PYTHONPATH": f"{tmp_path / 'tree'}:{tmp_path / 'dependencies'}", "PATH": os.environ["PATH"]}
    said = subprocess.run([sys.executable, "-m", "apps.small"], cwd=tmp_path, env=env, capture_output=True, check=True)
    assert said.stdout == b"depended on\n"


def test_two_machines_build_the_same_bits(shop: Shop) -> None:
    commit = shop.commits()
    one = shop.store.ensure(shop.release(commit))
    elsewhere = shop.new_store("elsewhere")
    other = elsewhere.ensure(shop.release(commit, elsewhere))
    assert (other["release"], other["blobs"]["tree"]) == (one["release"], one["blobs"]["tree"])
    sources = [
        {name: body for name, body in members(blob(store, made, "dependencies")).items() if not name.endswith(".pyc")}
        for store, made in ((shop.store, one), (elsewhere, other))
    ]
    assert sources[0] == sources[1]
    assert sorted(sources[0]) == [
        "dependable-1.0.dist-info/INSTALLER",
        "dependable-1.0.dist-info/METADATA",
        "dependable-1.0.dist-info/RECORD",
        "dependable-1.0.dist-info/REQUESTED",
        "dependable-1.0.dist-info/WHEEL",
        "dependable-1.0.dist-info/entry_points.txt",
        "dependable/__init__.py",
    ]


def test_a_release_is_built_once_and_its_dependencies_once_for_each_lock(shop: Shop) -> None:
    commit = shop.commits()
    first = shop.store.ensure(shop.release(commit))
    for wheel in (shop.folder / "wheels").iterdir():
        wheel.unlink()  # pip could not do it again
    assert shop.store.ensure(shop.release(commit)) == first
    other = shop.store.ensure(shop.release(shop.commits(more_py="x = 1\n"), greeting="hi"))
    assert other["blobs"]["dependencies"] == first["blobs"]["dependencies"]
    assert other["blobs"]["tree"] != first["blobs"]["tree"]


def test_many_who_want_it_at_once_get_the_same(shop: Shop) -> None:
    release = shop.release(shop.commits())
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: shop.store.ensure(release), range(4)))
    assert built == [shop.store.manifest(release.digest)] * 4


def test_only_what_is_in_a_release_changes_its_name(shop: Shop) -> None:
    release = shop.release(shop.commits())
    same = shop.release(shop.commits(**{"tests/test_small_py": "assert 1\n"}))
    assert same.digest == release.digest
    assert shop.release(same.commit, retries=3, greeting="hello").digest == release.digest
    settings = shop.release(same.commit, greeting="hi")
    assert (settings.artifact_digest, settings.digest == release.digest) == (release.artifact_digest, False)
    code = shop.release(shop.commits(__main__py="print()\n"))
    assert (code.config_digest, code.digest == release.digest) == (release.config_digest, False)


def test_what_was_asked_about_can_be_built_after_a_restart(shop: Shop) -> None:
    release = shop.release(shop.commits())
    again = shop.new_store()
    assert again.ensure(release)["release"] == release.digest


def test_what_was_never_asked_about_gets_a_sentence(shop: Shop) -> None:
    release = shop.release(shop.commits())
    with pytest.raises(Refused, match=r"building small sha256:.*: its files are not in the store\. Read commit"):
        shop.new_store("empty").ensure(release)


def test_a_store_that_lost_bits_builds_them_again(shop: Shop) -> None:
    commit = shop.commits()
    release = shop.release(commit)
    manifest = shop.store.ensure(release)
    for about in manifest["blobs"].values():
        (shop.folder / "store" / "blobs" / about["sha256"]).write_bytes(b"half of i")
    with pytest.raises(Refused, match="its files are not in the store"):
        shop.new_store().ensure(release)
    assert shop.release(commit) == release
    again = shop.store.ensure(release)
    assert again["release"] == manifest["release"]
    for name, about in again["blobs"].items():
        assert hashlib.sha256(blob(shop.store, again, name)).hexdigest() == about["sha256"]


def test_a_new_build_key_signs_what_the_old_one_had_signed(shop: Shop) -> None:
    release = shop.release(shop.commits())
    old = shop.store.ensure(release)
    key = build_key(shop.folder / "new keys")
    new = shop.new_store(key=key).ensure(release)
    assert manifests.verify(new, key.public)
    assert not manifests.verify(new, shop.key.public)
    assert new["release"] == old["release"]


def test_a_controller_killed_while_installing_leaves_nothing_for_long(shop: Shop) -> None:
    old, young = (shop.folder / "store" / f".install-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    long_ago = time.time() - 3 * build.INSTALL_SECONDS
    os.utime(old, (long_ago, long_ago))
    shop.new_store()
    assert (old.exists(), young.exists()) == (False, True)


def test_an_application_that_depends_on_nothing_has_no_second_blob(shop: Shop) -> None:
    release = shop.release(shop.commits(requirements_lock=None))
    manifest = shop.store.ensure(release)
    assert manifest["blobs"]["dependencies"] is None
    assert manifest["lock"] == f"sha256:{hashlib.sha256(b'').hexdigest()}"


# ---- what cannot be built -----------------------------------------------------------------------------------------


def nothing_is_left(shop: Shop) -> bool:
    store = shop.folder / "store"
    return not any((store / "manifests").iterdir()) and not list(store.glob(".install-*"))


def test_a_package_with_another_hash_is_refused(shop: Shop) -> None:
    release = shop.release(shop.commits(requirements_lock="dependable==1.0 --hash=sha256:" + "0" * 64 + "\n"))
    with pytest.raises(Refused, match=r"installing apps/small/requirements.lock: .* has another one \(pip: .*MATCH"):
        shop.store.ensure(release)
    assert nothing_is_left(shop)


def test_a_package_without_a_hash_is_refused(shop: Shop) -> None:
    release = shop.release(shop.commits(requirements_lock="dependable==1.0\n"))
    with pytest.raises(Refused, match="a package is not pinned by its hash") as caught:
        shop.store.ensure(release)
    assert "pip-compile --generate-hashes" in str(caught.value)


def test_a_package_that_is_nowhere_is_refused(shop: Shop) -> None:
    release = shop.release(shop.commits(requirements_lock="nowhere==1.0 --hash=sha256:" + "0" * 64 + "\n"))
    with pytest.raises(Refused, match=r"pip could not \(pip: .*nowhere==1.0"):
        shop.store.ensure(release)


def test_an_index_that_does_not_answer_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    release = shop.release(shop.commits())
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(Unreachable, match="the package index does not answer"):
        shop.store.ensure(release)
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop.folder / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert shop.store.ensure(release)["release"] == release.digest


def test_an_application_without_a_release_toml_gets_one_sentence(shop: Shop) -> None:
    with pytest.raises(BadSpec, match=r"apps/small/release.toml: 1 problem\n  - there is no such file"):
        shop.release(shop.commits(release_toml=None))


def test_an_application_without_a_folder_gets_one_sentence(shop: Shop) -> None:
    commit = shop.commits()
    with pytest.raises(Refused, match="building other: the commit has no folder apps/other"):
        shop.store.release("other", commit, shop.source, {})


# ---- the other side of the contract -------------------------------------------------------------------------------


def test_a_node_stages_what_was_built(shop: Shop, tmp_path: Path) -> None:
    program = pack(tmp_path / "node.pyz")
    release = shop.release(shop.commits())
    manifest = shop.store.ensure(release)
    assert node_manifest.canonical(manifest) == manifests.canonical(manifest)
    assert node_manifest.config_digest(SETTINGS) == release.config_digest
    root = tmp_path / "node"
    root.mkdir()
    facts = {
        "node": "bos-a", "zone": "BOS", "environment": "prod", "bind": "127.0.0.1", "run": str(tmp_path),
        "app": "small",
        "ports": {"http": 1}, "trusted": [shop.key.public], "secrets": {}, "python": sys.executable, "reserve_bytes": 0,
    }  # fmt: skip
    (root / "node.json").write_text(json.dumps(facts))

    def stage(*blobs: str) -> dict[str, Any]:
        command = [sys.executable, "-I", "-S", str(program), str(root), "stage", release.digest]
        done = subprocess.run(command, input=shop.store.bundle(release.digest, blobs), capture_output=True, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == 0, answer
        return answer

    wanted = [about["sha256"] for about in manifest["blobs"].values()]
    first = stage()
    assert (first["staged"], sorted(first["missing"])) == (False, sorted(wanted))
    assert stage(*wanted)["staged"] is True
    assert (root / "store" / "releases" / release.digest.removeprefix("sha256:") / "tree" / "apps" / "small").is_dir()
