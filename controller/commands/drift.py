"""``drift``: how environments differ from what they say they are, and from each other. It changes nothing."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from controller.commands.exits import DONE, ERROR, NO
from controller.commands.reading import written as write
from controller.drift.finding import Kind, Report
from controller.errors import Refused
from controller.faces import drift as face
from controller.faces import drift_records
from controller.faces.drift_markdown import drift_markdown
from controller.faces.drift_page import drift_page
from controller.faces.sarif import sarif
from controller.faces.terminal import console
from controller.glass import drifting, wanting
from controller.glass.siting import Wanted
from controller.site import BadSite


def drift(args: argparse.Namespace) -> int:
    """Look at what is wanted, and show it; exit 2 when anything differs that nobody explains."""
    with ExitStack() as stack:
        asked = wanted(args, stack)
        report = drifting.recorded(asked.site, drifting.look(asked))
        if args.since:
            report = held_against(report, asked, args, stack)
    if args.html:
        write(args.html, drift_page(report, code(report)))
    if args.markdown:
        write(args.markdown, drift_markdown(report))
    if args.sarif:
        write(args.sarif, json.dumps(sarif(report, version("turnabout")), indent=2) + "\n")
    if args.json:
        print(json.dumps(drift_records.report_json(report), indent=2))
    else:
        console().print(face.drift(report, whole=args.whole))
    return code(report)


def code(report: Report) -> int:
    """With ``--since`` what was there before does not count: who merges answers for what the merge brings."""
    if any(one.new for one in report.open) if report.since else report.open:
        return NO
    return ERROR if report.unseen else DONE


def wanted(args: argparse.Namespace, stack: ExitStack) -> Wanted:
    """Raises BadEnvironment, BadSite, Refused."""
    checkout = Path(args.folder).resolve()
    kinds = tuple(Kind(kind) for kind in args.kind) if args.kind else tuple(Kind)
    if args.since and not args.at:
        raise Refused("looking for drift", "--since goes with --at", "Name the commits too: --at SOURCE TARGET")
    if args.at:
        if not args.between:
            raise Refused("reading commits", "--at goes with --between", "Name the two: --between stage prod")
        if others := [kind for kind in args.kind or () if Kind(kind) not in wanting.OF_COMMITS]:
            said = f"a commit says nothing of {', '.join(others)}"
            raise Refused("reading commits", said, "Leave --kind out, or ask without --at.")
        kinds = kinds if args.kind else wanting.OF_COMMITS
        return wanting.of_commits(checkout, args.between, args.at, kinds, stack)
    site = wanting.the_site(args.site)
    if args.in_force:
        if site is None:
            raise BadSite("Name the site whose environments are meant: turnabout --site FILE drift --in-force")
        chosen = [site.require(name) for name in args.between or args.env or ()]
        return wanting.in_force(site, chosen, kinds, stack)
    return wanting.of_checkout(checkout, kinds, site, args.env or (), args.between or ())


def held_against(report: Report, asked: Wanted, args: argparse.Namespace, stack: ExitStack) -> Report:
    """The report, with only what the second environment's own commit did not have before as new."""
    pair, first = args.between, args.at[0]
    before = wanting.of_commits(Path(args.folder).resolve(), pair, [first, args.since], asked.kinds, stack)
    return wanting.since(report, replace(drifting.look(before), at=report.at), args.since)
