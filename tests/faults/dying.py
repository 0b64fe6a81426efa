"""``python -m tests.faults.dying ROW --site FILE run``: the controller, killed by SIGKILL as soon as a row is on disk.

ROW is a kind of row, with what it says where a kind has several: ``lead``, ``rollout deploying``, ``moment staged``,
``git note``. Everything else is the product's own.
"""

from __future__ import annotations

import os
import signal
import sys

from controller import assemble, cli
from controller.ledgers.sqlite import SqliteLedger
from controller.rollout import rows
from controller.rollout.rows import Body, Row

SAYS = {rows.ROLLOUT: "event", rows.MOMENT: "moment", rows.GIT: "did"}


def named(kind: str, body: Body) -> str:
    """The row in the words in which the test asks for it."""
    return f"{kind} {body[SAYS[kind]]}" if kind in SAYS else kind


class DyingLedger(SqliteLedger):
    """Keeps the row that it dies of: whoever comes next finds it."""

    dies_of = ""

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        row = super().append(kind, body, generation, follows)
        if named(kind, body) == self.dies_of:
            os.kill(os.getpid(), signal.SIGKILL)
        return row


if __name__ == "__main__":
    DyingLedger.dies_of = sys.argv.pop(1)
    vars(assemble)["SqliteLedger"] = DyingLedger  # the seam: where the controller's ledger is made
    sys.exit(cli.main(sys.argv[1:]))
