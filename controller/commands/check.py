"""``turnabout check``: every complaint about environments and applications, before anything is merged."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from controller.artifacts.spec import AppSpec, BadSpec, parse
from controller.commands.exits import DONE, NO
from environments import BadEnvironment, Environment, from_folder, names


def check(args: argparse.Namespace) -> int:
    """Check a checkout: its environments folder and the ``release.toml`` of every application they name."""
    folder = Path(args.folder)
    problems: list[str] = []
    good: list[Environment] = []
    wanted = args.environment or names(folder / "environments")
    if not wanted:
        problems.append(f"{folder / 'environments'} defines no environment; name a checkout with --folder.")
    for name in wanted:
        try:
            good.append(from_folder(folder / "environments", name))
        except BadEnvironment as bad:
            problems.append(str(bad))
    for app in sorted({app for environment in good for app in environment.fleets}):
        try:
            path = folder / "apps" / app / "release.toml"
            spec = parse(path.read_bytes() if path.exists() else None, app)
        except BadSpec as bad:
            problems.append(str(bad))
        else:
            problems += unasked(spec, good)
    if args.json:
        report = {"schema": "turnabout/check/1", "good": not problems, "problems": problems}
        print(json.dumps(report, indent=2))
    elif problems:
        print("\n".join(problems))
    else:
        print(f"{', '.join(environment.name for environment in good)}: no complaints.")
    return NO if problems else DONE


def unasked(spec: AppSpec, environments: list[Environment]) -> Iterator[str]:
    """Environments that name no metrics server although a check of the application asks one."""
    names = [check.name for check in spec.checks if check.kind == "prometheus"]
    for environment in environments:
        if names and spec.app in environment.fleets and not environment.judge.prometheus:
            yield (
                f"environments/{environment.name}.toml: judge.prometheus: this key is missing; "
                f"{', '.join(names)} of apps/{spec.app}/release.toml asks that server"
            )
