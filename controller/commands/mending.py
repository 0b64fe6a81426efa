"""``node mend``: the files of what a node should run, laid down again as they were staged; nothing starts or stops.

It is no order, and no row: what should run stays what it is, and the node believes only the manifest's digests.
"""

from __future__ import annotations

import argparse
import json

from controller import assemble
from controller.commands.exits import DONE
from controller.commands.machines import slot
from controller.drift.finding import counted
from controller.drift.resources import listed
from controller.errors import Refused
from controller.site import Site

NAMED = 5
"""So many files are named; the rest are counted."""


def mend(args: argparse.Namespace, site: Site) -> int:
    """Raises Refused, Unreachable, BadSite, BadOutputs."""
    environment, name = slot(args.slot, site, "mending")
    fleet = assemble.fleet(site, environment)
    release = fleet.inspect(name).get("release")
    if not release:
        remedy = f"Ask what it waits for: turnabout status {environment}"
        raise Refused(f"mending {name}", "it has no release that should run", remedy)
    mended = fleet.mend(name, str(release["digest"]))
    if args.json:
        told = {"environment": environment, "node": name, "release": release["digest"], "mended": [*mended]}
        print(json.dumps({"schema": "turnabout/mending/1", **told}))
    else:
        print(f"{environment}/{name}: {said(mended)}")
    return DONE


def said(mended: tuple[str, ...]) -> str:
    if not mended:
        return "every file of its release lies as it was staged."
    verb = "was" if len(mended) == 1 else "were"
    names = listed(mended, NAMED)
    many = f"{counted(len(mended), 'file')} {verb} put back"
    return f"{many}: {names}. What was read before is read again at its next start."
