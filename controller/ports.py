"""What the loop needs from the outside, as small protocols. Plugins implement them; a fake for tests is a plugin too.

Every method may block for as long as its timeout and is called from a pool thread, never from the loop's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.judge.samples import Telemetry
from controller.model import Action, AppRelease, Check, NodeView, Release, Rollout, Synthetic
from controller.rollout.rows import Body, Row
from environments import Environment


@dataclass(frozen=True, slots=True)
class Ran:
    """A command ran to its end on a node."""

    code: int
    out: bytes


class Transport(Protocol):
    """How commands reach a node."""

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        """Run ``argv`` on ``node``. Raises Unreachable when it is unknown whether it ran: read back then."""
        ...


class Fleet(Protocol):
    """The nodes of one environment: commanded one by one, observed by pull."""

    def observe(self, node: str) -> Telemetry:
        """What ``node`` is, counted and measured. Raises Unreachable."""
        ...

    def act(self, action: Action, generation: int) -> NodeView | None:
        """Do one action; the node's state after it, if it said so. Raises Unreachable or Refused."""
        ...

    def probe(self, node: str, app: str) -> bool:
        """Whether the application's round trip works on ``node``, tried from outside it. Raises Unreachable."""
        ...

    def last_words(self, node: str, digest: str) -> tuple[str, ...]:
        """The last lines that a release wrote to its log on ``node``. Raises Unreachable."""
        ...


class Source(Protocol):
    """The repository whose environment branches say what should run."""

    def heads(self) -> Mapping[str, str]:
        """Branch to commit, asked of the server. Raises Unreachable."""
        ...

    def release(self, environment: Environment, commit: str) -> Release:
        """What ``commit`` wants to run there. Raises Unreachable, Refused (a commit that cannot be released)."""
        ...

    def policy(self, name: str, commit: str) -> Environment:
        """Put in force what ``commit`` states: rules, and who may sign. Raises Unreachable, Refused, BadEnvironment."""
        ...

    def revert(self, rollout: Rollout, branch: str) -> tuple[str | None, str]:
        """Push the revert commit: (commit, its message), or (None, why none is needed). Raises Unreachable, Refused."""
        ...

    def note(self, commit: str, text: str) -> None:
        """Attach a verdict to a commit. Raises Unreachable, Refused."""
        ...


class Artifacts(Protocol):
    """Built releases by digest: built once, promoted as the same bits."""

    def ensure(self, release: AppRelease) -> object:
        """Have it built and signed. Raises Refused when it cannot be built."""
        ...

    def checks(self, digest: str) -> tuple[Check, ...]:
        """The checks that a built release states."""
        ...

    def synthetic(self, digest: str) -> Synthetic:
        """Where a built release may be asked by the controller itself."""
        ...


class Shelf(Protocol):
    """Where a node that is new finds what is promoted, before it runs for the first time."""

    apps: tuple[str, ...]
    """The applications whose new nodes look there."""

    def hold(self, app: str, good: AppRelease | None, previous: AppRelease | None, generation: int) -> bool:
        """Have new nodes of ``app`` find these two from now on; whether they found others until now.

        Doing it again changes nothing. Raises Unreachable, Refused (also when a newer generation has been there).
        """
        ...


class Crowd(Protocol):
    """Synthetic users of the fleets, for environments that too few real ones use to judge a release by."""

    def drive(self, wanted: Mapping[str, tuple[Synthetic, float]]) -> None:
        """Application to where it is asked, and how often a second; what is not named is not asked. Never blocks."""
        ...


class Metrics(Protocol):
    """Servers outside of the platform that collect metrics and answer queries."""

    def values(self, server: str, query: str, label: str) -> Mapping[str, float]:
        """What ``query`` is now on each node, by the value of ``label``; a node without a number is left out.

        Raises Unreachable (no answer, or nonsense), Refused (an answer that no check can be made of).
        """
        ...


class Ledger(Protocol):
    """One environment's append-only history."""

    def rows(self, after: int = 0, kind: str | None = None) -> list[Row]:
        """Rows with a higher number than ``after``. Raises Unreachable."""
        ...

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        """Add one row, on disk when this returns. Raises Conflict when ``follows`` is not the newest, Unreachable."""
        ...


class Notifier(Protocol):
    """Where people hear of what they must know."""

    def tell(self, environment: str, event: str, sentence: str, fields: Mapping[str, Any]) -> None: ...


class Clock(Protocol):
    """Time as the loop needs it: seconds on this machine's boot clock, the name of that clock, and UTC for people."""

    name: str

    def now(self) -> float: ...

    def utc(self) -> float: ...


Hint = Callable[[], None]
"""Called when something may have changed and looking is worth it; never trusted to be true."""
