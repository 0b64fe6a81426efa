"""The shapes of two stacks held against each other: which kinds there are, and which properties they are given.

Nothing is compared as text. A difference counts as explained where a setting that the two files give differently makes
it: ``test_shapes_explained.py`` puts that one setting of the other into an environment and sees the difference go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PAIRS = (("dev", "stage"), ("stage", "prod"))
FREE = ("tags", "dimensions")
"""Properties whose keys are names, not shapes."""
EXPLAINED = {
    "cloudBackupSchedule:CloudBackupSchedule": "infra.atlas.backup",
    "advancedCluster:AdvancedCluster replicationSpecs.regionConfigs.autoScaling": "infra.atlas.autoscale_to",
    "instance:Instance without privateIp userData": "infra.controller_hosts",
}
"""What may differ, as ``differences`` writes it, to the setting that makes it so."""

Shape = tuple[str, frozenset[str]]


def shapes(resources: Iterable[tuple[str, Mapping[str, Any]]]) -> set[Shape]:
    """Of kinds with their inputs: each kind with the paths that some resource of it is given."""
    return {(kind.rpartition("/")[2], frozenset(paths(inputs))) for kind, inputs in resources}


def paths(value: object, at: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in FREE and inner is not None:
                yield f"{at}{key}"
                yield from paths(inner, f"{at}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, at)


def differences(one: set[Shape], other: set[Shape]) -> list[str]:
    """Each shape that only one side has, told by what it has more or less than the same kind on the other side."""
    return sorted({_told(shape, theirs) for mine, theirs in ((one, other), (other, one)) for shape in mine - theirs})


def _told(shape: Shape, theirs: set[Shape]) -> str:
    kind, mine = shape
    alike = sorted((has for name, has in theirs if name == kind), key=lambda has: len(has ^ mine))
    if not alike:
        return kind
    more, less = _tops(mine - alike[0]), _tops(alike[0] - mine)
    if shape[0].startswith("instance:"):
        return f"{kind} without {' '.join(less)}"
    return f"{kind} {' '.join(more or less)}"


def _tops(found: frozenset[str]) -> list[str]:
    """The paths that are in no other of them."""
    return sorted(path for path in found if not any(path.startswith(f"{other}.") for other in found))
