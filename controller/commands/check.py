"""``turnabout check``: every complaint about environments and applications, before anything is merged."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from controller.artifacts.spec import AppSpec, BadSpec, parse
from controller.commands.exits import DONE, NO
from environments import BadEnvironment, Environment, from_folder, names
from environments.problems import Problem


def check(args: argparse.Namespace) -> int:
    """Check a checkout: its environments folder and every application that has a fleet or a ``release.toml``."""
    folder = Path(args.folder)
    wanted = args.environment or names(folder / "environments")
    if not wanted:
        problems = [Problem(str(folder / "environments"), "", nothing_here(folder))]
    else:
        good, problems = environments(folder, wanted)
        problems += applications(folder, good, whole=not args.environment and len(good) == len(wanted))
    if args.json:
        said = [f"{problem.file}: {problem}" for problem in problems]
        print(json.dumps({"schema": "turnabout/check/1", "good": not problems, "problems": said}, indent=2))
    elif problems:
        print(BadEnvironment(problems))
    else:
        print(f"{', '.join(wanted)}: no complaints.")
    return NO if problems else DONE


def nothing_here(folder: Path) -> str:
    what = "there is no such folder" if not (folder / "environments").is_dir() else "no file here is an environment's"
    remedy = "run this in a checkout or name one with --folder; docs/example is a small one to copy"
    return f"{what}, so there is nothing to check; {remedy}"


def environments(folder: Path, wanted: Sequence[str]) -> tuple[list[Environment], list[Problem]]:
    """Those that are whole, and what is wrong with the others: of the base, which they share, it is said once."""
    good: list[Environment] = []
    problems: list[Problem] = []
    for name in wanted:
        try:
            good.append(from_folder(folder / "environments", name))
        except BadEnvironment as bad:
            problems += bad.problems
    return good, list(dict.fromkeys(problems))


def applications(folder: Path, good: Iterable[Environment], whole: bool) -> Iterator[Problem]:
    """What is wrong with the applications; that one has no fleet is known only where every environment was read."""
    fleets = {app for environment in good for app in environment.fleets}
    written = {path.parent.name for path in folder.glob("apps/*/release.toml")} if whole else set()
    for app in sorted(fleets | written):
        path = folder / "apps" / app / "release.toml"
        try:
            spec = parse(path.read_bytes() if path.exists() else None, app)
        except BadSpec as bad:
            yield from bad.problems
        else:
            yield from missing(folder, spec)
            yield from unasked(spec, good)
        if app not in fleets:
            reason = f"no environment has it run anywhere; write a table [fleet.{app}] in each that shall"
            yield Problem(f"apps/{app}/release.toml", "", reason)


def missing(folder: Path, spec: AppSpec) -> Iterator[Problem]:
    """The files that a release.toml counts on and that are not there."""
    file = f"apps/{spec.app}/release.toml"
    for key, argv in (("start", spec.start), ("probe", spec.probe)):
        wanted = program(argv)
        if wanted and not any((folder / one).is_file() for one in wanted):
            yield Problem(file, key, f"there is no {' and no '.join(wanted)}; write it, or correct {key}")
    if not (folder / "apps" / spec.app / "requirements.lock").is_file():
        reason = "there is no such file; pin what it depends on with pip-compile --generate-hashes, or leave it empty"
        yield Problem(f"apps/{spec.app}/requirements.lock", "", reason)


def program(argv: Sequence[str]) -> tuple[str, ...]:
    """Where the program that ``argv`` starts may stand in a checkout; nothing where only a node can say."""
    if argv[0] != "python" or len(argv) < 2:
        return ()
    if argv[1] == "-m" and len(argv) > 2 and argv[2].startswith("apps."):
        module = argv[2].replace(".", "/")
        return f"{module}.py", f"{module}/__main__.py"
    return (argv[1],) if argv[1].startswith("apps/") else ()


def unasked(spec: AppSpec, environments: Iterable[Environment]) -> Iterator[Problem]:
    """Environments that name no metrics server although a check of the application asks one."""
    asking = ", ".join(check.name for check in spec.checks if check.kind == "prometheus")
    for environment in environments:
        if asking and spec.app in environment.fleets and not environment.judge.prometheus:
            reason = f"this key is missing; {asking} of apps/{spec.app}/release.toml asks that server"
            yield Problem(f"environments/{environment.name}.toml", "judge.prometheus", reason)
