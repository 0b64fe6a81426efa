"""What git knows and what is written to it, as values; and the words of the commits that the controller makes.

Pure. How the values get into and out of a repository is in ``git`` and ``trees``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

WIDTH = 72
ROLLOUT = "Turnabout-Rollout"
VERDICT = "Turnabout-Verdict"
QUARANTINE = "Turnabout-Quarantine"
PROMOTED = "Turnabout-Promoted"
RESTORED = "Turnabout-Restored"

Trailer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Description:
    """A commit as people speak of it. ``changed_lines`` counts added and removed lines since what was asked."""

    commit: str
    subject: str
    author: str
    committed_at: float
    """Seconds since 1970."""
    parents: tuple[str, ...]
    changed_lines: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """One application of a rollout that goes back, and the paths that made its release what it is.

    ``paths`` are its folder and, when its settings changed, the environment's files. ``good`` is the newest commit on
    the branch that still wanted last good for this application, None if there was never one.
    """

    app: str
    artifact_digest: str
    config_digest: str
    paths: tuple[str, ...]
    good: str | None


@dataclass(frozen=True, slots=True)
class Reversal:
    """The wish that ``branch`` no longer asks for what ``bad`` brought."""

    branch: str
    rollout: str
    """The rollout's token, ``prod-r41``: a branch is reverted at most once for it."""
    bad: str
    suspects: tuple[Suspect, ...]
    subject: str
    """The subject of ``bad``."""
    why: str
    verdict: str = ""
    trailers: tuple[Trailer, ...] = ()
    carries: Callable[[str, str], bool] | None = None
    """Whether a commit, asked first, still wants the bad release of an app, asked second; None compares contents."""


@dataclass(frozen=True, slots=True)
class Reverted:
    commit: str
    message: str


@dataclass(frozen=True, slots=True)
class Promoted:
    commit: str
    source: str
    message: str
    infrastructure: str | None = None
    """The commit before it, where infrastructure changed as well."""


@dataclass(frozen=True, slots=True)
class Restored:
    commit: str
    message: str


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """Nothing was written, and that is right."""

    why: str


def revert_message(reversal: Reversal) -> str:
    """The whole message of a revert commit: what, why, and trailers for machines."""
    trailers = [(ROLLOUT, reversal.rollout)]
    if reversal.verdict:
        trailers.append((VERDICT, reversal.verdict))
    trailers += [
        (QUARANTINE, f"{suspect.app} {suspect.artifact_digest} config {suspect.config_digest}")
        for suspect in reversal.suspects
    ]
    return message(revert_subject(reversal.subject), reversal.why, (*trailers, *reversal.trailers))


def revert_subject(subject: str) -> str:
    """``Revert "<subject>"``, cut so that the line has at most 72 characters."""
    room = WIDTH - len('Revert ""')
    one = one_line(subject)
    return f'Revert "{one if len(one) <= room else one[: room - 1].rstrip() + "…"}"'


def aside_branch(rollout: str) -> str:
    """Where the revert of a rollout, by its token, waits for people when the branch is protected."""
    return f"turnabout/revert-{rollout}"


def promote_message(
    source_branch: str, source: str, target_branch: str, subject: str, infrastructure: bool = False
) -> str:
    """The whole message of a promotion, or of the commit that brings its infrastructure first."""
    body = f"{source_branch} runs {source[:12]} ({one_line(subject)}); {target_branch} keeps its own files."
    if infrastructure:
        body += " The applications follow in the next commit."
    what = "infrastructure of " if infrastructure else ""
    head = f"Promote {what}{source_branch} {source[:12]} to {target_branch}"
    return message(head, body, ((PROMOTED, f"{source_branch} {source}"),))


def restore_message(environment: str, commit: str, subject: str, why: str, releases: tuple[str, ...]) -> str:
    """The message of a commit that brings earlier releases back, each spelled as in a revert's trailers."""
    head = f"Revert {environment} to {commit[:12]}"
    return message(head, f"{why} It ran before ({one_line(subject)}).", tuple((RESTORED, each) for each in releases))


def message(subject: str, body: str, trailers: tuple[Trailer, ...]) -> str:
    """A commit message. The body is one wrapped paragraph, so that nothing in it can pass for a trailer."""
    wrapped = textwrap.fill(one_line(body), WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = "\n".join(f"{key}: {one_line(value)}" for key, value in trailers)
    return "\n\n".join(part for part in (one_line(subject), wrapped, lines) if part) + "\n"


def one_line(text: str) -> str:
    return " ".join(text.split())
