"""``turnabout demo``: the whole story of a release on one machine, live, with real servers.

``scenes`` is the story, ``world`` what it plays in, ``show`` what the visitor sees of it. Everything it starts it
stops, unless it is asked to keep it.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from controller.commands.exits import DONE, ERROR, INTERRUPTED, NO
from controller.demo.scenes import SCENES
from controller.demo.show import Show
from controller.demo.stage import Broken, Stage
from controller.faces.demo import DemoTable, figures_html
from controller.faces.report import several
from infra.local.layout import BadApp
from infra.local.ports import NoPortsLeft
from infra.local.servers import ServerFailed, ServerMissing


def demo(args: argparse.Namespace) -> int:
    """Play every scene; 0 only if every promise held."""
    root, sources = args.root.resolve(), Path.cwd()
    if not (sources / "apps").is_dir():
        print(f"The demo deploys the applications of a checkout, and {sources} has no apps folder; run it there.")
        return ERROR
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = Stage(root, sources)
    show = Show(stage, plain=args.plain)
    kept = False
    try:
        with show:
            kept = play(stage, show) and show.table.whole
        publish(stage, show.table, kept)
        show.curtain(kept)
        if args.keep and stage.world is not None:
            keep(stage)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if stage.world is not None:
            show.say("stopping everything that was started")
            stage.world.stop()
    return DONE if kept else NO


def play(stage: Stage, show: Show) -> bool:
    """Every scene in turn; the first whose promise breaks ends the story, and says which it was."""
    for i, scene in enumerate(SCENES):
        show.begin(i)
        try:
            said = scene.play(stage)
        except (Broken, ServerMissing, ServerFailed, BadApp, NoPortsLeft, RuntimeError) as broken:
            show.broke(i, str(broken))
            return False
        show.done(i, said)
    return True


def publish(stage: Stage, table: DemoTable, kept: bool) -> None:
    """``build/demo.json`` for machines and ``build/report.html`` for people, from the same figures."""
    folder = stage.root.parent
    figures = {
        f"{story.replace(' ', '_')}.{name}": value
        for story, column in stage.columns.items()
        for name, value in column.items()
        if value is not None
    }
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    said = {"kept": kept, "figures": figures, "commit": commit, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.json").write_text(json.dumps(said, indent=2) + "\n")
    stories = [stage.chronicles[environment].read().story(number) for environment, number in stage.shown]
    sentence = (
        "Every promise was kept." if kept else "A promise was broken; the scene that did not hold is in the terminal."
    )
    page = several("turnabout demo", sentence, stories, kept, figures_html(table))
    (folder / "report.html").write_text(page)


def keep(stage: Stage) -> None:
    """Leave everything running until Ctrl-C, and say how to go on by hand."""
    world = stage.here
    world.start_traffic()
    clone, site = world.forge.clone, world.site.file
    print(f"""
Everything is still running. In another terminal:

  export TURNABOUT_SITE={site}
  cd {clone}
  git checkout dev && git pull --rebase     # then edit apps/mqtt or apps/c360
  git commit -am "What I changed" && git push origin dev
  turnabout watch dev                       # and: turnabout promote dev stage, turnabout promote stage prod

Ctrl-C here stops everything.""")
    signal.pause()


