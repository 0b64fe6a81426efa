"""``drift``: how environments differ from what they say they are, and from each other. It changes nothing."""

from __future__ import annotations

import argparse
import json
import os
from importlib.metadata import version
from pathlib import Path

from controller import drifting
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
from controller.site import FILE, Site, load_site
from controller.siting import Wanted
from environments import BadEnvironment, from_folder, names
from environments.problems import Problem, in_folder, nearest


def drift(args: argparse.Namespace) -> int:
    """Look at what is wanted, and show it; exit 2 when anything differs that nobody explains."""
    report = drifting.look(wanted(args))
    report = drifting.recorded(site(args), report)
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
    if report.open:
        return NO
    return ERROR if report.unseen else DONE


def site(args: argparse.Namespace) -> Site | None:
    """The site, if one is named or here: what ledgers and nodes know needs one, what is declared does not."""
    path = args.site or Path(os.environ.get("TURNABOUT_SITE", FILE))
    return load_site(path) if args.site or "TURNABOUT_SITE" in os.environ or path.exists() else None


def wanted(args: argparse.Namespace) -> Wanted:
    """Raises BadEnvironment, Refused."""
    checkout = Path(args.folder).resolve()
    known = names(checkout / "environments")
    if not known:
        said = f"{checkout} has no folder environments with environments in it"
        raise Refused("looking for drift", said, "Name a checkout with --folder.")
    before = {name: from_folder(checkout / "environments", name).promotes_from for name in known}
    kinds = tuple(Kind(kind) for kind in args.kind) if args.kind else tuple(Kind)
    if args.between:
        left, right = (require(name, known) for name in args.between)
        return Wanted(checkout, (left, right), ((left, right),), kinds, site(args))
    chosen = tuple(require(name, known) for name in args.env) if args.env else known
    pairs = tuple((source, name) for name in chosen if (source := before[name]) in chosen and source is not None)
    return Wanted(checkout, chosen, pairs, kinds, site(args))


def require(name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        reason = f"there is no such environment {nearest(name, known)}"
        raise BadEnvironment([Problem(in_folder(f"{name}.toml"), "", reason)])
    return name
