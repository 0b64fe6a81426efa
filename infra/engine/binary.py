"""Where Pulumi's engine is on this machine: the one that is installed, or the one that ``make engine`` built."""

import shutil
from pathlib import Path

BUILT = Path("build") / "tools"
INSTALLER = "https://www.pulumi.com/docs/install/"


class NoEngine(Exception):
    """There is none; the message says how to come by one."""


def find(house: Path, path: str | None = None) -> Path:
    """The folder whose ``bin`` has the engine. ``path`` is searched first, as a shell would: the default is ours.

    Raises NoEngine.
    """
    installed = shutil.which("pulumi", path=path)
    if installed is not None:
        return Path(installed).absolute().parents[1]
    if (house / BUILT / "bin" / "pulumi").is_file():
        return (house / BUILT).absolute()
    raise NoEngine(
        f"There is no pulumi on this machine. Install it ({INSTALLER}); where Go is, `make engine` builds the version "
        "that infra/engine/go.mod pins."
    )
