"""``turnabout demo``: the whole story of a release on one machine, live, with real servers.

``scenes`` is the story, ``world`` what it plays in, ``show`` what the visitor sees of it. Everything it starts it
stops, unless it is asked to keep it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from math import inf
from pathlib import Path

from controller.commands.exits import DONE, ERROR, INTERRUPTED, NO
from controller.demo.scenes import SCENES
from controller.demo.show import Show
from controller.demo.stage import Broken, Stage, Unmet, busy
from controller.faces import words
from controller.faces.cases import figures_html
from controller.faces.demo import Ending, ending_badge, scene_badge
from controller.faces.report import Chapter, several
from infra.application import BadApp
from infra.local.apart.machines import Apart
from infra.local.places import Places
from infra.local.ports import NoPortsLeft
from infra.local.servers import ServerFailed, ServerMissing


def demo(args: argparse.Namespace) -> int:
    """Play every scene; 0 only if every promise held, 2 if one was broken, 1 if a step did not happen."""
    root, sources = args.root.resolve(), Path.cwd()
    if not (sources / "apps").is_dir():
        print(f"The demo deploys the applications of a checkout, and {sources} has no apps folder; run it there.")
        return ERROR
    try:
        places = in_cloud(sources) if args.cloud else apart() if args.fleet == "ssh" else None
    except ServerMissing as missing:
        print(f"Skipped: {missing}")
        return DONE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = Stage(root, sources, places)
    show = Show(stage, plain=args.plain)
    ending = Ending.UNMET
    try:
        with show:
            ending = play(stage, show)
        publish(stage, show, ending)
        show.curtain(ending, args.keep)
        if args.keep and stage.world is not None:
            keep(stage)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is being stopped, and that has an end
        if stage.world is not None:
            stage.world.stop(show.say)
    return EXITS[ending]


def apart() -> Places:
    Apart.needs()
    return Apart()


def in_cloud(sources: Path) -> Places:
    """Prod on what `pulumi up` makes in an emulated cloud, which is test equipment. Raises ServerMissing."""
    sys.path.insert(0, str(sources))  # before the folder `tests` that some wheel brings along
    try:
        places: Places = import_module("tests.infra.created").created()
    except ModuleNotFoundError as error:
        why = "`make cloud` installs it" if not (error.name or "").startswith("tests") else "it comes with the checkout"
        raise ServerMissing(f"The emulated cloud needs {error.name}, which is not here; {why}.") from None
    return places


EXITS = {Ending.KEPT: DONE, Ending.BROKEN: NO, Ending.UNMET: ERROR}


def play(stage: Stage, show: Show) -> Ending:
    """Every scene in turn; the first that does not hold ends the story, and says which it was and why."""
    for i, scene in enumerate(SCENES):
        show.begin(i)
        try:
            said = scene.play(stage)
        except Broken as broken:
            show.broke(i, str(broken))
            return Ending.BROKEN
        except (Unmet, ServerMissing, ServerFailed, BadApp, NoPortsLeft, RuntimeError) as unmet:
            show.broke(i, f"{unmet}{busy()}")
            return Ending.UNMET if show.table.whole else Ending.BROKEN
        show.done(i, said)
    if not show.table.whole:
        return Ending.BROKEN
    return Ending.UNMET if show.table.over else Ending.KEPT


def publish(stage: Stage, show: Show, ending: Ending) -> None:
    """``build/demo.json`` for machines and ``build/report.html`` for people, from the same figures."""
    folder = stage.root.parent
    figures = {
        f"{story.replace(' ', '_')}.{name}": value
        for story, column in stage.columns.items()
        for name, value in column.items()
        if value is not None
    }
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    said = {
        "kept": ending is Ending.KEPT, "ending": ending.value, "figures": figures, "commit": commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.json").write_text(json.dumps(said, indent=2) + "\n")
    sign, table = ending_badge(ending), figures_html(show.table)
    page = several("turnabout demo", show.sentence(ending), chapters(stage, show), sign, table)
    (folder / "report.html").write_text(page)


def chapters(stage: Stage, show: Show) -> list[Chapter]:
    """Every scene that was played, with every rollout that began in it, whatever became of it."""
    told = []
    for step, (began, over) in zip(show.steps, pairwise([*show.began, inf]), strict=False):
        said = f"{step.sentence}  ·  {words.seconds(step.seconds)}"
        told.append(Chapter(step.name, said, scene_badge(step), tuple(stage.stories(began, over))))
    return told


def keep(stage: Stage) -> None:
    """Leave everything running until Ctrl-C, and say how to go on by hand."""
    world = stage.here
    world.start_traffic()
    print(by_hand(world.forge.clone, world.site.file, world.platform.places.inside))
    signal.pause()


def by_hand(clone: Path, site: Path, inside: tuple[str, ...] = ()) -> str:
    """How to go on in another terminal, as commands to copy; ``inside`` are words that lead to where the parts are."""
    enter = f"  {shlex.join(inside)} bash\n" if inside else ""
    return f"""
Everything is still running. In another terminal:

{enter}  export TURNABOUT_SITE={site}
  cd {clone}
  git checkout dev && git pull --rebase     # then edit apps/mqtt or apps/c360
  git commit -am "What I changed" && git push origin dev
  turnabout watch dev                       # and: turnabout promote dev stage, turnabout promote stage prod

Ctrl-C here stops everything."""
