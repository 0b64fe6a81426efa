"""One machine's SSH server, for a machine that is a network namespace: its files, and its start.

It is the system's OpenSSH, with a host key of its own, on port 22 of an address that nobody else has. A mount namespace
gives it the account that it needs for its separated part, and a process namespace ends every session with it. Nothing
of this machine's accounts, keys or settings is read or changed.
"""

import getpass
import os
import shutil
import time
from pathlib import Path

from infra.local.keys import ssh_key
from infra.local.servers import Server, ServerFailed, ServerMissing, start

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
_UP_SECONDS = 15.0

_CONFIG = """\
Port 22
ListenAddress {host}
HostKey {folder}/host.key
AuthorizedKeysFile {authorised}
PidFile none
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
UseDNS no
PermitTTY no
X11Forwarding no
AllowAgentForwarding no
LoginGraceTime 10
MaxStartups 100
ClientAliveInterval 5
ClientAliveCountMax 2
"""
_NODE = "AllowTcpForwarding no\n"
_BASTION = "AllowTcpForwarding local\nPermitOpen *:22\nMaxSessions 0\n"
"""It passes on to port 22 of others, and nobody has a session on it."""

_ALONE = """\
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
mount --bind "$1" /etc/passwd
shift
exec "$@"
"""


def find_sshd() -> str:
    """The server and the programs that start it apart. Raises ServerMissing."""
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("unshare", "util-linux")):
        if shutil.which(program, path=_PATH) is None:
            raise ServerMissing(f"{program} is not on PATH; install {package}.")
    for program, package in (("ssh", "openssh-client"), ("sshd", "openssh-server")):
        if shutil.which(program, path=_PATH) is None:
            raise ServerMissing(f"{program} is not on PATH; install {package}.")
    return str(shutil.which("sshd", path=_PATH))


def host_key(folder: Path) -> str:
    """The public half of the host key of the machine whose files are in ``folder``."""
    return ssh_key(folder / "host.key")


def start_sshd(
    name: str, folder: Path, host: str, within: tuple[str, ...], authorised: Path, bastion: bool = False
) -> Server:
    """Start the server of one machine, which lets in who holds the private half of ``authorised``."""
    host_key(folder)
    config, accounts = folder / "sshd_config", folder / "passwd"
    told = _CONFIG.format(host=host, folder=folder, authorised=authorised)
    config.write_text(told + (_BASTION if bastion else _NODE))
    user, home = getpass.getuser(), folder / "home"
    home.mkdir(exist_ok=True)
    accounts.write_text(
        f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    )
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
    shell = ("sh", "-c", _ALONE, "sh", str(accounts))
    return start(name, [*within, *alone, *shell, find_sshd(), "-D", "-e", "-f", str(config)], folder / "sshd.log")


def wait_until_listening(server: Server, before: int = 0) -> None:
    """Return when the server says that it listens, past ``before`` bytes of its log. Raises ServerFailed."""
    until = time.monotonic() + _UP_SECONDS
    while b"Server listening on" not in server.log.read_bytes()[before:]:
        ended = server.process.poll()
        if ended is not None or time.monotonic() > until:
            how = f"ended with {ended}" if ended is not None else f"did not listen within {_UP_SECONDS:g} s"
            raise ServerFailed(f"{server.name} {how}; it said:\n{server.last_lines()}")
        time.sleep(0.02)
