"""A look through the glass every so often, by the controller itself, and what it tells of it: each news once.

The look is a process of its own, as nice as can be. It is never on the way of a release: none is begun while a rollout
is open anywhere, and one that is under way is ended when a rollout begins, and made anew after it. What it finds is in
the record; here is told what nobody was told yet.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from controller.drift import told
from controller.drift.told import News
from controller.errors import Trouble
from controller.glass import keeping
from controller.ports import Notifier
from controller.site import Site

SECONDS = 900.0
"""A look that takes longer has failed."""
FIRST, PATIENCE = 300.0, 1.0
"""Seconds after its start until a controller looks that has no report yet; seconds between two looks at the clock."""
PAGE, SAID = "drift.html", "drift-look.log"
WORST = 19
"""The niceness of a look."""


def argv(site: Site, environments: Sequence[str]) -> list[str]:
    """The look as a command, which a person may run as well."""
    look = [sys.executable, "-m", "controller.cli", "--site", str(site.file), "drift", "--in-force", "--json"]
    return [*look, "--html", str(site.state / PAGE), "--env", *environments]


class Glances:
    """The looks of one controller. ``every`` says for each environment how many seconds lie between two; 0: none."""

    def __init__(
        self, site: Site, every: Callable[[], Mapping[str, float]], busy: Callable[[], bool], notifier: Notifier,
        utc: Callable[[], float] = time.time, patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        self._site, self._every, self._busy, self._notifier, self._utc = site, every, busy, notifier, utc
        self._began, self._patience, self._failed_at = utc(), patience, 0.0
        self._said_here = ""
        """A failure that no record could be told of."""

    def run(self, stop: threading.Event) -> None:
        """Look whenever it is time, until told to stop. Never raises Trouble: what fails is told, once."""
        while not stop.wait(self._patience):
            if self._busy() or self._utc() < self.due():
                continue
            try:
                why = self.look(stop)
            except Trouble as trouble:
                why = str(trouble)
            except OSError as error:
                why = f"Drift could not be looked at: {error}"
            if why is not None:
                self._failed_at = self._utc()
                self.fail(why)

    def due(self) -> float:
        """When the next look is to be made; infinitely far where no environment asks for one."""
        wanted = [seconds for seconds in self._every().values() if seconds > 0]
        if not wanted:
            return float("inf")
        with suppress(Trouble):  # a record that cannot be read is the look's own complaint
            if trend := keeping.record(self._site.state).trend:
                return max(trend[-1].at, self._failed_at) + min(wanted)
        return (self._failed_at + min(wanted)) if self._failed_at else self._began + min(FIRST, *wanted)

    def look(self, stop: threading.Event) -> str | None:
        """One look, and its news told; why it failed, if it did. One that was cut short for a rollout did not."""
        names = [name for name, seconds in self._every().items() if seconds > 0]
        began, log = self._utc(), self._site.state / SAID
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv(self._site, names), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out,
                process_group=0,
            )  # fmt: skip
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, WORST)
            try:
                while process.poll() is None:
                    if self._busy() or stop.wait(self._patience):
                        return None
                    if self._utc() - began > SECONDS:
                        return f"a look at drift did not end within {SECONDS:.0f} s."
            finally:
                end(process)
        return self.tell(began) if process.returncode in (0, 1, 2) else said(log, process.returncode)

    def tell(self, began: float) -> str | None:
        """Tell what nobody was told; why there is nothing to tell from."""
        with keeping.changing(self._site.state) as kept:
            record = kept.record
            if not record.trend or record.trend[-1].at < began:
                return said(self._site.state / SAID, 1)
            if record.failed:
                self._say(News(self._site.environments[0], told.AGAIN, told.seen_again(record.known, record)))
            for one in told.news(record):
                self._say(one)
            kept.record, _ = told.after_failing(told.after_telling(record), "")
        return None

    def fail(self, why: str) -> None:
        """Say that a look failed, unless that was said."""
        fresh = why != self._said_here
        try:
            with keeping.changing(self._site.state) as kept:
                kept.record, fresh = told.after_failing(kept.record, why)
        except Trouble:
            self._said_here = why
        if fresh:
            self._say(News(self._site.environments[0], told.FAILED, why))

    def _say(self, one: News) -> None:
        self._notifier.tell(one.environment, one.event, one.sentence, {"findings": [*one.findings]})


def said(log: Path, code: int) -> str:
    """What a look that failed said at its end."""
    with suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return f"Drift could not be looked at: {' '.join(line.strip() for line in lines[-3:])[:400]}"
    return f"Drift could not be looked at: the look ended with {code} and said nothing."


def end(process: subprocess.Popen[bytes]) -> None:
    """A look and all that it started: it changes nothing, so nothing is lost."""
    for sign, patience in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
