"""OpenPGP signatures: GnuPG, asked with a keyring that holds exactly the keys that are allowed.

git verifies through ``gpg``, and believes every key in the keyring of whoever runs it. So each question gets a folder
of its own, which is gone afterwards; nobody's own keys, agent or servers have a say. Keys that have expired or were
revoked sign nothing any more. Whose keys are allowed stands in ``signers``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import Refused, Unreachable

SECONDS = 10.0
ALONE = "trust-model always\nno-auto-key-retrieve\nno-auto-key-locate\nno-autostart\n"
"""Who is in the keyring is allowed; nothing is asked of a server, and no agent is started for it."""


def is_signed(commit: bytes) -> bool:
    """Whether a commit, as git keeps it, has an OpenPGP signature: one that git would ask gpg about."""
    header = commit.partition(b"\n\n")[0].splitlines()
    return any(line.startswith((b"gpgsig -----BEGIN PGP", b"gpgsig-sha256 -----BEGIN PGP")) for line in header)


@contextmanager
def keyring(armoured: str, attempt: str) -> Iterator[tuple[str, Path]]:
    """gpg, and a GNUPGHOME with these keys and no others. Raises Refused, Unreachable."""
    program = shutil.which("gpg")
    if program is None:
        said = "the signers file lists OpenPGP keys, and there is no gpg on PATH to verify with"
        raise Refused(attempt, said, "Install GnuPG where the controller runs.")
    with tempfile.TemporaryDirectory(prefix="keyring-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / "gpg.conf").write_text(ALONE)
        command = [program, "--batch", "--no-tty", "--status-fd=1", "--import"]
        env = {**os.environ, "GNUPGHOME": folder, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, input=armoured, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(attempt, f"gpg gave no answer within {SECONDS:g} s", "It is tried again.") from None
        if done.returncode or "IMPORT_OK" not in done.stdout:
            said = f"gpg cannot read an OpenPGP key of the signers file ({' '.join(done.stderr.split())[:200]})"
            raise Refused(attempt, said, "Export it again: gpg --armor --export KEY.")
        yield program, home
