"""What a drift report is wanted of: a checkout as it lies there, two commits, or what is in force at a site.

Here names become a Wanted, with every complaint; looking is ``drifting``'s matter. Commits are laid out in folders that
are gone when the report is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from controller.assemble import history
from controller.drift.finding import Kind, Report
from controller.errors import Refused
from controller.glass.siting import Wanted
from controller.rollout.standing import fold
from controller.site import FILE, Site, load_site
from controller.sources.gitcli import Git
from controller.sources.laying import around, commit_of, laid_out, of_repository
from environments import BadEnvironment, from_folder, names
from environments.problems import Problem, in_folder, nearest

OF_COMMITS = (Kind.ALIGNMENT, Kind.WAIVER)
"""What two commits can be asked: the other kinds look at what is, and no commit changes that."""
MIRROR = "mirror.git"


def the_site(named: Path | None) -> Site | None:
    """The site, if one is named or here: what ledgers and nodes know needs one, what is declared does not."""
    path = named or Path(os.environ.get("TURNABOUT_SITE", FILE))
    return load_site(path) if named or "TURNABOUT_SITE" in os.environ or path.exists() else None


def of_checkout(
    checkout: Path, kinds: tuple[Kind, ...], site: Site | None, chosen: Sequence[str] = (), pair: Sequence[str] = ()
) -> Wanted:
    """Environments as a checkout has them: all, those that are chosen, or two. Raises BadEnvironment, Refused."""
    known = known_in(checkout)
    if pair:
        left, right = (require(name, known) for name in pair)
        return Wanted(checkout, (left, right), ((left, right),), kinds, site)
    those = tuple(require(name, known) for name in chosen) or known
    return Wanted(checkout, those, pairs_among(those, dict.fromkeys(known, checkout)), kinds, site)


def pairs_among(those: tuple[str, ...], checkouts: dict[str, Path]) -> tuple[tuple[str, str], ...]:
    """Each environment with the one that it promotes from, where both are looked at."""
    before = {name: from_folder(checkouts[name] / "environments", name).promotes_from for name in those}
    return tuple((source, name) for name in those if (source := before[name]) in those and source is not None)


def of_commits(
    checkout: Path, pair: Sequence[str], said: Sequence[str], kinds: tuple[Kind, ...], stack: ExitStack
) -> Wanted:
    """Two environments, each as a commit of the checkout's repository has it; one commit is for both."""
    if len(said) > 2:
        raise Refused("reading commits", f"--at names {len(said)} commits", "Name one for both, or one for each.")
    git = around(checkout)
    commits = [commit_of(git, one) for one in (said if len(said) == 2 else [*said, *said])]
    folders = {commit: spread(git, commit, stack) for commit in dict.fromkeys(commits)}
    left, right = (require(name, known_in(folders[at])) for name, at in zip(pair, commits, strict=True))
    return Wanted(
        folders[commits[1]], (left, right), ((left, right),), kinds, None,
        {left: folders[commits[0]], right: folders[commits[1]]},
    )  # fmt: skip


def in_force(site: Site, chosen: Sequence[str], kinds: tuple[Kind, ...], stack: ExitStack) -> Wanted:
    """The site's environments, each by the commit that is in force there, from the controller's mirror."""
    git = of_repository(site.state / MIRROR)
    commits = {name: fold(history(site, name)).policy for name in chosen or site.environments}
    at = {name: commit for name, commit in commits.items() if commit}
    if not at:
        said = f"nothing was promoted yet in {', '.join(commits)}"
        raise Refused("looking for drift", said, "Look at a checkout: turnabout drift --folder DIR")
    folders = {commit: spread(git, commit, stack) for commit in dict.fromkeys(at.values())}
    checkouts = {name: folders[commit] for name, commit in at.items()}
    those = tuple(at)
    return Wanted(checkouts[those[-1]], those, pairs_among(those, checkouts), kinds, site, checkouts)


def spread(git: Git, commit: str, stack: ExitStack) -> Path:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="turnabout-")))
    return laid_out(folder, git, commit)


def known_in(checkout: Path) -> tuple[str, ...]:
    known = names(checkout / "environments")
    if not known:
        said = f"{checkout} has no folder environments with environments in it"
        raise Refused("looking for drift", said, "Name a checkout with --folder.")
    return known


def require(name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        reason = f"there is no such environment {nearest(name, known)}"
        raise BadEnvironment([Problem(in_folder(f"{name}.toml"), "", reason)])
    return name


def since(report: Report, before: Report, commit: str) -> Report:
    """The report, in which only what ``before`` had not is new."""
    known = {one.name for one in before.findings}
    findings = tuple(replace(one, new=one.open and one.name not in known) for one in report.findings)
    return replace(report, findings=findings, since=commit)
