"""The digests that name a release are the same on every machine and for ever: these values may never change."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.artifacts import build
from controller.artifacts import manifest as manifests
from controller.artifacts.manifest import Blob
from controller.artifacts.spec import AppSpec
from controller.errors import Refused
from controller.keys import BuildKey
from controller.sources.trees import LINK, SUBMODULE, File

KEY = BuildKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SPEC = AppSpec(
    app="mqtt",
    start=("python", "-m", "apps.mqtt", "--config", "{config}"),
    stop_seconds=5,
    data="mqtt",
    ports={"mqtt": "tcp", "http": "http"},
    ready="http://{bind}:{port.http}/ready",
    probe=("python", "-m", "apps.mqtt.probe"),
    on_deadline="revert",
    reads=(1,),
    writes=1,
    checks_as_written=({"name": "errors", "kind": "share", "bad": {"status": "5xx", "or": "reset"}},),
)
LOCK = manifests.sha256(b"")


def a_manifest(**config: Any) -> dict[str, Any]:
    return manifests.sign(manifests.unsigned(SPEC, "0" * 40, Blob("ab" * 32, 10), None, LOCK, config), KEY)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ({"b": 1, "a": [True, None]}, b'{"a":[true,null],"b":1}'),
        ({"ü": "é ☂"}, '{"ü":"é ☂"}'.encode()),
        ({"n": 1.5, "m": 10}, b'{"m":10,"n":1.5}'),
    ],
)
def test_a_value_has_one_spelling(value: object, spelling: bytes) -> None:
    assert manifests.canonical(value) == spelling


def test_what_is_no_number_has_no_spelling() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        manifests.canonical({"n": float("nan")})


def test_digests_are_what_they_always_were() -> None:
    config = manifests.config_digest({"retention_days": 30, "max_packet_bytes": 16384})
    artifact = manifests.artifact_digest("mqtt", "ab" * 32, LOCK)
    assert config == "sha256:71076c8e5ac414cdff834e04ac1cc6fd508b6532a02bc40a385e69c138f1afa5"
    assert artifact == "sha256:ab6c950bcdf1fb90489c5e36aa56d5f4d934c1e021558b6edc735878e3f60859"
    assert (
        manifests.release_digest(artifact, config)
        == "sha256:6a05de3675a022181aee2064b1afac2ba55f2822c35180de382f0a9fa6638daf"
    )


def test_a_tree_is_the_same_bytes_whatever_the_order_of_its_files() -> None:
    files = [
        File("apps/mqtt/run", "100755", b"#!/bin/sh\n"),
        File("apps/mqtt/ä.py", "100644", b"x = 1\n"),
        File("apps/mqtt/__init__.py", "100644", b""),
    ]
    content = build.tree("mqtt", files)
    assert content == build.tree("mqtt", files[::-1])
    assert hashlib.sha256(content).hexdigest() == "6c087d3835171f48257b8962c5a2ddad768ab900386618267abd098ff31a9dda"
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {member.name: member for member in archive}
    assert list(members) == ["apps/__init__.py", "apps/mqtt/__init__.py", "apps/mqtt/run", "apps/mqtt/ä.py"]
    assert members["apps/mqtt/run"].mode == 0o755
    assert members["apps/mqtt/ä.py"].mode == 0o644
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members.values()} == {(0, 0, 0, "")}


def test_the_tests_of_an_application_stay_behind() -> None:
    files = [File("apps/mqtt/a.py", "100644", b"1")]
    tests = [File("apps/mqtt/tests/test_a.py", "100644", b"2"), File("apps/mqtt/tests/link", LINK, b"../a.py")]
    assert build.tree("mqtt", [*files, *tests]) == build.tree("mqtt", files)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (File("apps/mqtt/link", LINK, b"/etc/passwd"), "apps/mqtt/link is a symbolic link"),
        (File("apps/mqtt/other", SUBMODULE, b""), "apps/mqtt/other is a submodule"),
        (File("apps/mqtt/model.bin", "100644", build.LFS + b"v1\noid sha256:00\n"), "is a pointer into Git LFS"),
    ],
)
def test_what_is_no_file_is_refused_with_a_sentence(file: File, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        build.tree("mqtt", [File("apps/mqtt/a.py", "100644", b""), file])


def test_an_application_without_a_folder_is_refused_with_a_sentence() -> None:
    with pytest.raises(Refused, match="building mqtt: the commit has no folder apps/mqtt"):
        build.tree("mqtt", [])


@pytest.mark.parametrize(
    ("lock", "nothing"), [(b"", True), (b"# only words\n\n", True), (b"# a\nh11==0.16.0 --hash=sha256:00\n", False)]
)
def test_a_lock_without_packages_is_known(lock: bytes, nothing: bool) -> None:
    assert build.names_nothing(lock) is nothing


def test_a_manifest_says_what_names_it() -> None:
    manifest = a_manifest(retention_days=30)
    assert manifest["config_digest"] == manifests.config_digest({"retention_days": 30})
    assert manifest["artifact_digest"] == manifests.artifact_digest("mqtt", "ab" * 32, LOCK)
    assert manifest["release"] == manifests.release_digest(manifest["artifact_digest"], manifest["config_digest"])
    assert manifest["checks"] == [{"name": "errors", "kind": "share", "bad": {"status": "5xx", "or": "reset"}}]
    assert manifest["built_by"] == f"builder-{KEY.public[:8]}"


def test_settings_change_the_release_and_not_the_artifact() -> None:
    one, other = a_manifest(retention_days=30), a_manifest(retention_days=31)
    assert one["artifact_digest"] == other["artifact_digest"]
    assert one["release"] != other["release"]


def test_a_signature_holds_for_exactly_what_was_signed() -> None:
    manifest = a_manifest()
    assert manifests.verify(manifest, KEY.public)
    assert not manifests.verify(manifest | {"stop_seconds": 6}, KEY.public)
    assert not manifests.verify(manifest | {"more": None}, KEY.public)
    assert not manifests.verify(manifest | {"signature": "ed25519:" + "00" * 64}, KEY.public)
    assert not manifests.verify(manifest | {"signature": "rsa:" + manifest["signature"].partition(":")[2]}, KEY.public)
    assert not manifests.verify({key: value for key, value in manifest.items() if key != "signature"}, KEY.public)
    assert not manifests.verify(manifest, "ff" * 32)


def test_dependencies_do_not_change_what_a_release_is_called() -> None:
    spec = dataclasses.replace(SPEC, app="c360")
    without = manifests.unsigned(spec, "0" * 40, Blob("ab" * 32, 1), None, LOCK, {})
    built = manifests.unsigned(spec, "0" * 40, Blob("ab" * 32, 1), Blob("cd" * 32, 2), LOCK, {})
    assert without["release"] == built["release"]
    assert set(manifests.blobs(built)) == {"tree", "dependencies"}
