"""The demo's forge: a bare repository behind ``git daemon``, and a clone in which somebody edits and merges."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from controller.demo.changes import Change
from controller.keys import CommitKey
from controller.sources.gitcli import environment

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A developer"), ("EMAIL", "developer@localhost"))
}
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "tests", ".pytest_cache")


class Forge:
    """Edits and merges, as a developer's git would; pushed to the daemon, seen by the controller like anybody's."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone

    def begin(self, sources: Path, environments: Mapping[str, Path], url: str, branches: tuple[str, ...]) -> str:
        """Make the first commit from the applications' sources and push it to every branch; its id."""
        self.clone.mkdir(parents=True, exist_ok=True)
        shutil.copytree(sources / "apps", self.clone / "apps", ignore=LEFT_OUT, dirs_exist_ok=True)
        (self.clone / "environments").mkdir(exist_ok=True)
        for name, path in environments.items():
            shutil.copyfile(path, self.clone / "environments" / name)
        self._git("init", "--quiet", f"--initial-branch={branches[0]}")
        self._git("remote", "add", "origin", url)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "Begin: the applications as they are")
        for branch in branches[1:]:
            self._git("branch", branch)
        self._git("push", "--quiet", "--set-upstream", "origin", *branches)
        if not self._known():
            for name, value in (("user.name", "A developer"), ("user.email", "developer@localhost")):
                self._git("config", name, value)
        return self.head(branches[0])

    def _known(self) -> bool:
        """Whether git knows who works on this machine: whoever goes on by hand can commit without being asked."""
        asked = ["git", "config", "user.email"]
        return subprocess.run(asked, cwd=self.clone, capture_output=True, timeout=30, check=False).returncode == 0

    def change(self, branch: str, change: Change) -> tuple[str, float]:
        """Merge one change to a branch and push it; the commit, and when the push began (UTC)."""
        self._update(branch)
        path = self.clone / change.path
        path.write_text(change.applied(path.read_text()))
        self._git("commit", "--quiet", "--all", "--message", change.subject)
        began = time.time()
        self._git("push", "--quiet", "origin", branch)
        return self.head(branch), began

    def head(self, branch: str) -> str:
        return self._git("rev-parse", branch)

    def remote_head(self, branch: str) -> str:
        """What the server says the branch's commit is."""
        return self._git("ls-remote", "origin", f"refs/heads/{branch}").split("\t")[0]

    def file(self, branch: str, path: str) -> str:
        """A file of the branch, as the server has it."""
        self._git("fetch", "--quiet", "origin", branch)
        return self._git("show", f"FETCH_HEAD:{path}")

    def verify(self, branch: str, key: CommitKey) -> None:
        """The newest commit of the branch, as the server has it, is signed by ``key``; raises RuntimeError if not."""
        self._git("fetch", "--quiet", "origin", branch)
        known = self.clone.parent / "allowed_signers"
        known.write_text(key.allowed_signers())
        signers = ("-c", f"gpg.ssh.allowedSignersFile={known}")
        self._git(*key.git_config(), *signers, "verify-commit", "FETCH_HEAD")

    def _update(self, branch: str) -> None:
        self._git("fetch", "--quiet", "origin", branch)
        self._git("checkout", "--quiet", "-B", branch, "FETCH_HEAD")

    def _git(self, *argv: str) -> str:
        done = subprocess.run(
            ["git", *argv], cwd=self.clone, env={**os.environ, **environment(), **WHO}, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"git {' '.join(argv)[:80]} in the demo's clone: {done.stderr.strip()}")
        return done.stdout.strip()
