"""Commits laid out as folders, for programs that must be run by the code of that commit; nothing is checked out.

Reads objects only: no reference is moved, no lock is taken, so that a mirror may be read beside the controller that
keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from controller.errors import Refused
from controller.sources.gitcli import Git, environment
from controller.sources.trees import File, Trees

PARTS = ("environments", "infra", "apps")
"""What the infrastructure program and the rules of environments are made of."""
Files = Callable[[str, str], Iterable[File]]
"""The files of a commit at or below a path."""


def lay_out(folder: Path, files: Files, commit: str, paths: Iterable[str] = PARTS) -> None:
    """Files of a commit as a checkout has them; of applications only what the infrastructure program reads."""
    for prefix in paths:
        for file in files(commit, prefix):
            if file.path.startswith("apps/") and not file.path.endswith("/release.toml"):
                continue
            place = folder / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.content)


def of_repository(git_folder: Path) -> Git:
    """Read-only calls of git in a repository that belongs to somebody else."""
    return Git(git_folder, env=environment() | {"GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0"})


def around(folder: Path) -> Git:
    """The repository that a checkout is in. Raises Refused where it is in none."""
    for above in (folder, *folder.parents):
        if (above / ".git").exists():
            return of_repository(above / ".git")
    raise Refused("reading commits", f"{folder} is in no git repository", "Name a checkout with --folder.")


def commit_of(git: Git, said: str) -> str:
    """The commit that a branch, a tag or ``HEAD~2`` names. Raises Refused."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{said}^{{commit}}")
    answer = git.ask(*asked, attempt=f"looking for {said}")
    if answer.code:
        raise Refused(f"looking for {said}", "the repository has no such commit", f"Fetch it: git fetch origin {said}")
    return answer.out.decode().strip()


def laid_out(folder: Path, git: Git, commit: str) -> Path:
    """``folder`` with what the program needs of a commit. Raises Unreachable, Refused."""
    lay_out(folder, Trees(git).files, commit)
    return folder
