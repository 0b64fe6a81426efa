"""SSH signatures: the very bytes that OpenSSH makes, and everything it would not believe is not believed here."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from controller.sources import sshsig
from controller.sources.sshsig import BadSignature, allowed_signers, fingerprint, key_of, sign, signer_of

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
MESSAGE = b"tree 0\n"
# Made by ssh-keygen -Y sign of OpenSSH 9.2 with the key above.
SIGNATURE = """\
-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgA6EHv/POEL4dcN0Y50vAmWfk1j
CbpQ1fHdyGZBJVMbgAAAADZ2l0AAAAAAAAAAZzaGE1MTIAAABTAAAAC3NzaC1lZDI1NTE5
AAAAQPE0eS0lDUAK1U/q2qUfqsCTnqDtjg0WWP7JFxj/If6Iyo7SfgMJyWk36J+VYWmIvT
HnLLMKXyxz2/CAma3B8gY=
-----END SSH SIGNATURE-----
"""
KEYGEN = shutil.which("ssh-keygen")
needs_keygen = pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not on this machine")


def test_a_signature_is_the_bytes_that_openssh_makes() -> None:
    assert sign(PRIVATE, "git", MESSAGE) == SIGNATURE


def test_the_signer_of_what_openssh_made_is_known() -> None:
    key = signer_of(SIGNATURE, "git", MESSAGE)
    assert base64.b64encode(key).decode() == PUBLIC
    assert key == key_of(SIGNATURE)
    assert fingerprint(key) == "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"


def altered(at: int) -> str:
    """The signature with one byte of its encoding changed."""
    lines = SIGNATURE.splitlines()
    blob = bytearray(base64.b64decode("".join(lines[1:-1])))
    blob[at] ^= 1
    return "\n".join([lines[0], base64.b64encode(bytes(blob)).decode(), lines[-1], ""])


@pytest.mark.parametrize(
    ("armoured", "namespace", "message", "why"),
    [
        (SIGNATURE, "git", b"tree 1\n", "not the signature of this content"),
        (SIGNATURE, "file", MESSAGE, "It was made for 'git', not for 'file'"),
        (altered(-1), "git", MESSAGE, "not the signature of this content"),
        (altered(40), "git", MESSAGE, "not the signature of this content"),
        (altered(0), "git", MESSAGE, "not an SSH signature of version 1"),
        (altered(9), "git", MESSAGE, "not an SSH signature of version 1"),
        (altered(18), "git", MESSAGE, "Only ssh-ed25519 keys are known here"),
        (altered(13), "git", MESSAGE, "cut short|Only ssh-ed25519"),
        (SIGNATURE.replace("BEGIN SSH", "BEGIN PGP"), "git", MESSAGE, "not an SSH signature"),
        (SIGNATURE.replace("AAAAQPE0", "****QPE0"), "git", MESSAGE, "not an SSH signature"),
        ("", "git", MESSAGE, "not an SSH signature"),
    ],
)
def test_what_is_not_right_is_not_believed(armoured: str, namespace: str, message: bytes, why: str) -> None:
    with pytest.raises(BadSignature, match=why):
        signer_of(armoured, namespace, message)


@pytest.mark.parametrize(
    ("line", "principals"),
    [
        (f"ann@example.org ssh-ed25519 {PUBLIC}", ["ann@example.org"]),
        (f'ann,bob namespaces="git,file" ssh-ed25519 {PUBLIC} a comment', ["ann,bob"]),
        (f'"ann,bob" valid-after="20200101",NAMESPACES="git" ssh-ed25519 {PUBLIC}', ["ann,bob"]),
        (f"ann cert-authority ssh-ed25519 {PUBLIC}", []),
        (f"# ann ssh-ed25519 {PUBLIC}", []),
        ("ann ssh-rsa AAAA", []),
        ("", []),
    ],
)
def test_allowed_signers_are_read_as_openssh_reads_them(line: str, principals: list[str]) -> None:
    assert [signer.principals for signer in allowed_signers(line)] == principals


@pytest.mark.parametrize(
    ("principals", "asked", "is_named"),
    [
        ("ann", "ann", True),
        ("ann", "bob", False),
        ("ann,bob", "bob", True),
        ("*@example.org", "ann@example.org", True),
        ("*,!bob", "bob", False),
        ("!bob", "ann", False),
        ("a?n", "ann", True),
        ("[a]nn", "ann", False),
    ],
)
def test_principals_match_as_openssh_matches_them(principals: str, asked: str, is_named: bool) -> None:
    (signer,) = allowed_signers(f"{principals} ssh-ed25519 {PUBLIC}")
    assert signer.names(asked) is is_named


@pytest.mark.parametrize(
    ("time", "may"), [("", True), ("20191231235959", False), ("20200101000000", True), ("20210101000000", False)]
)
def test_a_signer_is_good_for_a_time(time: str, may: bool) -> None:
    (signer,) = allowed_signers(f'ann valid-after="20200101",valid-before="20210101Z" ssh-ed25519 {PUBLIC}')
    assert signer.may(time) is may


def test_a_signer_is_good_for_its_namespaces() -> None:
    limited, open_ = allowed_signers(f'a namespaces="git,x*" ssh-ed25519 {PUBLIC}\nb ssh-ed25519 {PUBLIC}')
    assert [limited.covers(name) for name in ("git", "xy", "file")] == [True, True, False]
    assert open_.covers("file")


# ---- the calls that git makes -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = tmp_path / "key"
    key.write_bytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "allowed").write_text(f'ann namespaces="git" ssh-ed25519 {PUBLIC}\n')
    (tmp_path / "signature").write_text(SIGNATURE)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *argv: str, stdin: bytes = MESSAGE) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return sshsig.main(list(argv))


def test_sign_writes_the_signature_beside_the_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = folder / "message"
    assert call(monkeypatch, "-Y", "sign", "-n", "git", "-f", str(folder / "key"), str(message)) == 0
    assert (folder / "message.sig").read_text() == SIGNATURE


def test_git_can_find_and_verify_a_principal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time = "-Overify-time=20260101000000"
    about = ["-f", str(folder / "allowed"), "-s", str(folder / "signature"), time]
    assert call(monkeypatch, "-Y", "find-principals", *about) == 0
    assert capsys.readouterr().out == "ann\n"
    assert call(monkeypatch, "-Y", "verify", "-n", "git", "-I", "ann", *about) == 0
    assert capsys.readouterr().out.startswith('Good "git" signature for ann with ED25519 key SHA256:lbms')
    assert call(monkeypatch, "-Y", "check-novalidate", "-n", "git", "-s", str(folder / "signature")) == 0
    assert capsys.readouterr().out.startswith('Good "git" signature with ED25519 key SHA256:lbms')


def test_what_is_not_allowed_is_not_verified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def verifies(*more: str, principal: str = "ann", stdin: bytes = MESSAGE) -> bool:
        about = ["-f", str(folder / "allowed"), "-s", str(folder / "signature"), "-I", principal]
        return call(monkeypatch, "-Y", "verify", "-n", "git", *about, *more, stdin=stdin) == 0

    assert verifies()
    assert not verifies(principal="bob")
    assert not verifies(stdin=b"tree 1\n")
    revoked, binary, other = folder / "revoked", folder / "krl", folder / "other"
    revoked.write_text(f"ssh-ed25519 {PUBLIC} ann\n")
    binary.write_bytes(b"SSHKRL\n\0")
    other.write_text("ssh-ed25519 AAAA bob\n")
    assert verifies("-r", str(other))
    assert not verifies("-r", str(revoked))
    assert not verifies("-r", str(binary))
    (folder / "allowed").write_text(f'ann namespaces="file" ssh-ed25519 {PUBLIC}\n')
    assert not verifies()


@pytest.mark.parametrize("argv", [[], ["-Y", "keygen"], ["-Y", "sign"], ["--wrong"], ["-Y", "verify", "-n", "git"]])
def test_a_call_that_is_not_understood_fails(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, *argv) == 255


@needs_keygen
def test_openssh_believes_a_signature_made_here(folder: Path) -> None:
    (folder / "signature").write_text(sign(Ed25519PrivateKey.generate(), "git", MESSAGE))
    about = ["-n", "git", "-s", str(folder / "signature")]
    good = subprocess.run([str(KEYGEN), "-Y", "check-novalidate", *about], input=MESSAGE, check=False)
    bad = subprocess.run([str(KEYGEN), "-Y", "check-novalidate", *about], input=b"other", check=False)
    assert (good.returncode, bad.returncode == 0) == (0, False)


@needs_keygen
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_a_signature_made_by_openssh_is_believed_here(folder: Path, digest: str) -> None:
    command = [str(KEYGEN), "-q", "-Y", "sign", "-n", "git", "-O", f"hashalg={digest}", "-f", str(folder / "key")]
    subprocess.run([*command, str(folder / "message")], check=True, capture_output=True)
    assert signer_of((folder / "message.sig").read_text(), "git", MESSAGE) == base64.b64decode(PUBLIC)
