"""What taking a release back means for the files of a branch's tip: each file that it changed, as it was before.

The tip may have moved since. What others wrote on top is kept; where that is the application itself, the tip asks for
another release, and there is nothing to take back. Reads the mirror and stores merged files in it; commits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.errors import Conflict
from controller.sources.commits import NotNeeded, Reversal, Suspect
from controller.sources.trees import LINK, SUBMODULE, Entry, Trees

Files = Mapping[str, Entry]
Grafts = dict[str, tuple[Entry, ...]]


def restored(trees: Trees, reversal: Reversal, suspect: Suspect, tip: str, attempt: str) -> Grafts | NotNeeded:
    """What each path must hold so that ``tip`` no longer asks for the suspect's release, or why it does not ask now."""
    app, good = suspect.app, suspect.good
    if good is None:
        return NotNeeded(f"{app} has no last good to go back to.")
    if reversal.carries is not None and not reversal.carries(tip, app):
        return _another(app, tip)
    grafts: Grafts = {}
    touched, disputed = False, []
    for path in suspect.paths:
        before, brought, now = (_files(trees, commit, path) for commit in (good, reversal.bad, tip))
        changed = sorted(name for name in before.keys() | brought.keys() if before.get(name) != brought.get(name))
        if changed and reversal.carries is None and now != brought and any(name != path for name in changed):
            return _another(app, tip)
        touched = touched or bool(changed)
        for name in changed:
            back = _back(trees, before.get(name), brought.get(name), now.get(name))
            if back is None:
                disputed.append(name)
            elif back != _only(now.get(name)):
                grafts[name] = back
    if not touched:
        return NotNeeded(f"{reversal.bad[:12]} changed nothing of {app}.")
    if disputed and (grafts or reversal.carries is not None):
        said = f"{', '.join(disputed)} was edited since, at the place that {reversal.bad[:12]} changed"
        raise Conflict(attempt, said, f"Take {reversal.bad[:12]} back by hand, on top of {tip[:12]}.")
    return grafts or _another(app, tip)


def _another(app: str, tip: str) -> NotNeeded:
    return NotNeeded(f"{tip[:12]} no longer asks for this release of {app}.")


def _files(trees: Trees, commit: str, path: str) -> Files:
    return {entry.path: entry for entry in trees.entries(commit, path)}


def _only(entry: Entry | None) -> tuple[Entry, ...]:
    return (entry,) if entry else ()


def _back(trees: Trees, before: Entry | None, brought: Entry | None, now: Entry | None) -> tuple[Entry, ...] | None:
    """The file as it was before, with what others did to it since; None where both changed one place."""
    if now == brought:
        return _only(before)
    if now == before:
        return _only(now)
    if not before or not brought or not now or {before.mode, brought.mode, now.mode} & {LINK, SUBMODULE}:
        return None
    contents = trees.contents(entry.object_id for entry in (now, brought, before))
    merged = trees.merged(contents[now.object_id], contents[brought.object_id], contents[before.object_id])
    return None if merged is None else (Entry(now.path, now.mode, trees.write(merged)),)
