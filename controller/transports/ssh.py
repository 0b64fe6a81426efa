"""Commands to nodes by OpenSSH, through the bastion where there is one.

Each machine has one connection, which its commands share: the first makes it, and it ends when it was idle for a while
or when the transport is closed. The nodes' connections pass through the bastion's. A command whose connection broke may
have run: that is unknown, never failed. What ssh is told stands in ``openssh``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

from controller.errors import Refused, Unreachable
from controller.ports import Ran
from controller.transports import openssh, process
from controller.transports.openssh import BASTION, CONNECT_SECONDS, Machine
from infra.outputs import Outputs

LOST = 255
"""ssh's exit code for everything that is not the command's own; a command that was killed ends so as well."""
CLOSE_SECONDS = 2.0


class SshTransport:
    """The ways to the machines of one environment. Raises Refused where the outputs name none that can be used."""

    def __init__(self, outputs: Outputs, key: Path) -> None:
        found = [Machine(node.name, node.address, node.host_key) for node in outputs.nodes if node.transport == "ssh"]
        self._bastion = Machine(BASTION, outputs.bastion, outputs.bastion_host_key) if outputs.bastion else None
        every = [*([self._bastion] if self._bastion else []), *found]
        wrong = [f"of {machine.name.strip('_')}, {said}" for machine in every if (said := openssh.misnamed(machine))]
        if not openssh.NAME.fullmatch(outputs.ssh_user):
            wrong.append(f"{outputs.ssh_user!r} is no name of a user")
        if wrong:
            raise openssh.unusable(outputs.environment, wrong)
        if shutil.which("ssh") is None:
            said = "there is no ssh on PATH"
            raise Refused(f"reaching the nodes of {outputs.environment} by SSH", said, "Install OpenSSH's client.")
        self._user, self._key = outputs.ssh_user, str(key)
        folder = _own_folder()
        self.config = folder / "config"
        self.config.write_text(openssh.config(str(folder), self._user, self._key, found, self._bastion))
        (folder / "known_hosts").write_text("".join(f"{machine.known}\n" for machine in every))
        self._lock = threading.Lock()
        self._failed: tuple[float, Unreachable] | None = None
        names = [machine.name for machine in reversed(every)]
        self.close = weakref.finalize(self, _end, self.config, names)
        """Ends every connection; happens by itself when nobody has the transport any more, or the process ends."""

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        until = time.monotonic() + timeout
        if self._bastion is not None:
            self._reach_bastion(self._bastion, timeout)
        words = (node, f"exec {shlex.join(argv)}")
        ended = self._ssh(f"commanding {node}", words, stdin, until, timeout)
        if ended.code == LOST or ended.code < 0:  # or ssh itself was killed
            through = f" through the bastion {self._bastion.address}" if self._bastion else ""
            raise openssh.trouble(f"reaching {node}{through}", ended.err, self._user, self._key)
        return Ran(ended.code, ended.out)

    def _reach_bastion(self, bastion: Machine, timeout: float) -> None:
        """Have a connection to it. By itself, because what goes wrong inside a jump is not told apart.

        One at a time; who waited for another's failure shares it, so that nobody queues for more than one attempt.
        """
        asked_at = time.monotonic()
        with self._lock:
            if Path(openssh.shared(str(self.config.parent))).exists():
                return
            if self._failed is not None and self._failed[0] >= asked_at:
                raise self._failed[1]
            attempt = f"reaching the bastion {bastion.address}"
            try:
                seconds = min(timeout, CONNECT_SECONDS + 1.0)
                ended = self._ssh(attempt, ("-f", "-N", bastion.name), None, time.monotonic() + seconds, seconds)
                if ended.code != 0:
                    raise openssh.trouble(attempt, ended.err, self._user, self._key)
            except Unreachable as trouble:
                self._failed = (time.monotonic(), trouble)
                raise

    def _ssh(
        self, attempt: str, words: Sequence[str], stdin: bytes | None, until: float, seconds: float
    ) -> process.Ended:
        """Run ssh until ``until``, which was ``seconds`` away when all began."""
        try:
            left = max(0.1, until - time.monotonic())
            return process.run(("ssh", "-F", str(self.config), *words), stdin, left, _PLAIN)
        except TimeoutError:
            said = f"no answer within {seconds:.0f} s, so it is unknown whether it acted"
            raise Unreachable(attempt, said, "It is read back.") from None
        except OSError as error:
            raise Unreachable(attempt, f"ssh: {error.strerror}", "It is tried again.") from error


_PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "LC_"))} | {"LC_ALL": "C"}
"""No agent, and complaints in the language that is read here."""


def _own_folder() -> Path:
    """A folder for this transport alone; those of processes that were killed are removed, as they could not do it.

    Their connections are idle, and end by themselves. The path of a socket is at most 107 bytes long.
    """
    base = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 30 else "/tmp"
    for left in Path(base).glob("turnabout-ssh-*-*"):
        pid = left.name.split("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists() and left.lstat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"turnabout-ssh-{os.getpid()}-", dir=base))


def _end(config: Path, names: Iterable[str]) -> None:
    """Close what is open, the nodes' connections before the bastion's, and remove the files."""
    if any(path.is_socket() for path in config.parent.iterdir()):
        for name in names:
            try:
                process.run(("ssh", "-F", str(config), "-O", "exit", name), None, CLOSE_SECONDS, _PLAIN)
            except OSError:  # it has ended, or ends when it was idle
                continue
    shutil.rmtree(config.parent, ignore_errors=True)
