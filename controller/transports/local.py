"""Commands to nodes that are processes on this machine: the laptop, the demo and the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from controller.errors import Unreachable
from controller.ports import Ran


class LocalTransport:
    """Runs each command as a process of its own, in its own process group, killed whole when its time is up."""

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:  # no such program, or no room for another process
            raise Unreachable(f"reaching {node}", f"{argv[0]}: {error.strerror}", "It is tried again.") from error
        try:
            out, _ = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # whoever left the group may still hold the pipes
                process.communicate(timeout=1)
            said = f"no answer within {timeout:.0f} s, so it is unknown whether it acted"
            raise Unreachable(f"commanding {node}", said, "It is read back.") from None
        return Ran(process.returncode, out)
