"""Network namespaces of Linux, held by this process alone, and the wires between them.

A namespace has no name and no process: it lives as long as somebody has it open or runs in it. So nothing is left when
this process ends, however it ends, and no address or interface ever shows in the network of the machine itself.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Sequence

from infra.local.servers import ServerFailed, ServerMissing

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_SECONDS = 20


class Namespace:
    """A network of its own. ``name`` is only for messages."""

    def __init__(self, name: str) -> None:
        """Make one, with its loopback up. Raises ServerMissing where the kernel does not allow it."""
        self.name, self._fd = name, _made()
        self.ip("link set lo up")

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def within(self) -> tuple[str, ...]:
        """Words before a program that run it in here; it replaces them, so that it keeps its process id."""
        return "nsenter", f"--net={self.path}", "--"

    def ip(self, *lines: str) -> None:
        """Lines of ``ip``, in one go. Raises ServerFailed."""
        self.run("ip", "-batch", "-", said="".join(f"{line}\n" for line in lines))

    def run(self, *argv: str, said: str = "") -> None:
        done = subprocess.run(
            [*self.within, *argv], input=said, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode != 0:
            raise ServerFailed(f"{' '.join(argv)} in the network {self.name} ended with: {done.stderr.strip()}\n{said}")

    def enter(self) -> None:
        """From here on the calling thread, and whatever it starts, is in here."""
        if _LIBC.setns(self._fd, _CLONE_NEWNET) != 0:
            raise ServerFailed(f"Entering the network {self.name}: {os.strerror(ctypes.get_errno())}.")

    def close(self) -> None:
        os.close(self._fd)

    @classmethod
    def current(cls) -> "Namespace":
        """The one that the calling thread is in."""
        here = cls.__new__(cls)
        here.name, here._fd = "outside", os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return here


def wire(one: Namespace, end: str, other: Namespace, other_end: str) -> None:
    """A cable: ``end`` is its plug in ``one``, ``other_end`` the one in ``other``. Both are still down."""
    one.ip(f"link add name {end} type veth peer name {other_end} netns {other.path}")


def switch(within: Namespace, name: str, address: str, plugs: Sequence[str] = ()) -> None:
    """A bridge that joins what is plugged into it, with an address of its own."""
    within.ip(
        f"link add name {name} type bridge", f"addr add {address} dev {name}", f"link set dev {name} up",
        *(f"link set dev {plug} master {name} up" for plug in plugs),
    )  # fmt: skip


def _made() -> int:
    """A new namespace, open. A thread makes it, because who makes one is in it."""
    made: list[int] = []
    failed: list[int] = []

    def make() -> None:
        if _LIBC.unshare(_CLONE_NEWNET) == 0:
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        else:
            failed.append(ctypes.get_errno())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        said = os.strerror(failed[0]) if failed else "it could not be opened"
        raise ServerMissing(f"This system gives no network namespaces ({said}); run as root of a Linux that has them.")
    return made[0]
