"""The controller's own keys, as files in one folder: the build key signs manifests, the revert key signs commits.

With the SSH key the controller comes to nodes that are reached by SSH. All are Ed25519 and are made when they are
missing. A node trusts the build key's public half and lets in the SSH key's, a forge trusts the revert key's.
Who else may sign a commit is not said here.
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from controller.errors import Refused
from controller.sources.sshsig import signing_program

BUILD = "build.key"
REVERT = "revert.key"
SSH = "ssh.key"


@dataclass(frozen=True, slots=True)
class BuildKey:
    """Signs manifests. ``name`` is what a manifest's ``built_by`` says."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """64 hex digits, as a node's ``trusted`` lists them."""
        return self.private.public_key().public_bytes_raw().hex()

    @property
    def name(self) -> str:
        return f"builder-{self.public[:8]}"

    def sign(self, message: bytes) -> str:
        return f"ed25519:{self.private.sign(message).hex()}"


def signed_by(public: str, message: bytes, signature: str) -> bool:
    """Whether ``signature``, written ``ed25519:<hex>``, is that of the key ``public`` for ``message``."""
    name, _, digits = signature.partition(":")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(digits), message)
    except (InvalidSignature, ValueError):
        return False
    return name == "ed25519"


@dataclass(frozen=True, slots=True)
class CommitKey:
    """Signs commits, through the OpenSSH private key at ``path``. ``public`` is its ``ssh-ed25519 …`` half."""

    path: Path
    public: str
    program: str
    """What makes SSH signatures: ssh-keygen, or this product's own where there is none."""

    def git_config(self) -> tuple[str, ...]:
        """The options with which git signs by this key."""
        pairs = ("gpg.format=ssh", f"user.signingKey={self.path}", f"gpg.ssh.program={self.program}")
        return tuple(word for pair in pairs for word in ("-c", pair))

    def allowed_signers(self, principal: str = "turnabout") -> str:
        """The line with which ``git verify-commit`` knows this key."""
        return f'{principal} namespaces="git" {self.public}\n'


def build_key(folder: Path) -> BuildKey:
    """The build key of ``folder``, made if there is none. Raises Refused when it cannot be used."""
    return BuildKey(_private(folder / BUILD))


def revert_key(folder: Path) -> CommitKey:
    """The revert key of ``folder``, made if there is none. Raises Refused when it cannot be used."""
    return commit_key(folder / REVERT, folder)


def ssh_key(folder: Path) -> Path:
    """Where the SSH key of ``folder`` is, made if there is none. Raises Refused when it cannot be used."""
    path = (folder / SSH).absolute()
    _private(path)
    return path


def commit_key(file: Path, folder: Path) -> CommitKey:
    """The key in ``file`` that signs commits, made if there is none; ``folder`` is for helpers. Raises Refused."""
    path = file.absolute()
    public = _private(path).public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    return CommitKey(path, line, signing_program(folder))


def _private(path: Path) -> Ed25519PrivateKey:
    attempt = f"reading the key {path}"
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise Refused(attempt, f"others may read it (mode {mode:o})", f"Run chmod 600 {path}, or make a new key.")
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise Refused(attempt, error.strerror or str(error), "Let the controller read and write its folder.") from error
    except (ValueError, TypeError) as error:
        said = f"it is no OpenSSH key without a password ({error})"
        raise Refused(attempt, said, "Move it away; one is made.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(attempt, "it is no Ed25519 key", "Move it away; one is made.")
    return key


def _make(path: Path) -> None:
    """Write a new key whole, readable by its owner alone. Where two make one at once, the first stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Ed25519PrivateKey.generate().private_bytes(*form))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            return
    finally:
        Path(partial).unlink()
