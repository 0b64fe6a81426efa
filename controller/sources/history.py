"""The commits of a branch in their order: its main line, what a commit changed, who merged what.

The main line of a branch is what its first parents lead through: each push and each merge is one step of it. Nothing
here believes a commit's date, so no range such as ``a..b`` is asked of git, whose walk goes by dates. Reads the mirror
only; what follows from any of it is said in ``admission`` and ``git``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from controller.sources.commits import Description
from controller.sources.gitcli import Git, records

LOOK_BACK = 50
"""How many steps of a main line are looked at one by one."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
FAR_BACK = 5000
"""How many steps of a main line are known by name."""


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of a main line."""

    commit: str
    parents: tuple[str, ...]

    @property
    def before(self) -> str | None:
        return self.parents[0] if self.parents else None

    @property
    def merged(self) -> tuple[str, ...]:
        """What came in beside the main line."""
        return self.parents[1:]


@dataclass(frozen=True, slots=True)
class History:
    git: Git

    def steps(self, tip: str, most: int = LOOK_BACK) -> Iterator[Step]:
        """The main line of ``tip``, newest first, ``tip`` among them."""
        walk = ("rev-list", "--first-parent", "--parents", f"--max-count={most}", tip)
        for line in self.git.text(*walk, attempt=f"reading the history of {tip[:12]}").splitlines():
            commit, *parents = line.split()
            yield Step(commit, tuple(parents))

    def main_line(self, tip: str) -> frozenset[str]:
        """Every commit of the main line of ``tip``."""
        return frozenset(step.commit for step in self.steps(tip, FAR_BACK))

    def since(self, known: str, tip: str) -> tuple[Step, ...]:
        """The steps of ``tip``'s main line that came after ``known``'s, newest first.

        Only the tip itself where the two have nothing in common: of a history that was put in the place of another,
        nobody can say what is new in it.
        """
        before, found = self.main_line(known), list[Step]()
        for step in self.steps(tip):
            if step.commit in before:
                return tuple(found)
            found.append(step)
        return tuple(found if before & self.main_line(tip) else found[:1])

    def changed(self, before: str, after: str, paths: Collection[str] = ()) -> tuple[str, ...]:
        """The files that differ between two commits or trees, among ``paths`` and below, or all."""
        flags = ("diff-tree", "-r", "-z", "--name-only", "--no-renames")
        attempt = f"comparing {before[:12]} with {after[:12]}"
        return tuple(records(self.git.run(*flags, before, after, "--", *paths, attempt=attempt).out))

    def describe(self, commit: str, since: str | None = None) -> Description:
        """A commit, and how many lines changed ``since``: another commit, or its first parent."""
        attempt = f"describing {commit[:12]}"
        out = self.git.text("show", "-s", "--format=%H%x00%s%x00%an <%ae>%x00%ct%x00%P", commit, attempt=attempt)
        full, subject, author, at, parents = out.split("\0")
        before = since or (parents.split() or [EMPTY_TREE])[0]
        flags = ("--numstat", "-r", "-z", "--no-renames")
        numbers = records(self.git.run("diff-tree", *flags, before, full, attempt=attempt).out)
        lines = sum(int(count) for line in numbers for count in line.split("\t")[:2] if count != "-")
        return Description(full, subject, author, float(at), tuple(parents.split()), lines)

    def commit_with(self, tip: str, trailer: str) -> str | None:
        """The newest commit that led to ``tip``, or itself, whose message ends with ``trailer``: ``Key: value``."""
        key, _, value = trailer.partition(": ")
        form = f"--format=%H%x00%(trailers:key={key},valueonly,separator=%x1f)"
        asked = ("log", "--fixed-strings", f"--grep={trailer}", form, tip)
        for line in self.git.text(*asked, attempt=f"searching {tip[:12]} for {trailer}").splitlines():
            commit, _, values = line.partition("\0")
            if value in values.split("\x1f"):
                return commit
        return None

    def touching(self, tip: str, paths: Collection[str]) -> tuple[str, ...]:
        """The newest commits before and including ``tip``, merged ones too, that changed any of the files."""
        walk = ("rev-list", "--no-merges", "--topo-order", f"--max-count={LOOK_BACK}", tip, "--", *paths)
        return tuple(self.git.text(*walk, attempt=f"reading what led to {tip[:12]}").splitlines())

    def named(self, commit: str) -> str:
        """A commit as a sentence names it: ``1234567 (Answer odd numbers)``."""
        subject = self.git.text("show", "-s", "--format=%s", commit, attempt=f"describing {commit[:12]}")
        return f"{commit[:7]} ({subject})"

    def trailers(self, commit: str, key: str) -> tuple[str, ...]:
        """What a commit's own message says under ``key``."""
        form = f"--format=%(trailers:key={key},valueonly,separator=%x1f)"
        said = self.git.text("show", "-s", form, commit, attempt=f"reading the message of {commit[:12]}")
        return tuple(value for value in said.split("\x1f") if value)

    def contains(self, tip: str, commit: str) -> bool:
        """Whether ``commit`` is ``tip`` or led to it."""
        asked = ("merge-base", "--is-ancestor", commit, tip)
        return self.git.run(*asked, attempt=f"comparing {commit[:12]} with {tip[:12]}", fine=(0, 1)).code == 0
