"""A git repository as the source of releases: what its branches want, and what the controller writes back to it.

Reading is one ``ls-remote`` for all heads and a fetch into a bare mirror; contents come from the mirror's objects.
Writing is four things, each a commit made without a work tree and pushed with the lease of what was seen: the revert of
a release that did harm, the promotion of one branch's tree to another, an earlier release brought back, and notes.
Somebody else may always be first; then everything is fetched and decided again, a few times. Which reversal is wanted,
and when, is the loop's matter.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from controller.errors import Conflict, Refused
from controller.keys import CommitKey
from controller.sources.commits import (
    ROLLOUT,
    Description,
    NotNeeded,
    Promoted,
    Restored,
    Reversal,
    Reverted,
    promote_message,
    revert_message,
)
from controller.sources.gitcli import SSH, Git, StaleLease, environment, records, shown
from controller.sources.restore import restored
from controller.sources.trees import Entry, File, Trees

NOTES = "refs/notes/turnabout"
TRIES = 5
"""How often somebody else may be first before it is left for the next time."""
LOOK_BACK = 50
"""How many commits are looked at for the last one that was right."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class GitSource:
    """One repository at ``url``, mirrored in the folder ``mirror``, which belongs to this object alone.

    Every method may block for a few times ``seconds`` and may be called from any thread. All raise Unreachable (try
    again later), Refused (a person must act) and Conflict (others were faster, again and again).
    """

    def __init__(
        self,
        url: str,
        mirror: Path,
        signing: CommitKey | None = None,
        *,
        seconds: float = 10.0,
        name: str = "Turnabout",
        email: str = "turnabout@localhost",
        ssh: str = SSH,
    ) -> None:
        self.url, self.signing = url, signing
        identity = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
                    for what, value in (("NAME", name), ("EMAIL", email))}  # fmt: skip
        plain = {"GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
        self._git = Git(mirror, seconds, environment(ssh) | identity | plain)
        self._trees = Trees(self._git)
        self._one_at_a_time = threading.RLock()  # git's own locks would make the second fail instead of wait
        self._place = shown(url)
        if not (mirror / "HEAD").exists():
            mirror.mkdir(parents=True, exist_ok=True)
            self._git.run("init", "--quiet", "--bare", "--template=", attempt=f"making the mirror {mirror}")

    # ---- reading --------------------------------------------------------------------------------------------------

    def heads(self) -> dict[str, str]:
        """Branch to commit, asked of the server."""
        lines = self._git.text("ls-remote", "--heads", "--", self.url, attempt=f"asking {self._place} for its branches")
        pairs = (line.split("\t", 1) for line in lines.splitlines())
        return {ref.removeprefix("refs/heads/"): commit for commit, ref in pairs}

    def fetch(self, branch: str) -> str:
        """Bring a branch into the mirror; its commit."""
        ref, attempt = f"refs/heads/{branch}", f"fetching {branch} from {self._place}"
        with self._one_at_a_time:
            self._fetch(ref, attempt)
            return self._git.text("rev-parse", "--verify", ref, attempt=attempt)

    def _fetch(self, ref: str, attempt: str) -> None:
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        self._git.run("fetch", *flags, "--", self.url, f"+{ref}:{ref}", attempt=attempt)

    def read(self, commit: str, folder: str = "") -> Callable[[str], bytes | None]:
        """A reader of the files of a fetched commit: path below ``folder`` to content, None where there is no file."""

        def content(path: str) -> bytes | None:
            entry = self._trees.entry(commit, f"{folder}/{path}" if folder else path)
            if entry is None or not entry.mode.startswith("100"):
                return None
            return self._trees.contents([entry.object_id])[entry.object_id]

        return content

    def files(self, commit: str, prefix: str) -> tuple[File, ...]:
        """Every file of a fetched commit at or below ``prefix``, with its content."""
        return self._trees.files(commit, prefix)

    def object_id(self, commit: str, path: str) -> str | None:
        """What git calls the content of ``path``, whole folders included: equal ids are equal contents."""
        entry = self._trees.entry(commit, path)
        return entry.object_id if entry else None

    def describe(self, commit: str, since: str | None = None) -> Description:
        """A fetched commit, and how many lines changed ``since``: another commit, or its first parent."""
        attempt = f"describing {commit[:12]}"
        out = self._git.text("show", "-s", "--format=%H%x00%s%x00%an <%ae>%x00%ct%x00%P", commit, attempt=attempt)
        full, subject, author, at, parents = out.split("\0")
        before = since or (parents.split() or [EMPTY_TREE])[0]
        flags = ("--numstat", "-r", "-z", "--no-renames")
        numbers = records(self._git.run("diff-tree", *flags, before, full, attempt=attempt).out)
        lines = sum(int(count) for line in numbers for count in line.split("\t")[:2] if count != "-")
        return Description(full, subject, author, float(at), tuple(parents.split()), lines)

    def last_before(self, bad: str, good: str, holds: Callable[[str], bool]) -> str:
        """The newest commit of the branch, before ``bad`` and not before ``good``, for which ``holds`` is true.

        What came between for other applications is in it: a reversal that restores from there leaves that alone.
        """
        walk = ("rev-list", "--first-parent", f"--max-count={LOOK_BACK}", f"{bad}^", f"^{good}")
        between = self._git.text(*walk, attempt=f"reading what came between {good[:12]} and {bad[:12]}")
        return next((commit for commit in between.splitlines() if holds(commit)), good)

    def contains(self, branch: str, trailer: str) -> bool:
        """Whether any commit of the branch, as the server has it now, carries ``trailer``, written ``Key: value``."""
        return self._commit_with(self.fetch(branch), trailer) is not None

    def _commit_with(self, tip: str, trailer: str) -> str | None:
        key, _, value = trailer.partition(": ")
        form = f"--format=%H%x00%(trailers:key={key},valueonly,separator=%x1f)"
        asked = ("log", "--fixed-strings", f"--grep={trailer}", form, tip)
        for line in self._git.text(*asked, attempt=f"searching {tip[:12]} for {trailer}").splitlines():
            commit, _, values = line.partition("\0")
            if value in values.split("\x1f"):
                return commit
        return None

    # ---- writing --------------------------------------------------------------------------------------------------

    def revert(self, reversal: Reversal) -> Reverted | NotNeeded:
        """Take what did harm out of the branch, once, if its tip still has it."""
        attempt = f"reverting {reversal.rollout} on {reversal.branch} of {self._place}"
        text = revert_message(reversal)

        def make(tip: str) -> str | NotNeeded:
            earlier = self._commit_with(tip, f"{ROLLOUT}: {reversal.rollout}")
            if earlier:
                return NotNeeded(f"{earlier[:12]} on {reversal.branch} has reverted {reversal.rollout} already.")
            grafts: dict[str, tuple[Entry, ...]] = {}
            reasons = []
            for suspect in reversal.suspects:
                found = restored(self._trees, reversal, suspect, tip, attempt)
                if isinstance(found, NotNeeded):
                    reasons.append(found.why)
                else:
                    grafts |= found
            if not grafts:
                return NotNeeded(" ".join(reasons) or "The rollout changed no application.")
            return self._commit(self._trees.grafted(tip, grafts), (tip,), text, self.signing, attempt)

        made = self._publish(reversal.branch, make, attempt)
        return made if isinstance(made, NotNeeded) else Reverted(made, text)

    def signed(self, commit: str, allowed: str) -> bool:
        """Whether a fetched commit is signed by one of ``allowed``, the lines of an allowed_signers file."""
        attempt = f"verifying the signature of {commit[:12]}"
        program = self.signing.program if self.signing is not None else "ssh-keygen"
        with tempfile.NamedTemporaryFile("w", prefix="signers-") as file:
            file.write(allowed)
            file.flush()
            config = ("-c", f"gpg.ssh.allowedSignersFile={file.name}", "-c", f"gpg.ssh.program={program}")
            return self._git.ask(*config, "verify-commit", commit, attempt=attempt).code == 0

    def promote(
        self, source_branch: str, target_branch: str, owned: Collection[str], key: CommitKey | None = None
    ) -> Promoted | NotNeeded:
        """Bring the source's tree to the target, which keeps the ``owned`` paths as it has them.

        Never a three-way merge: after a revert that would silently leave out the feature that was reverted.
        """
        attempt = f"promoting {source_branch} to {target_branch} of {self._place}"
        source = self.fetch(source_branch)
        text = promote_message(source_branch, source, target_branch, self.describe(source).subject)

        def make(tip: str) -> str | NotNeeded:
            tree = self._trees.grafted(source, {path: self._trees.entries(tip, path) for path in owned})
            if tree == self._trees.tree(tip):
                return NotNeeded(f"{target_branch} already has everything that {source_branch} has.")
            return self._commit(tree, (tip, source), text, key, attempt)

        made = self._publish(target_branch, make, attempt)
        return made if isinstance(made, NotNeeded) else Promoted(made, source, text)

    def restore(
        self, branch: str, paths: Mapping[str, str], text: str, fits: Callable[[str, str], str | None]
    ) -> Restored | NotNeeded:
        """Put ``paths``, each with the commit it is taken from, onto the branch's tip.

        ``fits`` is asked of the commit that would be pushed and of the tip, and says why it must not be.
        Raises Refused with that reason; nothing is pushed then.
        """
        attempt = f"restoring {', '.join(paths)} on {branch} of {self._place}"

        def make(tip: str) -> str | NotNeeded:
            grafts = {path: self._trees.entries(commit, path) for path, commit in paths.items()}
            made = self._commit(self._trees.grafted(tip, grafts), (tip,), text, self.signing, attempt)
            if self._trees.tree(made) == self._trees.tree(tip):
                return NotNeeded(f"{branch} already holds exactly that.")
            if (unfit := fits(made, tip)) is not None:
                raise Refused(attempt, unfit, "Bring the settings back by hand, in a commit of your own.")
            return made

        made = self._publish(branch, make, attempt)
        return made if isinstance(made, NotNeeded) else Restored(made, text)

    def note(self, commit: str, text: str) -> None:
        """Add a paragraph to the commit's note, unless it stands there already."""
        attempt = f"writing a note on {commit[:12]} of {self._place}"
        paragraph = text.strip()
        with self._one_at_a_time:
            for _ in range(TRIES):
                seen = self._notes_there(attempt)
                notes = ("notes", f"--ref={NOTES}")
                so_far = self._git.ask(*notes, "show", commit, attempt=attempt).out.decode("utf-8", "replace")
                if f"\n\n{paragraph}\n\n" in f"\n\n{so_far.strip()}\n\n":
                    return
                self._git.run(*notes, "append", "-F", "-", commit, attempt=attempt, stdin=f"{paragraph}\n".encode())
                try:
                    self._push(NOTES, NOTES, seen, attempt)
                    return
                except StaleLease:
                    continue
        raise self._too_slow("the notes", attempt)

    def _notes_there(self, attempt: str) -> str:
        """Bring the server's notes into the mirror; where they stood, "" if there are none yet."""
        seen = self._git.text("ls-remote", "--", self.url, NOTES, attempt=attempt).partition("\t")[0]
        if seen:
            self._fetch(NOTES, attempt)
            return self._git.text("rev-parse", NOTES, attempt=attempt)
        self._git.run("update-ref", "-d", NOTES, attempt=attempt)
        return ""

    def _publish(self, branch: str, make: Callable[[str], str | NotNeeded], attempt: str) -> str | NotNeeded:
        """Push the commit that ``make`` puts on the branch's tip; fetch and ask it again where the tip has moved."""
        with self._one_at_a_time:
            for _ in range(TRIES):
                tip = self.fetch(branch)
                made = make(tip)
                if isinstance(made, NotNeeded):
                    return made
                try:
                    self._push(made, f"refs/heads/{branch}", tip, attempt)
                    return made
                except StaleLease:
                    continue
        raise self._too_slow(branch, attempt)

    def _push(self, what: str, ref: str, seen: str, attempt: str) -> None:
        """What is pushed has ``seen`` as its parent, so that with this lease it can only move the branch forward."""
        lease = f"--force-with-lease={ref}:{seen}"
        self._git.run("push", "--porcelain", "--quiet", lease, "--", self.url, f"{what}:{ref}", attempt=attempt)

    def _commit(self, tree: str, parents: tuple[str, ...], text: str, key: CommitKey | None, attempt: str) -> str:
        config = key.git_config() if key else ()
        sign = ("-S",) if key else ()
        onto = [word for parent in parents for word in ("-p", parent)]
        command = (*config, "commit-tree", *sign, *onto, "-F", "-", tree)
        return self._git.run(*command, attempt=attempt, stdin=text.encode()).out.decode().strip()

    def _too_slow(self, what: str, attempt: str) -> Conflict:
        return Conflict(attempt, f"others moved {what} {TRIES} times meanwhile", "It is tried again.")
