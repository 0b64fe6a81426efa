"""``status watch show history``: reading the ledger and showing it. Nothing here changes anything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from controller import rows
from controller.assemble import open_ledger
from controller.commands.exits import DONE, ERROR, NO, PERSON
from controller.errors import Refused
from controller.faces import lists
from controller.faces.json import history_json, overview_json, story_json
from controller.faces.report import report
from controller.faces.terminal import ASCII, UNICODE, console, shown
from controller.faces.watch import FULL, PLAIN, Watch, exit_code
from controller.model import Phase
from controller.overview import survey
from controller.past import history as past_of
from controller.rows import Row
from controller.site import Site
from controller.telling import newest, tell


def status(args: argparse.Namespace, site: Site) -> int:
    """What each environment runs and what goes on; exit 3 when a person is needed somewhere."""
    names = [site.require(name) for name in args.environment] or list(site.environments)
    views = [survey(name, open_ledger(site, name).rows(), now()) for name in names]
    if args.json:
        print(json.dumps([overview_json(view) for view in views], indent=2))
    else:
        console().print(shown(lists.status(views), UNICODE))
    return PERSON if any(view.needs_person for view in views) else DONE


def watch(args: argparse.Namespace, site: Site) -> int:
    name = site.require(args.environment)
    ledger = open_ledger(site, name)
    if args.once or args.json:
        history = ledger.rows()
        number = newest(history)
        if number is None:
            print(f"{name}: nothing was rolled out yet.")
            return ERROR
        story = tell(history, number, now())
        if args.json:
            print(json.dumps(story_json(story), indent=2))
        else:
            g = ASCII if args.ascii else UNICODE
            out = console()
            out.print(Watch(ledger.rows, out, name).frame(story, FULL, g))
        return exit_code(story)
    return Watch(ledger.rows, console(), name, style=PLAIN if args.plain else None, ascii=args.ascii).run()


def show(args: argparse.Namespace, site: Site) -> int:
    name, history, number = found(args.rollout, site)
    story = tell(history, number, now())
    if args.samples:
        return samples(history, number, args.samples, args.json)
    if args.html:
        args.html.parent.mkdir(parents=True, exist_ok=True)
        Path(args.html).write_text(report(story))
        print(f"{args.html} holds the report of rollout {number} of {name}.")
        return DONE
    if args.json:
        print(json.dumps(story_json(story), indent=2))
    else:
        console().print(shown(lists.show(story), UNICODE))
    return exit_code(story) if story.phase is not Phase.PENDING else DONE


def found(wanted: str, site: Site) -> tuple[str, Sequence[Row], int]:
    """The ledger and number that ``42`` or ``prod/42`` names. Raises Refused."""
    name, _, digits = wanted.rpartition("/")
    if not digits.isdigit():
        raise Refused(f"showing {wanted}", "a rollout is named by its number", "For example: turnabout show prod/42.")
    names = [site.require(name)] if name else list(reversed(site.environments))
    for each in names:
        history = open_ledger(site, each).rows()
        if any(row.kind == rows.ROLLOUT and row.body["rollout"]["number"] == int(digits) for row in history):
            return each, history, int(digits)
    raise Refused(f"showing {wanted}", f"{', '.join(names)} has no such rollout", "See turnabout history ENVIRONMENT.")


def samples(history: Sequence[Row], number: int, check: str, as_json: bool) -> int:
    """The failing calls and last log lines that were kept before the candidate was stopped."""
    saved = [row.body for row in history if row.kind == rows.SAVED and row.body["rollout"] == number]
    calls = [call for body in saved for call in body.get("calls", ())]
    logs = {body["node"]: body["log"] for body in saved if "node" in body}
    if as_json:
        print(json.dumps({"schema": "turnabout/samples/1", "check": check, "calls": calls, "logs": logs}, indent=2))
    else:
        console().print(shown(lists.samples(check, calls, logs), UNICODE))
    return DONE if calls or logs else NO


def history(args: argparse.Namespace, site: Site) -> int:
    name = site.require(args.environment)
    ledger = open_ledger(site, name)
    if args.verify:
        broken = ledger.broken_at()
        said = "every hash follows" if broken is None else f"row {broken} does not follow from the one before it"
        print(f"{name}: {len(ledger.rows())} rows, {said}.")
        return DONE if broken is None else ERROR
    lines = past_of(ledger.rows())[-args.limit :]
    if args.json:
        print(json.dumps(history_json(name, lines), indent=2))
    else:
        console().print(shown(lists.history(name, lines), UNICODE))
    return DONE


def now() -> float:
    import time

    return time.time()
