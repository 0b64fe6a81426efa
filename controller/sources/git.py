"""A git repository as the source of releases: what its branches want, and what the controller writes back to it.

Reading is one ``ls-remote`` for all heads and a fetch into a bare mirror; contents come from the mirror's objects.
Writing is four things, each a commit made without a work tree and pushed with the lease of what was seen: the revert of
a release that did harm, the promotion of one branch's tree to another, an earlier release brought back, and notes.
Somebody else may always be first; then everything is fetched and decided again, a few times. A revert that a protected
branch refuses is pushed to a branch of its own, once. Which reversal is wanted, and when, is the loop's matter.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from controller.errors import Conflict, Refused, SetAside
from controller.keys import CommitKey
from controller.sources import openpgp
from controller.sources.commits import (
    ROLLOUT,
    Description,
    NotNeeded,
    Promoted,
    Restored,
    Reversal,
    Reverted,
    aside_branch,
    promote_message,
    revert_message,
)
from controller.sources.gitcli import SSH, Git, Protected, StaleLease, environment, shown
from controller.sources.history import History
from controller.sources.promotion import promoted
from controller.sources.restore import restored
from controller.sources.signers import openpgp_keys, ssh_lines
from controller.sources.trees import Entry, File, Trees

NOTES = "refs/notes/turnabout"
TRIES = 5
"""How often somebody else may be first before it is left for the next time."""

Make = Callable[[str], str | NotNeeded]
"""Makes the commit that follows the tip it is given, or says why none is needed."""


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
        self._trees, self.history = Trees(self._git), History(self._git)
        self._one_at_a_time = threading.RLock()  # git's own locks would make the second fail instead of wait
        self._place = shown(url)
        if not (mirror / "HEAD").exists():
            mirror.mkdir(parents=True, exist_ok=True)
            self._git.run("init", "--quiet", "--bare", "--template=", attempt=f"making the mirror {mirror}")
        # What was promoted is needed when a forced push has taken it off every branch, however long that is ago.
        self._git.run("config", "gc.pruneExpire", "never", attempt=f"setting up the mirror {mirror}")

    # ---- reading --------------------------------------------------------------------------------------------------

    def heads(self) -> dict[str, str]:
        """Branch to commit, asked of the server."""
        lines = self._git.text("ls-remote", "--heads", "--", self.url, attempt=f"asking {self._place} for its branches")
        pairs = (line.split("\t", 1) for line in lines.splitlines())
        return {ref.removeprefix("refs/heads/"): commit for commit, ref in pairs}

    def fetch(self, branch: str, seen: str = "") -> str:
        """Bring a branch into the mirror; its commit. Raises Conflict where the one ``seen`` on it did not come."""
        ref, attempt = f"refs/heads/{branch}", f"fetching {branch} from {self._place}"
        with self._one_at_a_time:
            self._fetch(ref, attempt)
            commit = self._git.text("rev-parse", "--verify", ref, attempt=attempt)
        if seen and seen != commit and not self.has(seen):
            said = f"{branch} was set to another commit meanwhile, by force"
            raise Conflict(f"reading commit {seen[:7]}", said, "That one is read next.")
        return commit

    def _fetch(self, ref: str, attempt: str, to: str = "") -> None:
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        self._git.run("fetch", *flags, "--", self.url, f"+{ref}:{to or ref}", attempt=attempt)

    def bring(self, commit: str, branch: str) -> None:
        """Have a commit in a mirror that was lost: from its branch, or by itself if no branch leads to it any more."""
        if self.has(commit):
            return
        with suppress(Refused):  # the branch may be gone
            self.fetch(branch)
        if not self.has(commit):
            attempt = f"fetching commit {commit[:12]} from {self._place}"
            self._fetch(commit, attempt, f"refs/turnabout/{commit}")

    def has(self, commit: str) -> bool:
        """Whether the mirror has the commit."""
        asked = ("cat-file", "-e", f"{commit}^{{commit}}")
        return self._git.ask(*asked, attempt=f"looking for {commit[:12]}").code == 0

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
        return self.history.describe(commit, since)

    def last_before(self, bad: str, good: str, holds: Callable[[str], bool]) -> str:
        """The newest commit of the branch, before ``bad`` and not before ``good``, for which ``holds`` is true.

        What came between for other applications is in it: a reversal that restores from there leaves that alone.
        """
        for step in self.history.steps(bad):
            if step.commit == good or (step.commit != bad and holds(step.commit)):
                return step.commit
        return good

    def contains(self, branch: str, trailer: str) -> bool:
        """Whether any commit of the branch, as the server has it now, carries ``trailer``, written ``Key: value``."""
        return self.history.commit_with(self.fetch(branch), trailer) is not None

    # ---- writing --------------------------------------------------------------------------------------------------

    def revert(self, reversal: Reversal) -> Reverted | NotNeeded:
        """Take what did harm out of the branch, once, if its tip still has it."""
        attempt = f"reverting {reversal.rollout} on {reversal.branch} of {self._place}"
        text = revert_message(reversal)

        def make(tip: str) -> str | NotNeeded:
            earlier = self.history.commit_with(tip, f"{ROLLOUT}: {reversal.rollout}")
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

        try:
            made = self._publish(reversal.branch, make, attempt)
        except Protected as no:
            raise self._set_aside(no, reversal.branch, aside_branch(reversal.rollout), make, attempt) from None
        return made if isinstance(made, NotNeeded) else Reverted(made, text)

    def _set_aside(
        self, no: Protected, branch: str, aside: str, make: Make, attempt: str, anew: bool = False
    ) -> SetAside:
        """Push what a branch refused to one of its own; what is there already is people's, unless it is made anew."""
        made = there = self.heads().get(aside, "")
        if anew or not there:
            commit = make(self._git.text("rev-parse", "--verify", f"refs/heads/{branch}", attempt=attempt))
            assert isinstance(commit, str)  # on this very tip one was made just now
            self._push(commit, f"refs/heads/{aside}", there, f"{attempt}, on {aside} because {no.said}")
            made = commit
        said = f"{no.said}, so it waits as {made[:7]} on the branch {aside}"
        return SetAside(attempt, said, f"Merge that branch into {branch}, by a pull request.", aside, made)

    def signed(self, commit: str, allowed: str) -> bool:
        """Whether a fetched commit is signed by one of ``allowed``, the lines of a signers file.

        By nobody else: git believes whatever the programs believe that it asks, so it may ask only ours.
        """
        attempt = f"verifying the signature of {commit[:12]}"
        nobody = ("-c", "gpg.program=false", "-c", "gpg.x509.program=false")
        if openpgp.is_signed(self._git.run("cat-file", "commit", commit, attempt=attempt).out):
            keys = openpgp_keys(allowed)
            if not keys:
                return False
            with openpgp.keyring(keys, attempt) as (gpg, home):
                verify = (*nobody, "-c", f"gpg.program={gpg}", "verify-commit", commit)
                return self._git.ask(*verify, attempt=attempt, env={"GNUPGHOME": str(home)}).code == 0
        program = self.signing.program if self.signing is not None else "ssh-keygen"
        with tempfile.NamedTemporaryFile("w", prefix="signers-") as file:
            file.write(ssh_lines(allowed))
            file.flush()
            config = ("-c", f"gpg.ssh.allowedSignersFile={file.name}", "-c", f"gpg.ssh.program={program}")
            return self._git.ask(*nobody, *config, "verify-commit", commit, attempt=attempt).code == 0

    def promote(
        self, source_branch: str, target_branch: str, owned: Collection[str], key: CommitKey | None = None
    ) -> Promoted | NotNeeded:
        """Bring the source's tree to the target, which keeps the ``owned`` paths as it has them.

        Never a three-way merge: after a revert that would silently leave out the feature that was reverted.
        """
        attempt = f"promoting {source_branch} to {target_branch} of {self._place}"
        source = self.fetch(source_branch)
        subject = self.describe(source).subject
        text, first_text = (promote_message(source_branch, source, target_branch, subject, infrastructure=first)
                            for first in (False, True))  # fmt: skip
        first: list[str] = []

        def make(tip: str) -> str | NotNeeded:
            trees = promoted(self._trees, self.history, source, tip, owned)
            if not trees:
                return NotNeeded(f"{target_branch} already has everything that {source_branch} has.")
            first[:] = [self._commit(tree, (tip,), first_text, key, attempt) for tree in trees[:-1]]
            return self._commit(trees[-1], (*(first or [tip]), source), text, key, attempt)

        try:
            made = self._publish(target_branch, make, attempt)
        except Protected as no:
            aside = f"turnabout/promote-{source_branch}-to-{target_branch}"
            raise self._set_aside(no, target_branch, aside, make, attempt, anew=True) from None
        return made if isinstance(made, NotNeeded) else Promoted(made, source, text, first[0] if first else None)

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

    def _publish(self, branch: str, make: Make, attempt: str) -> str | NotNeeded:
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
        """What goes to a branch of people's has ``seen`` as its parent: with this lease it can only move forward."""
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
