"""``approve abort hold resume retry revert quarantine``: what people ask for, as rows in the ledger.

The row is the request and its audit in one: it is on disk when the command returns, whether a controller runs or not,
and the controller that leads answers it at its next turn, or the next one that starts does. Only a release that nodes
do not keep any more is asked for in git, where it is rolled out from like any other.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime

from controller import assemble
from controller.assemble import open_ledger
from controller.commands.exits import DONE, NO
from controller.errors import Trouble
from controller.model import CLOSED, AppRelease, Cause, Phase, Rollout
from controller.rollout import rows
from controller.rollout.rows import Row
from controller.rollout.standing import Standing, fold, named
from controller.site import BadSite, Site
from controller.sources.commits import NotNeeded
from controller.stories.past import promoted
from environments import BadEnvironment
from infra.outputs import BadOutputs

SAYS = {
    "approve": "approved: it begins when every node is ready and nothing else keeps it",
    "abort": "asked: unless something else was decided first, traffic goes off, nodes go back, and git stays as it is",
    "hold": "held: nothing starts here until `turnabout resume {environment}`",
    "resume": "resumed: the branch's newest commit is looked at again",
    "retry": "asked again: what was held or quarantined is tried once more as soon as the branch asks for it",
    "revert": "asked: traffic goes off, nodes go back, then a revert commit on the branch; it is not tried again",
    "clear": "cleared: it is tried again as soon as the branch asks for it",
}
"""What is certain when the row is written, and no more: what becomes of it is the controller's to say."""


def who() -> str:
    return os.environ.get("TURNABOUT_WHO") or getpass.getuser()


def give(args: argparse.Namespace, site: Site) -> int:
    """Append one order, if it makes sense where the environment stands now."""
    environment, verb = site.require(args.environment), args.command
    subject = getattr(args, "subject", "") or getattr(args, "to", "")
    if verb == "quarantine":
        verb = args.action
    history = assemble.history(site, environment)
    if not history:
        print(f"Nothing was ever led in {environment}: start a controller first (turnabout run), then give the order.")
        return NO
    if verb == "revert" and subject and not at_hand(fold(history), subject):
        return restored(args, site, environment, subject)
    row = order(site, environment, verb, args.reason, subject)
    if isinstance(row, str):
        print(row)
        return NO
    if args.json:
        print(json.dumps({"schema": "turnabout/order/1", "environment": environment, "row": row.n, **row.body}))
    else:
        print(f"{environment}: {SAYS[verb].format(environment=environment)}.")
        if not assemble.is_led(site, environment):
            print(f"No controller leads {environment} now: the order waits for one (turnabout run).")
        print(f"Watch it: turnabout watch {environment}")
    return DONE


def order(site: Site, environment: str, verb: str, reason: str, subject: str = "") -> Row | str:
    """The order's row, or why it could change nothing."""
    ledger = open_ledger(site, environment)
    standing = fold(ledger.rows())
    if verb == "approve" and standing.open_rollout is None and frozen(site, environment, standing):
        subject = standing.last_seen or ""  # this commit and no later one
    else:
        refusal = senseless(verb, subject, standing, environment)
        if refusal:
            return refusal
    body = {"verb": verb, "who": who(), "reason": reason, "subject": subject}
    return ledger.append(rows.ORDER, body, standing.generation)


def frozen(site: Site, environment: str, standing: Standing) -> bool:
    """Whether a freeze window is open there now; none is known of before the first promotion."""
    if not standing.promoted:
        return False
    try:
        stated = assemble.policy(assemble.shared(site), environment, standing)
    except (Trouble, BadEnvironment, BadOutputs, BadSite):  # nothing to go through: the answer is the usual one
        return False
    now = datetime.now(UTC)
    return any(window.active(now) for window in stated.freezes)


def senseless(verb: str, subject: str, standing: Standing, environment: str) -> str | None:
    """Why the order could change nothing, or None."""
    rollout = standing.rollout
    moving = rollout is not None and rollout.phase not in CLOSED and rollout.phase is not Phase.PROMOTED
    promoted_one = rollout is not None and rollout.phase is Phase.PROMOTED
    if verb in ("abort", "revert") and not (moving or promoted_one):
        return f"Nothing to {verb} in {environment}: no rollout is in flight and the last is closed."
    if verb in ("abort", "revert") and rollout is not None and going_back(rollout):
        follows = "a revert commit and the quarantine follow" if rollout.cause is Cause.HARM else "git stays as it is"
        return (
            f"Rollout {rollout.number} of {environment} goes back already and {follows}, so that {verb} would change "
            f"nothing: {rollout.why}"
        )
    if verb in ("abort", "revert") and promoted_one and rollout is not None:
        bases = [lane.base for lane in rollout.lanes if lane.base is not None]
        if (barred := quarantined(standing, bases, environment)) is not None:
            return barred
    if verb == "approve" and not (rollout is not None and rollout.phase in (Phase.PENDING, Phase.STUCK)):
        return f"Nothing waits for an approval in {environment}."
    if verb == "resume" and standing.hold is None:
        return f"{environment} is not held."
    if verb == "retry" and not named(standing, ""):
        return f"Nothing is held or quarantined in {environment}."
    if verb == "clear" and not standing.quarantine:
        return f"Nothing is quarantined in {environment}."
    if verb in ("retry", "clear") and not named(standing, subject):
        return f"Nothing that is held or quarantined in {environment} is {subject}: see turnabout status {environment}."
    return None


def going_back(rollout: Rollout) -> bool:
    return Phase.REVERTING in (rollout.phase, rollout.heading) or Phase.RETURNING in (rollout.phase, rollout.heading)


def quarantined(standing: Standing, releases: Iterable[AppRelease], environment: str) -> str | None:
    """Why nobody goes to these releases, or None."""
    for release in releases:
        if (bad := standing.quarantine.get(release.digest)) is not None:
            clear = f"turnabout quarantine clear {environment} {release.commit[:7]} --reason WHY"
            return f"{release.app} {release.commit[:7]} is quarantined: {bad.why} To go there all the same: {clear}"
    return None


# ---- going back further than nodes keep ---------------------------------------------------------------------------


def at_hand(standing: Standing, subject: str) -> bool:
    """Whether nodes still keep the release: the one before the newest rollout, to which they go back at once."""
    rollout = standing.rollout
    bases = [lane.base for lane in rollout.lanes if lane.base is not None] if rollout is not None else []
    open_or_promoted = rollout is not None and rollout.phase not in CLOSED
    return open_or_promoted and any(called(base, subject) for base in bases)


def called(release: AppRelease, subject: str) -> bool:
    """Whether ``subject`` begins the release's commit or digest."""
    names = (release.commit, release.digest.removeprefix("sha256:"))
    return any(name.startswith(subject.removeprefix("sha256:")) for name in names)


def restored(args: argparse.Namespace, site: Site, environment: str, subject: str) -> int:
    """Ask for an earlier release in git, and for none of what it takes the place of."""
    ledger = open_ledger(site, environment)
    standing = fold(ledger.rows())
    ran = [one for one in promoted(ledger.rows()) if any(called(release, subject) for release in one)]
    if not ran:
        print(f"{environment} never ran {subject}: turnabout history {environment} lists what it did.")
        return NO
    named_so = [release for release in ran[-1] if called(release, subject)]
    now = {app: release.digest for app, release in standing.promoted.items()}
    wanted = [release for release in named_so if now.get(release.app) != release.digest]
    if not wanted:
        print(f"{environment} runs {subject} now.")
        return NO
    if (barred := quarantined(standing, wanted, environment)) is not None:
        print(barred)
        return NO
    parts = assemble.shared(site)
    for release in wanted:
        parts.artifacts.ensure(release)
    branch = assemble.policy(parts, environment, standing).branch
    done = parts.releases.restore(environment, branch, wanted, f"{who()} reverted to it: {args.reason}")
    if isinstance(done, NotNeeded):
        print(done.why)
        return NO
    for left in (now[release.app] for release in wanted if release.app in now):
        body = {"verb": "quarantine", "who": who(), "reason": args.reason, "subject": left}
        ledger.append(rows.ORDER, body, standing.generation)
    apps = ", ".join(release.app for release in wanted)
    if args.json:
        answer = {"schema": "turnabout/restore/1", "environment": environment, "commit": done.commit}
        print(json.dumps(answer | {"apps": [release.app for release in wanted]}))
    else:
        print(f"{environment}: {done.commit[:7]} asks for {apps} as in {wanted[0].commit[:7]} again.")
        print("Nodes do not keep that release, so it is rolled out like any other.")
        print(f"Watch it: turnabout watch {environment}")
    return DONE
