"""``plan`` and ``promote``: what would happen next in an environment, and what goes on to the one after it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from controller import assemble
from controller.commands import gate
from controller.commands.exits import DONE, NO, PERSON
from controller.errors import Refused, SetAside
from controller.keys import commit_key
from controller.loop.branch import unreleasable
from controller.model import Release
from controller.rollout.plan import Ground, Plan
from controller.rollout.plan import plan as plan_next
from controller.rollout.standing import Standing, fold
from controller.site import Site
from controller.sources.commits import NotNeeded
from controller.sources.releases import owned_by
from environments import BadEnvironment, Environment


def plan(args: argparse.Namespace, site: Site) -> int:
    """Print what the controller would start next in one environment; starts nothing."""
    name = site.require(args.environment)
    parts = assemble.shared(site)
    standing = fold(assemble.history(site, name))
    environment = assemble.policy(parts, name, standing)
    head = parts.git.heads().get(environment.branch)
    if head is None:
        raise Refused(f"planning {name}", f"the repository has no branch {environment.branch}", "Push one to begin.")
    release = assemble.wanted(parts, environment, head)
    found = planned(parts, site, environment, standing, release)
    if args.json:
        print(json.dumps(plan_json(name, release, standing, found), indent=2))
    else:
        print("\n".join(plan_lines(name, release, standing, found)))
    return PERSON if found.waits else DONE


def planned(parts: assemble.Shared, site: Site, environment: Environment, standing: Standing, release: Release) -> Plan:
    for app in release.apps.values():
        parts.artifacts.ensure(app)
    outputs = site.outputs(environment.name)
    digests = {app.digest for app in (*release.apps.values(), *standing.promoted.values())}
    at = datetime.fromtimestamp(parts.clock.utc(), UTC)
    ground = Ground(
        environment,
        {node.app: node.backends for node in outputs.nodes},
        {digest: parts.artifacts.checks(digest) for digest in digests},
        parts.clock.name,
        standing.generation,
        next((window.name for window in environment.freezes if window.active(at)), None),
    )
    return plan_next(standing, release, ground, parts.clock.now())


def plan_lines(name: str, release: Release, standing: Standing, found: Plan) -> list[str]:
    lines = [f"{name} wants {release.commit[:7]} {release.subject}"]
    if found.rollout is not None:
        budget = found.rollout.budget
        for lane in found.rollout.lanes:
            base = lane.base.commit[:7] if lane.base else "nothing"
            waves = ", then ".join(" ".join(wave) for wave in lane.waves)
            controls = " ".join(lane.controls) or "none: it is the first release, and needs an approval"
            lines.append(f"  {lane.app}: {base} -> {lane.candidate.commit[:7]}; waves {waves}; control {controls}")
        lines.append(f"  gone within {budget.limit:.0f} s of its start unless it is promoted")
    lines += [f"  {app} waits: {why}" for app, why in found.waits.items()]
    if (rollout := standing.open_rollout) is not None:
        lines.append(f"  rollout {rollout.number} is {rollout.phase}: {rollout.why}")
    elif found.rollout is None and not found.waits:
        lines.append("  nothing to do: it runs what its branch wants")
    return lines


def plan_json(name: str, release: Release, standing: Standing, found: Plan) -> dict[str, object]:
    lanes = found.rollout.lanes if found.rollout is not None else ()
    return {
        "schema": "turnabout/plan/1",
        "environment": name,
        "commit": release.commit,
        "open_rollout": standing.open_rollout.number if standing.open_rollout else None,
        "would_start": [
            {"app": lane.app, "from": lane.base.digest if lane.base else None, "to": lane.candidate.digest,
             "waves": [list(wave) for wave in lane.waves], "control": list(lane.controls)}
            for lane in lanes
        ],
        "waits": dict(found.waits),
    }  # fmt: skip


def promote(args: argparse.Namespace, site: Site) -> int:
    """Commit the source branch's tree, with the target's own files, to the target's branch."""
    source, target = site.require(args.source), site.require(args.target)
    parts = assemble.shared(site)
    names = {name: fold(assemble.history(site, name)) for name in (source, target)}
    to = assemble.policy(parts, target, names[target])
    if to.promotes_from != source:
        said = f"it promotes from {to.promotes_from or 'nowhere'}"
        raise Refused(f"promoting {source} to {target}", said, f"See promotes_from in environments/{target}.toml.")
    branch = assemble.policy(parts, source, names[source]).branch
    proven(parts, source, branch, names[source])
    key = commit_key(args.key, site.keys) if args.key else None
    if args.despite_drift and not args.reason:
        raise Refused(f"promoting {source} to {target}", "--despite-drift says no reason", "Add --reason WHY.")
    commits = parts.git.fetch(branch), parts.git.fetch(to.branch)
    if not gate.allowed(parts.git, site, (source, target), commits, args.reason if args.despite_drift else ""):
        return NO
    try:
        done = parts.git.promote(branch, to.branch, owned_by(target), key)
    except SetAside as aside:
        print(aside)
        return PERSON
    if isinstance(done, NotNeeded):
        print(done.why)
        return NO
    if args.json:
        value = {"commit": done.commit, "source": done.source, "infrastructure": done.infrastructure}
        print(json.dumps({"schema": "turnabout/promote/1", **value}))
    else:
        if done.infrastructure is not None:
            print(f"{target}: {done.infrastructure[:7]} brings the infrastructure, in a commit of its own before it.")
        print(f"{target}: {done.commit[:7]} carries {source}'s {done.source[:7]}.")
        print(f"Watch it: turnabout watch {target}")
    return DONE


def proven(parts: assemble.Shared, source: str, branch: str, standing: Standing) -> None:
    """Only what was promoted there goes on. Raises Refused when the branch asks for anything else."""
    head = parts.git.fetch(branch)
    try:
        wants = parts.releases.release(parts.releases.environment(source, head), head)
    except (BadEnvironment, Refused) as no:
        raise Refused(f"promoting {source}", unreleasable(branch, head, no)) from no
    unproven = [
        app for app, release in wants.apps.items()
        if (promoted := standing.promoted.get(app)) is None or promoted.digest != release.digest
    ]  # fmt: skip
    if unproven:
        said = f"{', '.join(unproven)} of {source}'s newest commit {head[:7]} is not promoted there"
        raise Refused(f"promoting {source}", said, f"See turnabout status {source}; promote it when it is.")
