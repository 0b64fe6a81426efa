"""Which commit of a branch may be released, by its history: who signed it, what a merge leaves out, what it mixes.

Three rules, each with a sentence that names the commits and says what to do. What is *in* a commit is judged where it
is built; how the reading is done stands in ``history``.

Theory. A commit is asked about together with every step of the branch's main line since the last promoted commit:
otherwise one more commit on top would let in what was refused. Each rule ends at the step that mended it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import takewhile

from controller.errors import Refused
from controller.sources.commits import ROLLOUT
from controller.sources.history import LOOK_BACK, History, Step
from controller.sources.promotion import is_application, is_infrastructure
from controller.sources.signers import Signers

NAMED = 3
"""How many commits or files a sentence names before it only counts."""
Changes = Callable[[str, str], tuple[list[str], list[str]]]
"""What differs between two commits of infrastructure, and what of applications, as files."""


# ---- who signed ---------------------------------------------------------------------------------------------------


def unsigned(
    history: History, signed: Callable[[str, str], bool], signers: Signers, own: str, since: str, commit: str
) -> str | None:
    """The commit that nobody who may has signed, among those that ``commit`` stands on; None when all is well.

    A person's signature, or the controller's ``own``, vouches for a commit with all that led to it. The forge's
    vouches for a merge alone, not for what was merged: each of the merge's parents needs a signature as well, unless
    it led to what was promoted last.
    """
    waiting, seen = [commit], set[str]()
    while waiting:
        one = waiting.pop()
        if one in seen or one == since or (one != commit and history.contains(since, one)):
            continue
        seen.add(one)
        if signed(one, f"{signers.people}\n{own}"):
            continue
        parents = next(history.steps(one, 1)).parents
        if len(seen) > LOOK_BACK or len(parents) < 2 or not (signers.forge and signed(one, signers.forge)):
            return one
        waiting += parents
    return None


# ---- what a merge leaves out --------------------------------------------------------------------------------------


def refuse_hiding(
    history: History, steps: Iterable[Step], source: str, source_tip: str, target: str, owned: Collection[str]
) -> None:
    """Raise Refused if the newest merge of the source's branch is not what the source has.

    After a revert an ordinary three-way merge takes the revert for a change of ours, and leaves the feature out.
    """
    line = history.main_line(source_tip)
    steps = tuple(steps)
    for step in steps:
        merged = next((parent for parent in step.merged if parent in line), None)
        if merged is None or step.before is None:
            continue
        differing = [path for path in history.changed(merged, step.commit) if path not in owned]
        undone = not history.changed(step.before, steps[0].commit)
        if not differing or undone:
            return
        hidden = [history.named(commit) for commit in _hidden(history, step.commit, merged, differing[:NAMED])]
        brings, promote = f"the merge {step.commit[:7]} brings {source}'s {merged[:7]}", f"promote {source} {target}"
        if hidden:
            said = f"{brings} only in part: it leaves out {_listed(hidden)}"
            remedy = f"An ordinary merge does that after a revert. Bring all of it: turnabout {promote}."
        else:
            said = f"{brings}, but not as {source} has it: {_listed(differing)}"
            remedy = f"Bring that to {source} first, or give it up: turnabout {promote} takes {source}'s files."
        raise Refused(f"reading commit {steps[0].commit[:7]}", said, remedy)


def _hidden(history: History, merge: str, merged: str, differing: Collection[str]) -> tuple[str, ...]:
    """The commits that led to ``merged`` and whose work on ``differing`` files the merge does not have."""
    found = list[str]()
    for path in differing:
        led = history.touching(merged, (path,))
        as_merged = [not history.changed(commit, merge, (path,)) for commit in led]
        found += led[: as_merged.index(True)] if True in as_merged else led[: len(led) == 1]
    return tuple(dict.fromkeys(found))


# ---- what is mixed ------------------------------------------------------------------------------------------------


def refuse_mixing(
    history: History, steps: Iterable[Step], target: str, owned: Collection[str], places: Callable[[str], object]
) -> None:
    """Raise Refused if a step changes infrastructure and applications at once, and neither was taken out since.

    Infrastructure is applied first and never taken back by itself, so it has a commit of its own. The controller's
    reverts restore what was, and may touch both. Of the target's own files, which also hold its applications' settings,
    a change counts if what ``places`` makes of the two commits differs: what they state of where things run.
    """

    def changes(before: str, after: str) -> tuple[list[str], list[str]]:
        changed = history.changed(before, after)
        own = [path for path in changed if path in owned]
        if own and places(before) == places(after):
            own = []
        infrastructure = [path for path in changed if is_infrastructure(path, owned) or path in own]
        return infrastructure, [path for path in changed if is_application(path)]

    steps = tuple(steps)
    for number, step in enumerate(steps):
        infrastructure, apps = _mixed(history, step, changes)
        if not (infrastructure and apps) or step.before is None:
            continue
        if any(_undone(history, step.before, later.commit, infrastructure, apps) for later in steps[:number]):
            continue
        mixes = f"{step.commit[:7]} changes infrastructure ({_listed(infrastructure)}) and applications"
        said = f"{mixes} ({_listed(apps)}) at once, which {target} does not take"
        remedy = (
            "Take one of the two out again and bring it in a commit of its own, infrastructure first; promote does."
        )
        raise Refused(f"reading commit {steps[0].commit[:7]}", said, remedy)


def _mixed(history: History, step: Step, changes: Changes) -> tuple[list[str], list[str]]:
    """What a step changes of infrastructure and of applications; nothing, if it may, or if it only changes one."""
    if step.before is None:
        return [], []
    infrastructure, apps = changes(step.before, step.commit)
    if not (infrastructure and apps) or any(history.trailers(one, ROLLOUT) for one in (step.commit, *step.merged)):
        return [], []
    if step.merged and not any(_mixed(history, one, changes)[0] for one in _merged(history, step.before, step.merged)):
        return [], []  # a merge of commits that each change one of the two
    return infrastructure, apps


def _merged(history: History, before: str, tips: Iterable[str]) -> Iterator[Step]:
    for tip in tips:
        yield from takewhile(lambda step: not history.contains(before, step.commit), history.steps(tip))


def _undone(history: History, before: str, later: str, *parts: Collection[str]) -> bool:
    return any(not history.changed(before, later, part) for part in parts)


def _listed(names: Collection[str]) -> str:
    named = [name.encode("utf-8", "replace").decode() for name in list(names)[:NAMED]]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    *first, last = [*named, *more]
    return f"{', '.join(first)} and {last}" if first else last
