"""What goes wrong below an edge: a disk whose flushes fail, a clock that is off. In C, loaded before all else.

Only what is started afterwards has it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.running import Edge

HERE = Path(__file__).parent


def built(name: str, folder: Path) -> Path | None:
    """The library made of ``name.c``, or None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / f"{name}.so"
    argv = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / f"{name}.c"), "-ldl", "-pthread"]
    subprocess.run(argv, check=True, capture_output=True)
    return library


def preload(edge: Edge, library: Path, **told: str) -> None:
    others = edge.environment.get("LD_PRELOAD", "")
    edge.environment |= {"LD_PRELOAD": f"{others}:{library}".strip(":")} | told


class FailingDisk:
    """Under ``readings.db`` of these edges, all at once."""

    def __init__(self, library: Path, folder: Path, *edges: Edge) -> None:
        self._fail = folder / "fail"
        for edge in edges:
            preload(edge, library, FAIL_FLUSHES=str(self._fail))

    def fails(self) -> None:
        self._fail.touch()

    def works(self) -> None:
        self._fail.unlink()

    def power_cut(self, edge: Edge) -> None:
        """The process is gone, and of the files there is what reached the disk."""
        edge.kill()
        for name in (FILE, f"{FILE}-wal"):
            (edge.data / f"{name}.disk").replace(edge.data / name)
        (edge.data / f"{FILE}-shm").unlink()


class WrongClock:
    """The time of day of an edge."""

    def __init__(self, library: Path, edge: Edge) -> None:
        self._edge = edge
        preload(edge, library, CLOCK_OFF="0")

    def is_off(self, seconds: int) -> None:
        """From its next start on."""
        self._edge.environment["CLOCK_OFF"] = str(seconds)
