"""Watching one environment's branch: which commit is its head, and what that commit wants, built and ready to stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor

from controller.errors import Refused, Trouble
from controller.model import Release
from controller.ports import Artifacts, Clock, Source
from controller.rollout.rows import Body
from controller.rollout.standing import Blocked
from environments import BadEnvironment, Environment

REFUSED_AGAIN = 30.0
"""Seconds after which a head that could not be released is read once more: not everything that says no means it."""
LATE, SKEW = 86400.0, 60.0
"""Of a commit that is older than the one or newer than the other when it is seen, nobody can say how quick that was."""

Post = Callable[[Callable[[], None]], None]
PATIENCE = 30.0
"""Seconds that a source may be silent before the ledger hears of it: most silences are shorter."""


class Branch:
    """Polls the source in a pool thread; ``post`` hands what it said to the loop's own thread."""

    def __init__(self, source: Source, artifacts: Artifacts, pool: Executor, clock: Clock, post: Post) -> None:
        self._source, self._artifacts, self._pool, self._clock, self._post = source, artifacts, pool, clock, post
        self._asking = False
        self._asked_at = float("-inf")
        self._refused_at = float("-inf")
        self._head: str | None = None
        self.missing = False
        """Whether the repository answers and has no such branch: then nobody asks for anything."""
        self.release: Release | None = None
        """What the newest commit that can be released wants."""
        self.trouble: str | None = None
        """Why the newest asking failed; None while the source answers."""
        self._since = {"source": 0.0, "head": 0.0, "branch": 0.0}
        """UTC since when each of these is as it is."""
        self.refused: str | None = None
        """Why the head itself cannot be released."""
        self.answered = 0

    def hurry(self) -> None:
        """A hint came: ask at the next turn."""
        self._asked_at = float("-inf")

    def again(self) -> None:
        """A node refused what was built: read the newest commit once more, and build what is damaged of it."""
        self._head = None

    @property
    def head(self) -> str | None:
        """The branch's commit as it was last read, whether it can be released or not."""
        return self._head

    def ask(self, environment: Environment) -> None:
        """Ask the source, unless it is being asked or was asked less than ``poll_seconds`` ago."""
        now = self._clock.now()
        if self._asking or now - self._asked_at < environment.poll_seconds:
            return
        self._asking, self._asked_at = True, now
        again = self.refused is not None and now - self._refused_at >= REFUSED_AGAIN
        self._pool.submit(self._work, environment, None if again else self._head)

    def due(self, environment: Environment) -> float:
        """When the source is to be asked again; never, while it is being asked: then its answer is heard."""
        return float("inf") if self._asking else self._asked_at + environment.poll_seconds

    def _work(self, environment: Environment, known: str | None) -> None:
        head, release, refused, trouble = None, None, None, None
        try:
            head = self._source.heads().get(environment.branch)
            if head is not None and head != known:
                release = self._source.release(environment, head)
                for wanted in release.apps.values():
                    self._artifacts.ensure(wanted)
        except (Trouble, BadEnvironment) as no:
            release = None
            if head is not None and isinstance(no, Refused | BadEnvironment):
                refused = unreleasable(environment.branch, head, no)
            else:
                head, trouble = None, str(no)
        except Exception as broke:  # whatever it is, the branch must be asked again
            head, release, trouble = None, None, f"reading {environment.branch} broke: {broke!r}"
        self._post(lambda: self._said(head, release, refused, trouble))

    def blocked(self, name: str, known: Mapping[str, Blocked]) -> Iterator[Body]:
        """The rows that bring ``known``, which the ledger has, to how it is: one when it begins, one when it is over.

        Before the source has answered this controller nobody can say that something is over.
        """
        silent = self.trouble is not None and self._clock.utc() - self._since["source"] >= PATIENCE
        now = {
            "source": (self.trouble if silent or "source" in known else None, None),
            "head": (self.refused, self._head),
            "branch": (absent(name) if self.missing else None, None),
        }
        for about, (why, commit) in now.items():
            before = known.get(about)
            if why is not None and (before is None or before.commit != commit):
                yield {"about": about, "commit": commit, "since": self._since[about], "why": why}
            elif why is None and before is not None and self.answered:
                yield {"about": about, "commit": before.commit, "since": self._since[about], "why": None}

    def _said(self, head: str | None, release: Release | None, refused: str | None, trouble: str | None) -> None:
        self._asking = False
        if (trouble is None) != (self.trouble is None):
            self._since["source"] = self._clock.utc()
        self.trouble = trouble
        if trouble is not None:
            return
        self.answered += 1
        if self.missing != (head is None):
            self._since["branch"] = self._clock.utc()
        self.missing = head is None
        if head != self._head:
            self._since["head"] = self._clock.utc()
        if head is None:
            self.release = self.refused = self._head = None
            return
        if release is not None:
            self.release, self.refused = release, None
        if refused is not None:
            self.refused, self._refused_at = refused, self._clock.now()
        self._head = head


def absent(branch: str) -> str:
    return f"The repository has no branch {branch} any more: nothing changes here until somebody pushes it."


def unreleasable(branch: str, commit: str, no: Exception) -> str:
    """The sentence on a commit that asks for what cannot be released; what ``no`` says may take several lines."""
    return f"The head of {branch}, {commit[:7]}, cannot be released: {no}"


def seen_after(committed_at: float, utc: float) -> float | None:
    """How long a commit waited to be seen; None where its date is the future or long past, so that nobody can say."""
    waited = utc - committed_at
    return max(0.0, waited) if -SKEW <= waited <= LATE else None


def seen_body(release: Release, utc: float) -> Body:
    return {
        "commit": release.commit,
        "subject": release.subject,
        "committed_at": release.committed_at,
        "seen_s": seen_after(release.committed_at, utc),
        "apps": {app: wanted.digest for app, wanted in release.apps.items()},
    }
