"""Commands to nodes that are processes on this machine: the laptop, the demo and the tests."""

from __future__ import annotations

from controller.errors import Unreachable
from controller.ports import Ran
from controller.transports import process


class LocalTransport:
    """Runs each command as a process of its own."""

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        try:
            ended = process.run(argv, stdin, timeout, heard=False)
        except TimeoutError:
            said = f"no answer within {timeout:.0f} s, so it is unknown whether it acted"
            raise Unreachable(f"commanding {node}", said, "It is read back.") from None
        except OSError as error:  # no such program, or no room for another process
            raise Unreachable(f"reaching {node}", f"{argv[0]}: {error.strerror}", "It is tried again.") from error
        return Ran(ended.code, ended.out)
