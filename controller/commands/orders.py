"""``approve abort hold resume retry revert``: what people ask for, as rows in the ledger.

The row is the request and its audit in one: it is on disk when the command returns, whether a controller runs or not,
and the controller that leads answers it at its next turn, or the next one that starts does.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os

from controller import rows
from controller.assemble import open_ledger
from controller.commands.exits import DONE, NO
from controller.model import IN_FLIGHT, Phase
from controller.rows import Row
from controller.site import Site
from controller.standing import Standing, fold, names

SAYS = {
    "approve": "approved; it starts as soon as every node is ready",
    "abort": "aborted: traffic off, then nodes back to last good; git stays as it is",
    "hold": "held: nothing starts here until `turnabout resume {environment}`",
    "resume": "resumed: the branch's newest commit is looked at again",
    "retry": "asked again: what was held or quarantined is tried once more as soon as the branch asks for it",
    "revert": "reverted: traffic off, nodes back, a revert commit on the branch, and not tried again",
}


def who() -> str:
    return os.environ.get("TURNABOUT_WHO") or getpass.getuser()


def give(args: argparse.Namespace, site: Site) -> int:
    """Append one order, if it makes sense where the environment stands now."""
    environment, verb = site.require(args.environment), args.command
    subject = getattr(args, "subject", "") or getattr(args, "to", "")
    row = order(site, environment, verb, args.reason, subject)
    if isinstance(row, str):
        print(row)
        return NO
    if args.json:
        print(json.dumps({"schema": "turnabout/order/1", "environment": environment, "row": row.n, **row.body}))
    else:
        print(f"{environment}: {SAYS[verb].format(environment=environment)}.")
        print(f"Watch it: turnabout watch {environment}")
    return DONE


def order(site: Site, environment: str, verb: str, reason: str, subject: str = "") -> Row | str:
    """The order's row, or why it could change nothing."""
    ledger = open_ledger(site, environment)
    standing = fold(ledger.rows())
    refusal = senseless(verb, subject, standing, environment)
    if refusal:
        return refusal
    body = {"verb": verb, "who": who(), "reason": reason, "subject": subject}
    return ledger.append(rows.ORDER, body, standing.generation)


def senseless(verb: str, subject: str, standing: Standing, environment: str) -> str | None:
    """Why the order could change nothing, or None."""
    rollout = standing.rollout
    moving = rollout is not None and rollout.phase in IN_FLIGHT | {Phase.PENDING, Phase.STUCK, Phase.REVERTING}
    promoted = rollout is not None and rollout.phase is Phase.PROMOTED
    if verb in ("abort", "revert") and not (moving or promoted):
        return f"Nothing to {verb} in {environment}: no rollout is in flight and the last is closed."
    if verb == "approve" and not (rollout is not None and rollout.phase in (Phase.PENDING, Phase.STUCK)):
        return f"Nothing waits for an approval in {environment}."
    if verb == "resume" and standing.hold is None:
        return f"{environment} is not held."
    if verb == "retry" and not (standing.quarantine or standing.blind or standing.aborted):
        return f"Nothing is held or quarantined in {environment}."
    if verb == "retry" and not any(
        names(standing, digest, subject) for digest in (*standing.quarantine, *standing.blind, *standing.aborted)
    ):
        return (
            f"Nothing that {subject} names is held or quarantined in {environment}; "
            f"turnabout plan {environment} says what is."
        )
    if verb == "revert" and subject and rollout is not None:
        bases = [lane.base for lane in rollout.lanes if lane.base is not None]
        known = {name for base in bases for name in (base.commit, base.digest.removeprefix("sha256:"))}
        if not any(name.startswith(subject.removeprefix("sha256:")) for name in known):
            kept = ", ".join(sorted({base.commit[:7] for base in bases})) or "nothing"
            return (
                f"The nodes of {environment} keep {kept} to go back to at once, not {subject}. To go further back, "
                f"revert in git on the branch of {environment}: that is a release like any other."
            )
    return None
