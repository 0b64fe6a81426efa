"""The controller's keys: made once, kept private, and refused when they are not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from controller.errors import Refused
from controller.keys import BUILD, REVERT, build_key, revert_key, signed_by


def test_keys_are_made_when_they_are_missing_and_then_stay(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    build, revert = build_key(folder), revert_key(folder)
    assert build_key(folder).public == build.public
    assert revert_key(folder).public == revert.public
    assert [path.name for path in sorted(folder.iterdir()) if path.name.endswith(".key")] == [BUILD, REVERT]
    assert stat.S_IMODE((folder / BUILD).stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / REVERT).stat().st_mode) == 0o600


def test_the_build_key_signs_what_its_public_half_verifies(tmp_path: Path) -> None:
    key, other = build_key(tmp_path / "a"), build_key(tmp_path / "b")
    signature = key.sign(b"manifest")
    assert signed_by(key.public, b"manifest", signature)
    assert not signed_by(key.public, b"other", signature)
    assert not signed_by(other.public, b"manifest", signature)
    assert not signed_by("no hex", b"manifest", signature)


def test_the_revert_key_is_one_line_for_those_who_verify(tmp_path: Path) -> None:
    key = revert_key(tmp_path)
    assert key.allowed_signers() == f'turnabout namespaces="git" {key.public}\n'
    assert key.public.startswith("ssh-ed25519 AAAA")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    build_key(tmp_path)
    (tmp_path / BUILD).chmod(0o640)
    with pytest.raises(Refused, match=r"others may read it \(mode 640\). Run chmod 600"):
        build_key(tmp_path)


def test_what_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / BUILD
    path.write_bytes(b"no key")
    path.chmod(0o600)
    with pytest.raises(Refused, match="it is no OpenSSH key"):
        build_key(tmp_path)
    assert path.read_bytes() == b"no key"
    path.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )
    with pytest.raises(Refused, match="it is no Ed25519 key"):
        build_key(tmp_path)


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"reading the key .*: Not a directory. Let the controller read and write"):
        build_key(tmp_path / "file" / "keys")
