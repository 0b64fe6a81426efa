"""The git command line: a fixed environment, a time limit on every call, and failures sorted by who must act.

Each call is a process group of its own, which is ended whole when its time is up: git leaves the network to children
(ssh, git-remote-https), and one of them that hangs must not outlive the call. What the calls are for is ``git``'s.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from controller.errors import Conflict, Refused, Trouble, Unreachable

SSH = "ssh -oBatchMode=yes -oConnectTimeout=10"
AGAIN = "It is tried again; look whether the server and the way to it work."
GRACE = 0.5
"""Seconds between asking git to end, so that it removes its lock files, and ending it."""


class StaleLease(Refused):
    """The reference is no longer where it was seen: fetch, and decide again."""


class Protected(Refused):
    """The server lets nobody, or not us, push to this branch."""


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: bytes
    err: str


def environment(ssh: str = SSH) -> dict[str, str]:
    """What git may know of this machine: nothing that somebody configured for themselves, and nobody to ask."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": ssh,
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
    }


@dataclass(frozen=True, slots=True)
class Git:
    """Calls of git in one repository. Every failure is a Trouble that says what ``attempt`` was being made."""

    repository: Path
    seconds: float = 10.0
    env: Mapping[str, str] = field(default_factory=environment)

    def run(
        self,
        *argv: str,
        attempt: str,
        stdin: bytes = b"",
        fine: Collection[int] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """git's answer. Raises Unreachable, Refused or Conflict when its exit code is not among ``fine``."""
        answer = self.ask(*argv, attempt=attempt, stdin=stdin, env=env)
        if answer.code not in fine:
            raise trouble(attempt, answer)
        return answer

    def text(self, *argv: str, attempt: str) -> str:
        return self.run(*argv, attempt=attempt).out.decode("utf-8", "replace").strip()

    def ask(self, *argv: str, attempt: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer:
        """Like ``run``, but any exit code is an answer."""
        command = ["git", "--no-pager", "-c", "core.hooksPath=/dev/null", f"--git-dir={self.repository}", *argv]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self.env, **(env or {})},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise Refused(attempt, "git is not on PATH", "Install git 2.34 or later.") from None
        try:
            out, err = process.communicate(stdin, self.seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise Unreachable(attempt, f"no answer within {self.seconds:g} s", AGAIN) from None
        except BaseException:
            _end(process)
            raise
        return Answer(process.returncode, out, err.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a call and all that it started. Its group still has its number: its leader has not been waited for."""
    for sign, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)
            return


# ---- what git said ------------------------------------------------------------------------------------------------

KINDS: tuple[tuple[type[Trouble], str, str, str], ...] = (
    # kind, pattern in what git said, what it means, what to do
    (StaleLease, r"stale info|non-fast-forward|fetch first|incorrect old value|cannot lock ref '|failed to update ref",
     "somebody else moved it first", "Fetch, and decide again."),
    (Unreachable, r"unpacker error|unable to create temporary object directory|remote unpack failed",
     "the server could not store it", "Look whether its disk is full; it is tried again."),
    (Protected, r"[Pp]rotected branch|GH006|GH013|pre-receive hook declined|push declined|through pull requests",
     "the server protects this branch", "Let the controller's key push to it, or merge the change by a pull request."),
    (Refused, r"\[(?:remote )?rejected\]", "the server rejected the push", "See what it said, and push again."),
    (Refused, r"Permission denied|Authentication failed|could not read Username|access denied|error: 40[13]",
     "the server does not let us in", "Check the URL, and that the controller's key may read and push there."),
    (Refused, r"Host key verification failed",
     "the server's key is not known", "Add it to known_hosts, then try again."),
    (Refused, r"[Rr]epository not found|not appear to be a git repository|error: 404|not exported",
     "there is no such repository", "Check the URL of the repository."),
    (Refused, r"service not enabled", "the server takes no pushes", "Enable receive-pack at the server."),
    (Refused, r"couldn't find remote ref", "the server has no such branch", "Create the branch, or correct its name."),
    (Refused, r"not our ref",
     "the server has no such commit", "Push it to a branch of any name, from a clone that has it."),
    (Unreachable, r"unable to connect|Could ?n[o']t (?:resolve|connect)|Connection (?:refused|reset|timed out|closed)|"
     r"Failed to connect|hung up|early EOF|unable to access|unexpected disconnect|No route|Network is unreachable|"
     r"unable to look up|Broken pipe|Could not read from remote|index-pack failed",
     "the server does not answer", AGAIN),
    (Unreachable, r"No space left on device|Disk quota exceeded",
     "the mirror has no room", "Free the controller's disk; it is tried again."),
    (Refused, r"Not a valid object name|not a tree object|bad object|unknown revision",
     "the mirror has no such commit", "Fetch its branch first."),
    (Conflict, r"\.lock': File exists|Unable to create '[^']*\.lock'",
     "another git holds a lock in the mirror", "Wait for it; if none runs, one was killed: remove the lock file."),
)  # fmt: skip


def trouble(attempt: str, answer: Answer) -> Trouble:
    """What went wrong, sorted by who must act."""
    said = answer.err
    if b"rejected]" in answer.out:  # a push says per branch what became of it, on stdout; not who pushed which commit
        said += "\n" + re.sub(r"(?m)^!\t[0-9a-f]+:", "! ", answer.out.decode("utf-8", "replace"))
    for kind, pattern, meaning, remedy in KINDS:
        if re.search(pattern, said):
            return kind(attempt, f"{meaning} ({folded(said)})", remedy)
    return Refused(attempt, f"git ended with {answer.code} ({folded(said)})", "See what git said.")


def folded(said: str) -> str:
    """What git said in one line, without the words it adds for people at a terminal, and without a password."""
    lines = [line.strip() for line in said.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("hint:", "Please make sure", "and the repository"))]
    return "git: " + shown("; ".join(kept) or "nothing")[:600]


def shown(url: str) -> str:
    """A URL as it may be read by anybody: without the name and password that it may carry."""
    return re.sub(r"://[^/@\s]+@", "://", url)


def records(out: bytes) -> Iterator[str]:
    """The records of a ``-z`` answer. Names are bytes to git: what is no UTF-8 survives the way there and back."""
    return (record.decode("utf-8", "surrogateescape") for record in out.split(b"\0") if record)
