"""A real OpenPGP key in a GnuPG folder of its own, as a forge or a person has one. Its agent ends with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenPgpKey:
    """Signs commits through ``program``, which knows where the key is."""

    home: Path
    name: str
    program: Path

    @property
    def public(self) -> str:
        """The armoured block that others verify with."""
        return gpg(self.home, "--armor", "--export", self.name)

    def git_config(self) -> tuple[str, ...]:
        """The options with which git signs by this key."""
        pairs = ("gpg.format=openpgp", f"user.signingKey={self.name}", f"gpg.program={self.program}")
        return tuple(word for pair in pairs for word in ("-c", pair))

    def revoke(self) -> None:
        (made,) = (self.home / "openpgp-revocs.d").glob("*.rev")
        gpg(self.home, "--import", stdin=made.read_text().replace(":-----BEGIN", "-----BEGIN"))


@contextmanager
def openpgp_key(name: str) -> Iterator[OpenPgpKey]:
    home = Path(tempfile.mkdtemp(prefix="gnupg-"))  # short: its agent's socket is in it
    home.chmod(0o700)
    try:
        gpg(home, "--passphrase", "", "--quick-gen-key", f"{name} <{name.replace(' ', '.')}@example.org>", "ed25519",
            "sign", "never")  # fmt: skip
        program = home / "gpg.sh"
        program.write_text(f'#!/bin/sh\nGNUPGHOME="{home}" exec gpg --batch "$@"\n')
        program.chmod(0o700)
        yield OpenPgpKey(home, name, program)
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": str(home)}, timeout=10, check=False
        )
        shutil.rmtree(home, ignore_errors=True)


def gpg(home: Path, *argv: str, stdin: str = "") -> str:
    env = {**os.environ, "GNUPGHOME": str(home)}
    command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", *argv]
    return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=30, check=True).stdout
