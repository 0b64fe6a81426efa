"""What the visitor sees of the demo: the list of scenes with the running rollout under it, and the figures at the end.

Draws nothing itself: it hands values to ``controller.faces``. On a terminal the picture is alive; anything else gets
one line when a scene begins and one when it ends.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from controller.demo.outcomes import LATE
from controller.demo.scenes import SCENES
from controller.demo.stage import Stage, busy
from controller.demo.world import HERE
from controller.errors import Trouble
from controller.faces import demo as face
from controller.faces.alone import Alone
from controller.faces.cases import ROWS, DemoColumn, DemoTable
from controller.faces.demo import COMING, DONE, FAILED, NOW, Counters, DemoStep, Ending
from controller.faces.terminal import console
from controller.stories.story import Story
from environments import from_folder

EXPECTED = 200.0
"""Seconds the whole story takes on two cores; for the clock in the corner, promised to nobody."""
FRAMES = 4


class Show:
    """One run as it is shown. The thread that plays the scenes tells it; a thread of its own redraws."""

    def __init__(self, stage: Stage, plain: bool) -> None:
        self._stage, self._began = stage, time.monotonic()
        self.steps = [DemoStep(scene.name, COMING) for scene in SCENES]
        self.began: list[float] = []
        """When each scene that was played began: UTC."""
        self._started = self._began
        self._console = console()
        self._alive = self._console.is_terminal and not plain and not os.environ.get("CI")
        self._live: Live | None = None
        stage.tell = self.say
        if not self._alive:
            stage.say = self.news
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, name="painter", daemon=True)
        prod = from_folder(HERE / "environments", "prod")
        self._budget = prod.budget
        budgets = "/".join(f"{seconds:.0f}" for seconds in (prod.budget.deploy, prod.budget.watch, prod.budget.revert))
        self._title = f"everything real, on this machine; budgets {budgets} s, where prod has 60/60/60"

    def __enter__(self) -> Self:
        if self._alive:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.__enter__()
            self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._live is not None:
            self._painter.join(2)
            self._live.update(Text(""), refresh=True)
            self._live.__exit__(kind, error, trace)

    # ---- what the scenes say --------------------------------------------------------------------------------------

    def begin(self, i: int) -> None:
        self._started = time.monotonic()
        self.began.append(time.time())
        self._put(i, DemoStep(SCENES[i].name, NOW))

    def done(self, i: int, said: str) -> None:
        self._put(i, DemoStep(SCENES[i].name, DONE, time.monotonic() - self._started, said))

    def broke(self, i: int, why: str) -> None:
        self._put(i, DemoStep(SCENES[i].name, FAILED, time.monotonic() - self._started, why))

    def _put(self, i: int, step: DemoStep) -> None:
        self.steps[i] = step
        if not self._alive:
            self.say(face.line(step))

    def news(self, sentence: str) -> None:
        """What happened within a scene, for those who have no live view."""
        step = next((step for step in self.steps if step.state == NOW), None)
        if step is not None:
            self.say(face.line(DemoStep(step.name, NOW, time.monotonic() - self._started, sentence)))

    def say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    # ---- what is drawn --------------------------------------------------------------------------------------------

    def _paint(self) -> None:
        while not self._over.wait(1 / FRAMES):
            seen: Story | Alone | None = self._stage.alone
            if seen is None:
                with suppress(Trouble, OSError, AssertionError, KeyError):
                    seen = self._stage.story_for_show()
            steps = [
                DemoStep(step.name, NOW, time.monotonic() - self._started) if step.state == NOW else step
                for step in self.steps
            ]
            assert self._live is not None
            picture = face.live(self._title, steps, seen, self.counters(), "Ctrl-C stops everything it started")
            self._live.update(picture, refresh=True)

    def counters(self) -> Counters:
        seen = self._stage.world.counted().get("environments", {}) if self._stage.world is not None else {}
        apps = [app for environment in seen.values() for app in environment.values()]
        return Counters(
            requests=sum(app["requests"] for app in apps),
            harmed=sum(app["harmed"] for app in apps),
            acked=sum(app["messages"]["acked"] for app in apps if "messages" in app),
            lost=sum(fate["acked_lost"] for fate in self._stage.fate.values()),
            elapsed=time.monotonic() - self._began,
            expected=EXPECTED,
        )

    @property
    def table(self) -> DemoTable:
        """Every story beside what is promised of it; harm has no limit but its end."""
        promised = {
            "deploy_s": self._budget.deploy,
            "nodes_back_s": self._budget.revert,
            "traffic_off_s": LATE,
            "late_s": self._budget.limit - self._budget.end,
            "exposure_s": self._budget.limit,
            "met_s": self._budget.limit,
            "acked_lost": 0.0,
        }
        names = {name: name for name in self._stage.columns}
        return DemoTable(
            tuple(
                DemoColumn(names[title], {name: value for name, value in column.items() if value is not None})
                for title, column in self._stage.columns.items()
            ),
            promised,
            {"seen_s": 2.0},
        )

    def sentence(self, ending: Ending) -> str:
        """What there is to say of how it ended."""
        broken = next((step for step in self.steps if step.state == FAILED), None)
        if broken is not None:
            return f"{broken.name}: {broken.sentence}"
        if ending is Ending.KEPT:
            return f"All {len(self.steps)} scenes held, and no figure is over what was promised."
        over = ", ".join(ROWS.get(name, name) for name in self.table.over)
        return f"Every scene held, but more was used than there should be of: {over}.{busy()}"

    def curtain(self, ending: Ending, kept_running: bool) -> None:
        """The list, the figures and the outcome; they stay on the screen."""
        next_step = "turnabout demo --keep, then edit apps/mqtt, merge, and watch"
        if kept_running:
            next_step = "everything goes on running"
        elif ending is not Ending.KEPT:
            next_step = f"the controller's log: {self._stage.root.name}/controller.log"
        hint = f"open build/report.html  ·  {next_step}"
        outcome = (ending, self.sentence(ending))
        self._console.print(face.finished(self._title, self.steps, self.table, self.counters(), outcome, hint))
