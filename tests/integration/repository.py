"""A real repository behind a real git daemon, people who push to it, and the controller's source of it.

What is expected of the source stands in the tests.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from controller.keys import CommitKey, revert_key
from controller.sources.commits import Reversal, Suspect
from controller.sources.git import GitSource
from infra.local.ports import Ports

HOST = "127.0.0.1"
PORTS = Ports()
PROD = '[app.mqtt]\nretention_days = 30\n\n# between\n# the\n# two\n\n[app.c360]\ndatabase = "c360"\n'


def git(folder: Path, *argv: str, date: str = "") -> str:
    """What git says; ``date``, in any form that git reads, is when people say they commit."""
    dates = {f"GIT_{role}_DATE": date for role in ("AUTHOR", "COMMITTER") if date}
    identity = {f"GIT_{role}_{what}": "ann" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **identity, **dates, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *argv], cwd=folder, env=env, check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()


class Daemon:
    """A git daemon that serves the repositories of a folder, to fetch from and to push to."""

    def __init__(self, folder: Path) -> None:
        self.port = PORTS.take()
        program = Path(git(folder, "--exec-path"), "git-daemon")  # started as "git daemon" it would outlive its parent
        options = ["--reuseaddr", f"--listen={HOST}", f"--port={self.port}", "--export-all", "--enable=receive-pack"]
        self._process = subprocess.Popen([str(program), *options, f"--base-path={folder}", str(folder)])
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("git daemon did not come up")

    def url(self, repository: str = "repository.git") -> str:
        return f"git://{HOST}:{self.port}/{repository}"

    def disk(self, full: bool) -> None:
        """From now on its programs can write no byte to any file, or can again."""
        most = 0 if full else resource.RLIM_INFINITY
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Person:
    """Somebody with a clone, who commits and pushes."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        git(repository.parent, "clone", "-q", str(repository), str(folder))

    def commits(self, subject: str, branch: str = "prod", date: str = "", **files: str | None) -> str:
        """Push a commit that holds these files; the names' double underscores are slashes."""
        self.takes(branch)
        self.writes(**files)
        git(self.folder, "commit", "-q", "--allow-empty", "-m", subject, date=date)
        return self.pushes(branch)

    def takes(self, branch: str) -> None:
        """Work on what the server's branch is now."""
        git(self.folder, "fetch", "-q", "origin")
        heads = git(self.folder, "for-each-ref", "--format=%(refname)", f"refs/remotes/origin/{branch}")
        git(self.folder, "checkout", "-q", "-B", branch, *([f"origin/{branch}"] if heads else []))

    def writes(self, **files: str | None) -> None:
        for name, content in files.items():
            path = self.folder / name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if content is None else path.write_text(content)
        git(self.folder, "add", "-A")

    def pushes(self, branch: str = "prod", *how: str) -> str:
        git(self.folder, "push", "-q", *how, "origin", f"HEAD:refs/heads/{branch}")
        return git(self.folder, "rev-parse", "HEAD")


class World:
    """A served repository whose prod branch has one good commit, a person, and the controller's source."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.repository = folder, folder / "served" / "repository.git"
        self.repository.parent.mkdir()
        git(folder, "init", "-q", "--bare", "-b", "prod", str(self.repository))
        self.daemon = Daemon(self.repository.parent)
        self.ann = Person(folder / "ann", self.repository)
        self.key = revert_key(folder / "keys")
        self.source = self.new_source("mirror.git", self.key)
        self.good = self.ann.commits(
            "Start",
            apps__mqtt__a_py="1\n",
            apps__mqtt__b_py="1\n",
            apps__c360__a_py="1\n",
            environments__prod_toml=PROD,
        )

    def new_source(self, mirror: str, key: CommitKey | None = None, seconds: float = 10.0) -> GitSource:
        return GitSource(self.daemon.url(), self.folder / mirror, key, seconds=seconds)

    def shows(self, what: str) -> str:
        return git(self.repository, "show", what)

    def commits_on(self, branch: str = "prod") -> int:
        return int(git(self.repository, "rev-list", "--count", branch))


def reversal(
    world: World, bad: str, *paths: str, app: str = "mqtt", carries: Callable[[str, str], bool] | None = None
) -> Reversal:
    suspect = Suspect(app, "sha256:aa", "sha256:cc", paths or (f"apps/{app}",), world.good)
    return Reversal("prod", "prod-r41", bad, (suspect,), "Break it", "mqtt: it failed.", "FAIL", (), carries)
