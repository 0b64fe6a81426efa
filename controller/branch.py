"""Watching one environment's branch: which commit is its head, and what that commit wants, built and ready to stage."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from controller.errors import Refused, Trouble
from controller.model import Release
from controller.ports import Artifacts, Clock, Source
from environments import BadEnvironment, Environment

Post = Callable[[Callable[[], None]], None]


class Branch:
    """Polls the source in a pool thread; ``post`` hands what it said to the loop's own thread."""

    def __init__(self, source: Source, artifacts: Artifacts, pool: Executor, clock: Clock, post: Post) -> None:
        self._source, self._artifacts, self._pool, self._clock, self._post = source, artifacts, pool, clock, post
        self._asking = False
        self._asked_at = float("-inf")
        self._head: str | None = None
        self.missing = False
        """Whether the repository answers and has no such branch: then nobody asks for anything."""
        self.release: Release | None = None
        """What the newest commit that can be released wants."""
        self.trouble: str | None = None
        """Why the newest asking failed; None while the source answers."""
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
        self._pool.submit(self._work, environment, self._head)

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
                refused = f"Commit {head[:7]} cannot be released: {no}"
            else:
                head, trouble = None, str(no)
        except Exception as broke:  # whatever it is, the branch must be asked again
            head, release, trouble = None, None, f"reading {environment.branch} broke: {broke!r}"
        self._post(lambda: self._said(head, release, refused, trouble))

    def _said(self, head: str | None, release: Release | None, refused: str | None, trouble: str | None) -> None:
        self._asking = False
        self.trouble = trouble
        if trouble is not None:
            return
        self.answered += 1
        self.missing = head is None
        if head is None:
            self.release = self.refused = self._head = None
            return
        if release is not None:
            self.release, self.refused = release, None
        if refused is not None:
            self.refused = refused
        self._head = head
