"""``status watch show history replay quarantine``: reading the ledger and showing it. Nothing here changes anything."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType

from controller import rejudge, rows
from controller.assemble import open_ledger
from controller.commands.exits import DONE, ERROR, NO, PERSON
from controller.errors import Refused
from controller.faces import lists, records
from controller.faces.report import report
from controller.faces.terminal import ASCII, UNICODE, console
from controller.faces.watch import FULL, PLAIN, Watch, exit_code
from controller.looks import looks
from controller.model import Outcome
from controller.overview import survey
from controller.past import history as past_of
from controller.rows import Row
from controller.site import Site
from controller.telling import newest, tell


def status(args: argparse.Namespace, site: Site) -> int:
    """What each environment runs and what goes on; exit 3 when a person is needed somewhere."""
    names = [site.require(name) for name in args.environment] or list(site.environments)
    views = [survey(name, open_ledger(site, name).rows(), time.time()) for name in names]
    answer([records.overview_json(view) for view in views], lists.status(views), args.json)
    return PERSON if any(view.needs_person for view in views) else DONE


def watch(args: argparse.Namespace, site: Site) -> int:
    """Follow the newest rollout until it is over; ``--once`` and ``--json`` look once."""
    name = site.require(args.environment)
    ledger = open_ledger(site, name)
    style = PLAIN if args.plain else None
    if not (args.once or args.json):
        return Watch(ledger.rows, console(), name, style=style, ascii=args.ascii).run()
    history = ledger.rows()
    number = newest(history)
    if number is None:
        print(f"{name}: nothing was rolled out yet.")
        return ERROR
    story, out = tell(history, number, time.time()), console()
    g = ASCII if args.ascii else UNICODE
    frame = Watch(ledger.rows, out, name, ascii=args.ascii).frame(story, FULL, g)
    answer(records.story_json(story), frame, args.json)
    return exit_code(story)


def show(args: argparse.Namespace, site: Site) -> int:
    """One rollout, as text, JSON or a page; or what was kept of its failing calls."""
    name, history, number = found(args.rollout, site)
    if args.samples:
        return samples(history, number, args.samples, args.json)
    story = tell(history, number, time.time())
    if args.html:
        args.html.parent.mkdir(parents=True, exist_ok=True)
        Path(args.html).write_text(report(story))
        print(f"{args.html} holds the report of rollout {number} of {name}.")
        return DONE
    answer(records.story_json(story), lists.show(story), args.json)
    return exit_code(story)


def quarantine(args: argparse.Namespace, site: Site) -> int:
    """What is not tried again in one environment."""
    name = site.require(args.environment)
    entries = survey(name, open_ledger(site, name).rows(), time.time()).quarantine
    value = {"schema": "turnabout/quarantine/1", "environment": name}
    listed = {"quarantine": [*records.quarantine_json(entries)]}
    answer(value | listed, lists.quarantine(name, entries), args.json)
    return DONE


def found(wanted: str, site: Site) -> tuple[str, Sequence[Row], int]:
    """The ledger and number that ``42`` or ``prod/42`` names; a bare one is looked for in the last environment first.

    Raises Refused.
    """
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
    """Every look that counted something bad, and the failing calls and last log lines that were kept."""
    story = tell(history, number)
    known = sorted({each.name for lane in story.rollout.lanes for each in lane.checks})
    if check not in known:
        has = f"It has {', '.join(known)}."
        raise Refused(f"showing samples of {check}", f"rollout {number} has no such check", has)
    saved = [row.body for row in history if row.kind == rows.SAVED and row.body["rollout"] == number]
    calls = [call for body in saved for call in body.get("calls", ())]
    logs = {body["node"]: body["log"] for body in saved if "node" in body}
    counted = list(looks(history, story, check))
    kept = {"schema": "turnabout/samples/1", "rollout": number, "check": check, "calls": calls, "logs": logs}
    answer(kept, Group(lists.samples(check, counted), lists.kept(calls, logs)), as_json)
    return DONE if counted or calls or logs else NO


def replay(args: argparse.Namespace, site: Site) -> int:
    """Judge a recorded rollout again, by our judge or another, with the same or other settings; decides nothing."""
    name, history, number = found(args.rollout, site)
    of = rejudge.looks(history, number)
    names = list(rejudge.JUDGES) if args.judge == "all" else [args.judge]
    alpha = of.rollout.judge.alpha if args.alpha is None else args.alpha
    if not 0 < alpha < 1:
        no_chance = f"an alpha of {alpha:g} is the chance of nothing"
        raise Refused(f"judging rollout {number} again", no_chance, "Write one above 0 and below 1, such as 0.01.")
    said = [rejudge.JUDGES[judge](of, alpha) for judge in names]
    recorded = tell(history, number).phase
    if args.json:
        judged = [{"judge": j.judge, "outcome": j.outcome, "t": j.at, "why": j.why} for j in said]
        value = {"schema": "turnabout/replay/1", "environment": name, "rollout": number, "recorded": recorded}
        print(json.dumps({**value, "alpha": alpha, "judged": judged}, indent=2))
    else:
        console().print(lists.judged(number, recorded, said))
    return NO if said[0].outcome is Outcome.FAIL else DONE


def history(args: argparse.Namespace, site: Site) -> int:
    """The environment's rollouts; ``--verify`` also checks that every row follows from the one before it."""
    name = site.require(args.environment)
    ledger = open_ledger(site, name)
    if args.verify:
        broken = ledger.broken_at()
        said = "every hash follows" if broken is None else f"row {broken} does not follow from the one before it"
        print(f"{name}: {len(ledger.rows())} rows, {said}.")
        return DONE if broken is None else ERROR
    lines = past_of(ledger.rows())[-args.limit :]
    listed = {"schema": "turnabout/history/1", "environment": name, "rollouts": [*map(records.past_json, lines)]}
    answer(listed, lists.history(lines, time.time()), args.json)
    return DONE


def answer(value: object, view: RenderableType, as_json: bool) -> None:
    """One value, as JSON for machines or drawn for people."""
    if as_json:
        print(json.dumps(value, indent=2))
    else:
        console().print(view)
