"""Trees and blobs of the mirror: reading them, and making a tree from parts of others. There is no work tree.

Which parts, and what becomes of the new tree, is decided in ``git``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Refused
from controller.sources.gitcli import Git, records

LINK = "120000"
SUBMODULE = "160000"
PROGRAM = "100755"
NOTHING = "0" * 40


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a tree. ``mode`` is git's: 100644, 100755, 040000 for a folder, or one of the constants above."""

    path: str
    mode: str
    object_id: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit. A symbolic link's content is where it leads; a submodule has none."""

    path: str
    mode: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Trees:
    git: Git

    def entry(self, commit: str, path: str) -> Entry | None:
        """What ``path`` is in ``commit``, or None."""
        found = self._listed(commit, path, recursive=False)
        return next((entry for entry in found if entry.path == path), None)

    def entries(self, commit: str, path: str) -> tuple[Entry, ...]:
        """The files at or below ``path``, by the alphabet of their bytes."""
        return tuple(self._listed(commit, path, recursive=True))

    def _listed(self, commit: str, path: str, recursive: bool) -> Iterator[Entry]:
        where = ["--", path] if path else []
        flags = ["-r"] if recursive else []
        attempt = f"reading {path or '/'} of {commit[:12]}"
        answer = self.git.run("ls-tree", "-z", *flags, commit, *where, attempt=attempt)
        for record in records(answer.out):
            what, _, name = record.partition("\t")
            mode, _, object_id = what.split(" ")
            yield Entry(name, mode, object_id)

    def tree(self, commit: str) -> str:
        """The id of the whole tree of ``commit``."""
        return self.git.text("rev-parse", "--verify", f"{commit}^{{tree}}", attempt=f"reading {commit[:12]}")

    def files(self, commit: str, path: str) -> tuple[File, ...]:
        entries = self.entries(commit, path)
        contents = self.contents(entry.object_id for entry in entries if entry.mode != SUBMODULE)
        return tuple(File(entry.path, entry.mode, contents.get(entry.object_id, b"")) for entry in entries)

    def contents(self, object_ids: Iterable[str]) -> dict[str, bytes]:
        """The bytes of each blob."""
        wanted = list(dict.fromkeys(object_ids))
        asked = "".join(f"{object_id}\n" for object_id in wanted).encode()
        out = self.git.run("cat-file", "--batch", attempt="reading files of the mirror", stdin=asked).out
        found, at = {}, 0
        for object_id in wanted:
            end = out.index(b"\n", at)
            head = out[at:end].decode("ascii", "replace").split(" ")
            if len(head) != 3:
                said = f"git has no object {object_id}"
                raise Refused("reading files of the mirror", said, "Remove the mirror; it is fetched anew.")
            size = int(head[2])
            found[object_id] = out[end + 1 : end + 1 + size]
            at = end + size + 2
        return found

    def write(self, content: bytes) -> str:
        """Store a blob; its id."""
        answer = self.git.run("hash-object", "-w", "--stdin", attempt="storing a file in the mirror", stdin=content)
        return answer.out.decode().strip()

    def grafted(self, onto: str, grafts: Mapping[str, tuple[Entry, ...]]) -> str:
        """The tree of ``onto`` in which each path of ``grafts`` holds exactly those entries; its id."""
        attempt = f"making a tree on {onto[:12]}"
        lines = []
        for path, entries in grafts.items():
            lines += [f"0 {NOTHING}\t{entry.path}" for entry in self.entries(onto, path)]
            lines += [f"{entry.mode} {entry.object_id}\t{entry.path}" for entry in entries]
        with tempfile.TemporaryDirectory(prefix="turnabout-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self.git.run("read-tree", onto, attempt=attempt, env=index)
            stdin = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
            self.git.run("update-index", "-z", "--index-info", attempt=attempt, stdin=stdin, env=index)
            return self.git.run("write-tree", attempt=attempt, env=index).out.decode().strip()

    def merged(self, ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
        """``ours`` with the change from ``base`` to ``theirs`` made in it too, or None where both touch one place."""
        with tempfile.TemporaryDirectory(prefix="turnabout-merge-") as folder:
            paths = [Path(folder, name) for name in ("ours", "base", "theirs")]
            for path, content in zip(paths, (ours, base, theirs), strict=True):
                path.write_bytes(content)
            answer = self.git.ask("merge-file", "-p", "-q", *map(str, paths), attempt="merging a file")
        return answer.out if answer.code == 0 else None
