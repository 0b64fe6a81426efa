"""Following one environment from its ledger, as any reader may: which rollout a commit became, and its story so far."""

from __future__ import annotations

from controller.assemble import open_ledger
from controller.model import Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.rollout.standing import Standing, fold
from controller.site import Site
from controller.stories.story import Story
from controller.stories.telling import tell


class Chronicle:
    """The rows of one environment, read on as they come. Not for several threads."""

    def __init__(self, site: Site, environment: str) -> None:
        self.environment = environment
        self._ledger = open_ledger(site, environment)
        self.rows: list[Row] = []
        self.standing = Standing()

    def read(self) -> Chronicle:
        new = self._ledger.rows(self.standing.last_row)
        self.rows += new
        self.standing = fold(new, self.standing)
        return self

    def rollout(self, commit: str) -> Rollout | None:
        """The newest rollout of a commit, as its newest row has it."""
        for row in reversed(self.rows):
            if row.kind == rows.ROLLOUT and row.body["rollout"]["commit"] == commit:
                return rows.read(rows.ROLLOUTS, row.body["rollout"])
        return None

    def attempts(self, commit: str) -> tuple[Rollout, ...]:
        """Every rollout of a commit, oldest first: what was held is tried once more."""
        newest = {row.body["rollout"]["number"]: row for row in self.rows if row.kind == rows.ROLLOUT}
        found = (newest[number].body["rollout"] for number in sorted(newest))
        return tuple(rows.read(rows.ROLLOUTS, body) for body in found if body["commit"] == commit)

    def began(self) -> dict[int, float]:
        """Every rollout's number and when it was first written down: UTC."""
        first: dict[int, float] = {}
        for row in self.rows:
            if row.kind == rows.ROLLOUT:
                first.setdefault(row.body["rollout"]["number"], row.at)
        return first

    def seen_at(self, commit: str) -> float | None:
        """When the controller saw a commit: UTC."""
        return next((row.at for row in self.rows if row.kind == rows.SEEN and row.body["commit"] == commit), None)

    def git(self, number: int) -> Row | None:
        """What git was told of a rollout that went back."""
        wanted = {"rollout": number, "did": "revert"}
        return next((row for row in self.rows if row.kind == rows.GIT and wanted.items() <= row.body.items()), None)

    def story(self, number: int) -> Story:
        return tell(self.rows, number)
