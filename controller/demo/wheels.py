"""What the demo's controller installs, fetched while there is a package index: beside nodes that are apart none is
in reach.

The controller still builds every release itself, from the same locks and by the same hashes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SECONDS = 300.0


def fetch(locks: list[Path], folder: Path) -> Mapping[str, str]:
    """Fetch what the locks pin into ``folder``: the surroundings in which pip finds it there. Raises RuntimeError."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder)]
    running = [
        subprocess.Popen([*command, "-r", str(lock)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for lock in locks
    ]
    for lock, process in zip(locks, running, strict=True):
        _, said = process.communicate(timeout=SECONDS)
        if process.returncode:
            raise RuntimeError(f"The packages of {lock} could not be fetched (pip: {said.strip()[-300:]}).")
    return {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
