"""The model's ledger: rows in memory with the compare-and-swap of the real one, and links to it that fail.

``tests/unit/test_ledger.py`` holds this ledger and the one in SQLite to the same sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from controller.errors import Conflict, Unreachable
from controller.ledgers.sqlite import Spool
from controller.ports import Ledger
from controller.rollout import rows
from controller.rollout.rows import Body, Row


class MemoryLedger:
    """One environment's rows; what appends must follow, and which generation leads, as in SQLite."""

    def __init__(self) -> None:
        self.history: list[Row] = []

    def rows(self, after: int = 0, kind: str | None = None) -> list[Row]:
        return [row for row in self.history[after:] if kind is None or row.kind == kind]

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        newest = self.history[-1].hash if self.history else rows.GENESIS
        leads = self.history[-1].generation if self.history else 0
        if follows is not None and follows != newest:
            raise Conflict("the ledger", f"row {len(self.history)} came first", "Read it and decide again.")
        if follows is not None and generation < leads:
            raise Conflict("the ledger", f"generation {leads} leads now", "Step down.")
        n = len(self.history) + 1
        row = Row(n, 0.0, max(generation, leads), kind, body, f"hash of row {n}")
        self.history.append(row)
        return row


class Link:
    """One controller's way to the ledger: it may be cut, and it may lose the answer to a row that was kept."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away = False
        self.loses_answer = self.goes_with_it = False
        """Whether the answer to the next row is lost, and the ledger is away from then on."""

    def rows(self, after: int = 0, kind: str | None = None) -> list[Row]:
        if self.away:
            raise Unreachable("reading the ledger", "it is away")
        return self._ledger.rows(after, kind)

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        if self.away:
            raise Unreachable("writing the ledger", "it is away")
        row = self._ledger.append(kind, body, generation, follows)
        if self.loses_answer:
            self.loses_answer, self.away, self.goes_with_it = False, self.goes_with_it, False
            raise Unreachable("writing the ledger", "no answer came")
        return row


class MemorySpool(Spool):
    """A controller machine's spool: it outlives the process, as a file does."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.entries: list[tuple[str, Body, int]] = []

    def add(self, kind: str, body: Body, generation: int) -> None:
        self.entries.append((kind, body, generation))

    def waiting(self) -> Iterator[tuple[str, Body, int]]:
        yield from tuple(self.entries)

    def drop_first(self) -> None:
        self.entries.pop(0)
