"""``turnabout`` in processes that begin with Pulumi's libraries loaded, which else takes each of them seconds.

One process loads them; each command is forked off it and there reads the checkout's own code, from its folder, with its
own words, surroundings, input and output. Only what is not of this house is loaded before.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.infra.libraries"])


class TooLong(Exception):
    """It did not end in its time and was ended; the message has what it wrote."""


def turnabout(
    words: Sequence[str], folder: Path, surroundings: Mapping[str, str], limit: float
) -> tuple[int, str, str]:
    """``turnabout WORDS`` in a folder: its exit code, and what it wrote on stdout and stderr. Raises TooLong."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = FORKS.Process(target=obey, args=([*words], str(folder), {**surroundings}, str(out), str(err)))
        process.start()
        process.join(limit)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TooLong(out.read_text() + err.read_text())
        return process.exitcode, out.read_text(), err.read_text()


def obey(words: list[str], folder: str, surroundings: dict[str, str], out: str, err: str) -> None:
    """What the forked process does."""
    gc.freeze()  # what was loaded is not looked through for garbage by each of them
    for fd, place, how in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        os.dup2(os.open(place, how | os.O_CREAT, 0o600), fd)
    os.environ.clear()
    os.environ.update(surroundings)
    os.chdir(folder)
    sys.path[:] = [folder, *sys.path]
    sys.argv[1:] = words
    runpy.run_module("controller.cli", run_name="__main__", alter_sys=True)
