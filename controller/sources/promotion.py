"""What a promotion puts on the target's branch: the source's files, infrastructure apart from applications.

Every path is either promoted or owned by the target's environment, and nothing else may differ. Makes trees in the
mirror; commits and pushes nothing. What may be pushed by other means is said in ``admission``.
"""

from __future__ import annotations

from collections.abc import Collection

from controller.sources.history import History
from controller.sources.trees import Trees

APPS = "apps"
INFRASTRUCTURE = ("infra", "Pulumi.yaml", "environments")
"""Where things run. Of the environments only what is promoted: an environment's own files are its settings."""


def is_application(path: str) -> bool:
    return path.startswith(f"{APPS}/")


def is_infrastructure(path: str, owned: Collection[str]) -> bool:
    """Whether a file is promoted, and says where things run."""
    return path not in owned and (path in INFRASTRUCTURE or path.partition("/")[0] in INFRASTRUCTURE)


def promoted(trees: Trees, history: History, source: str, tip: str, owned: Collection[str]) -> tuple[str, ...]:
    """The trees that follow the target's ``tip``: none, one, or infrastructure first and then everything."""
    whole = trees.grafted(source, {path: trees.entries(tip, path) for path in owned})
    changed = history.changed(tip, whole)
    if not changed:
        return ()
    if not (any(is_infrastructure(path, owned) for path in changed) and any(map(is_application, changed))):
        return (whole,)
    return trees.grafted(tip, {part: trees.entries(whole, part) for part in INFRASTRUCTURE}), whole
