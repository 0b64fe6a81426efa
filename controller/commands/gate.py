"""What a promotion looks at before it goes on: how the two environments would differ once it is there.

What stage's branch has, with prod's own files, is held against stage. A difference of severity high that nobody
explains and that was not known when the target was promoted last stops the promotion; going on all the same is a row in
the target's ledger.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from controller.assemble import history, open_ledger
from controller.commands.orders import who
from controller.drift.blocking import last_promotion, stopped
from controller.drift.finding import Finding, Kind, Report, State
from controller.drift.saying import sentence
from controller.glass import drifting
from controller.glass.siting import Wanted
from controller.rollout import rows
from controller.rollout.standing import fold
from controller.site import Site
from controller.sources.git import GitSource
from controller.sources.laying import lay_out
from controller.sources.releases import FOLDER, owned_by
from environments import BadEnvironment

PROGRAM = "infra/declared.py"


def differences(git: GitSource, site: Site, names: tuple[str, str], commits: tuple[str, str]) -> Report | None:
    """The alignment of two environments as it would be; None where nothing of them is in the cloud.

    ``commits`` are the newest of the source's branch, whose files these are, and of the target's, for its own files.
    """
    source, target = commits
    if git.object_id(source, PROGRAM) is None or not all(
        in_cloud(git, *pair) for pair in zip(names, commits, strict=True)
    ):
        return None
    print(f"Looking at how {names[0]} and {names[1]} will differ …", file=sys.stderr)
    with TemporaryDirectory(prefix="turnabout-") as folder:
        lay_out(Path(folder), git.files, source)
        lay_out(Path(folder), git.files, target, owned_by(names[1]))
        wanted = Wanted(Path(folder), names, (names,), (Kind.ALIGNMENT, Kind.WAIVER), None)
        return drifting.recorded(site, drifting.look(wanted))


def in_cloud(git: GitSource, name: str, commit: str) -> bool:
    content = git.read(commit, FOLDER)(f"{name}.toml")
    return content is not None and b"[infra]" in content


def allowed(git: GitSource, site: Site, names: tuple[str, str], commits: tuple[str, str], despite: str) -> bool:
    """Say how the two differ, and whether the promotion may go on. ``despite`` is why it may all the same, or empty."""
    try:
        report = differences(git, site, names, commits)
    except BadEnvironment as bad:
        print(f"How {names[0]} and {names[1]} differ was not looked at: {bad}", file=sys.stderr)
        return True
    if report is None:
        return True
    past = history(site, names[1])
    if (at := last_promotion(past)) is not None:
        report = replace(report, promoted={names[1]: at})
    found = tuple(one for each in stopped(report) for one in each.by)
    print("\n".join(told(report, found, despite)), file=sys.stderr)
    if found and despite:
        body = {"source": names[0], "who": who(), "reason": despite, "findings": [one.name for one in found]}
        open_ledger(site, names[1]).append(rows.DRIFT, body, fold(past).generation)
    return not found or bool(despite)


def told(report: Report, found: tuple[Finding, ...], despite: str) -> list[str]:
    lines = [sentence(report)]
    lines += [f"  not looked at: {one.why}" for one in report.having(State.UNSEEN)]
    for one in found:
        lines.append(f"  {one.severity}  {one.id}  {one.what}: {one.why}")
        lines += [f"        {remedy.says}: {remedy.does}" for remedy in one.remedies]
    if found:
        lines.append(f"It goes on all the same: {despite}" if despite else "Go on: --despite-drift --reason WHY")
    return lines
