"""``status watch show history replay quarantine``: reading the ledger and showing it. Nothing here changes anything."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType

from controller.assemble import history as history_of
from controller.assemble import is_led, open_ledger
from controller.commands.exits import DONE, ERROR, NO, PERSON
from controller.errors import Refused
from controller.faces import lists, records, words
from controller.faces.report import report
from controller.faces.terminal import ASCII, UNICODE, console
from controller.faces.watch import FULL, PLAIN, Watch, exit_code, standing_still
from controller.glass.keeping import glance
from controller.model import Outcome
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.site import Site
from controller.stories import rejudge
from controller.stories.looks import looks
from controller.stories.overview import standstill, survey
from controller.stories.past import history as past_of
from controller.stories.telling import newest, tell


def status(args: argparse.Namespace, site: Site) -> int:
    """What each environment runs and what goes on; exit 3 when a person is needed somewhere."""
    names = [site.require(name) for name in args.environment] or list(site.environments)
    views = [
        survey(name, history_of(site, name), time.time(), is_led(site, name), glance(site.state, name))
        for name in names
    ]
    answer([records.overview_json(view) for view in views], lists.status(views), args.json)
    return PERSON if any(view.needs_person for view in views) else DONE


def watch(args: argparse.Namespace, site: Site) -> int:
    """Follow the newest rollout until it is over; ``--once`` and ``--json`` look once."""
    name = site.require(args.environment)
    history, now, out = history_of(site, name), time.time(), console()
    if not history:
        print(f"{name}: {words.unled(standstill(name, history, now, is_led(site, name)))}.")
        return ERROR
    style = PLAIN if args.plain else None
    view = Watch(
        open_ledger(site, name).rows,
        out,
        name,
        style=style,
        ascii=args.ascii,
        led=lambda: is_led(site, name),
        glance=lambda: glance(site.state, name),
    )
    if not (args.once or args.json):
        return view.run()
    still, number = standstill(name, history, now, is_led(site, name)), newest(history)
    if number is None:
        print("\n".join([f"{name}: nothing was rolled out yet.", *standing_still(still)]))
        return exit_code(None, still)
    story = tell(history, number, now)
    frame = view.frame(story, FULL, ASCII if args.ascii else UNICODE, standing_still(still))
    answer(records.story_json(story), frame, args.json)
    return exit_code(story, still)


def show(args: argparse.Namespace, site: Site) -> int:
    """One rollout, as text, JSON or a page; or what was kept of its failing calls."""
    name, history, number = found(args.rollout, site)
    if args.samples:
        return samples(history, number, args.samples, args.json)
    story = tell(history, number, time.time())
    if args.html:
        written(args.html, report(story))
        print(f"{args.html} holds the report of rollout {number} of {name}.")
        return DONE
    answer(records.story_json(story), lists.show(story), args.json)
    return exit_code(story)


def written(path: Path, text: str) -> None:
    """Raises Refused."""
    if not path.parent.is_dir():
        raise Refused(f"writing {path}", f"there is no folder {path.parent}", "Make it, or name another file.")
    try:
        path.write_text(text)
    except OSError as error:
        raise Refused(f"writing {path}", error.strerror or str(error), "Name another file.") from error


def quarantine(args: argparse.Namespace, site: Site) -> int:
    """What is not tried again in one environment."""
    name = site.require(args.environment)
    entries = survey(name, history_of(site, name), time.time()).quarantine
    value = {"schema": "turnabout/quarantine/1", "environment": name}
    listed = {"quarantine": [*records.quarantine_json(entries)]}
    answer(value | listed, lists.quarantine(name, entries), args.json)
    return DONE


def found(wanted: str, site: Site) -> tuple[str, Sequence[Row], int]:
    """The ledger and number that ``42`` or ``prod/42`` names; a bare one where only one environment has it.

    Raises Refused.
    """
    name, _, digits = wanted.rpartition("/")
    if not digits.isdigit():
        raise Refused(f"showing {wanted}", "a rollout is named by its number", "For example: turnabout show prod/42.")
    number, names = int(digits), [site.require(name)] if name else list(site.environments)
    have = {each: history for each in names if numbered(history := history_of(site, each), number)}
    if len(have) > 1:
        which = " or ".join(f"{each}/{number}" for each in have)
        raise Refused(f"showing {wanted}", f"{' and '.join(have)} each have a rollout {number}", f"Ask for {which}.")
    for each, history in have.items():
        return each, history, number
    none = f"{names[0]} has no such rollout" if len(names) == 1 else f"none of {', '.join(names)} has such a rollout"
    raise Refused(f"showing {wanted}", none, "See turnabout history ENVIRONMENT.")


def numbered(history: Sequence[Row], number: int) -> bool:
    return any(row.kind == rows.ROLLOUT and row.body["rollout"]["number"] == number for row in history)


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
    dated = [{**call, "at": records.utc(call["at"])} for call in calls]
    kept = {"schema": "turnabout/samples/1", "rollout": number, "check": check, "calls": dated, "logs": logs}
    answer(kept, Group(lists.samples(check, counted), lists.kept(calls, logs)), as_json)
    return DONE if counted or calls or logs else NO


def replay(args: argparse.Namespace, site: Site) -> int:
    """Judge a recorded rollout again, by our judge or another, with the same or other settings; decides nothing."""
    name, history, number = found(args.rollout, site)
    of = rejudge.looks(history, number)
    names = list(rejudge.JUDGES) if args.judge == "all" else [args.judge]
    alpha = of.rollout.judge.alpha if args.alpha is None else args.alpha
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
    past = history_of(site, name)
    if args.verify and not past:
        print(f"{name}: nothing was ever led here, so there is no ledger to verify.")
        return ERROR
    if args.verify:
        ledger = open_ledger(site, name)
        broken = ledger.broken_at()
        said = "every hash follows" if broken is None else f"row {broken} does not follow from the one before it"
        print(f"{name}: {len(ledger.rows())} rows, {said}.")
        return DONE if broken is None else ERROR
    lines = past_of(past)[-args.limit :]
    listed = {"schema": "turnabout/history/1", "environment": name, "rollouts": [*map(records.past_json, lines)]}
    answer(listed, lists.history(lines, time.time()), args.json)
    return DONE


def answer(value: object, view: RenderableType, as_json: bool) -> None:
    """One value, as JSON for machines or drawn for people."""
    if as_json:
        print(json.dumps(value, indent=2))
    else:
        console().print(view)
