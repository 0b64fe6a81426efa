"""``turnabout infra``: an environment's stack previewed, brought up, or compared with what is really there.

The work is Pulumi's, in ``infra.engine``; its libraries are loaded only when one of these is called. What is printed
names resources and properties, never values: a value may be a secret.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from controller.commands.exits import DONE, ERROR, INTERRUPTED, NO, NOT_ALLOWED

if TYPE_CHECKING:
    from infra.engine.steps import Step


def infra(args: argparse.Namespace) -> int:
    from infra.engine.binary import NoEngine
    from infra.engine.steps import NotAllowed
    from infra.engine.trouble import Failed, Interrupted

    project = Path(args.folder) / "Pulumi.yaml"
    if not project.is_file():
        return say(f"{project} is missing; run this in a checkout or name one with --folder.")
    try:
        return obey(args, time.monotonic())
    except NotAllowed as error:
        return say(str(error), NOT_ALLOWED)
    except Interrupted as error:
        return say(str(error), INTERRUPTED)
    except (NoEngine, Failed) as error:
        return say(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pulumi":
            raise
        return say("Pulumi's libraries are not here; `make cloud` installs them beside the others.")


def obey(args: argparse.Namespace, started: float) -> int:
    from infra.engine import reviewed
    from infra.engine import steps as words
    from infra.engine.stack import Stack

    if args.action == "up" and args.plan and not args.plan.is_file():
        return say(
            f"{args.plan}: there is no such plan; `turnabout infra preview {args.environment} --plan` writes one."
        )
    gc.disable()  # this process is short and loads much, through which looking for garbage takes a third of the time
    stack = Stack(args.environment, Path(args.folder))
    match args.action:
        case "preview":
            steps = stack.preview()
            if args.plan:
                args.plan.write_text(reviewed.to_json(args.environment, steps))
            show(args, steps, words.WORDS, started)
            words.look(args.environment, steps, args.deletions, args.unprotect)
            return DONE
        case "up":
            meant = reviewed.from_json(args.plan.read_text(), args.environment, str(args.plan)) if args.plan else None
            steps = stack.up(args.deletions, args.unprotect, lambda step: print(step, file=sys.stderr), meant)
            show(args, steps, words.DONE, started)
            return DONE
        case _:
            steps = stack.refresh(args.adopt)
            show(args, steps, words.DRIFTED, started)
            return NO if changed(steps) else DONE


def show(args: argparse.Namespace, steps: Sequence[Step], words: dict[str, str], started: float) -> None:
    """What was or would be done; while it is done, ``up`` has said each step already."""
    from infra.engine.steps import counted

    if args.json:
        print(json.dumps(document(args, steps), indent=2))
        return
    for step in changed(steps) if args.action != "up" else ():
        print(step)
    acted = args.action == "up" or (args.action == "refresh" and args.adopt)
    end = "" if acted else " Nothing was changed."
    print(f"{args.environment}: {counted(steps, words)}; {time.monotonic() - started:.1f} s.{end}")


def document(args: argparse.Namespace, steps: Sequence[Step]) -> dict[str, object]:
    said = [
        {
            "deed": step.deed,
            "name": step.name,
            "kind": step.kind,
            "properties": list(step.paths),
            "protected": step.protected,
        }
        for step in changed(steps)
    ]
    return {
        "schema": "turnabout/infra/1",
        "environment": args.environment,
        "action": args.action,
        "same": len(steps) - len(said),
        "steps": said,
    }


def changed(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.deed != "same"]


def say(sentence: str, code: int = ERROR) -> int:
    print(sentence, file=sys.stderr)
    return code
