"""What the engine does or would do, resource by resource, and whether that may be. Pure.

A step names the properties that change, never their values: these lines are printed and kept in logs, and a value may
be a secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
ENGINES = {"delete-replaced": "delete", "create-replacement": "create"}
WORDS = {"create": "to create", "update": "to change", "replace": "to replace", "delete": "to delete"}
DONE = {"create": "created", "update": "changed", "replace": "replaced", "delete": "deleted"}
DRIFTED = {"create": "new", "update": "changed by hand", "replace": "replaced", "delete": "gone"}


class NotAllowed(Exception):
    """More would be deleted than was allowed; the message says what, and how to allow it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to one resource. ``deed`` is create, update, replace, delete or same."""

    deed: str
    urn: str
    paths: tuple[str, ...] = ()
    """The properties that change."""
    protected: bool = False
    becomes: str = ""
    """A digest of what the resource is to become, of a step that changes something."""

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """Such as ``ec2 Instance``: the module, where it says something, and what Pulumi calls it there."""
        package, _, rest = self.urn.split("::")[2].rpartition("$")[2].partition(":")
        module = rest.partition("/")[0]
        return f"{module if module != 'index' else package} {rest.rpartition(':')[2]}"

    @property
    def in_cloud(self) -> bool:
        """Whether it is something that exists outside of Pulumi: no component, no provider."""
        return not self.urn.split("::")[2].rpartition("$")[2].startswith(("turnabout:", "pulumi:"))

    def __str__(self) -> str:
        what = f"{SIGNS.get(self.deed, ' ')} {self.name} ({self.kind})"
        changed = f": {', '.join(self.paths)}" if self.paths and self.deed in ("update", "replace") else ""
        return f"{what}{changed}{'  [protected]' if self.protected and self.deed in ('delete', 'replace') else ''}"


def counted(steps: Iterable[Step], words: dict[str, str] = WORDS) -> str:
    """How many of each, as a part of a sentence."""
    counts = Counter(step.deed for step in steps)
    said = [f"{counts[deed]} {word}" for deed, word in words.items() if counts[deed]]
    return ", ".join([*said, f"{counts['same']} as they are"] if said else ["nothing to do"])


def look(environment: str, steps: Sequence[Step], allowed: int, unprotected: Collection[str]) -> None:
    """The guard: raises NotAllowed if ``steps`` delete more than ``allowed``, or what is protected and not named."""
    lost = [step for step in steps if step.deed in ("delete", "replace")]
    kept = [step for step in lost if step.protected and step.name not in unprotected]
    again = f"turnabout infra up {environment}"
    if kept:
        names = sorted({step.name for step in kept})
        flags = " ".join(f"--unprotect {name}" for name in names)
        raise NotAllowed(
            f"{environment}: {listed(kept)} would be deleted, and {'is' if len(kept) == 1 else 'are'} protected: what "
            f"is in there is lost with it. Nothing was changed. If that is meant: `{again} {flags}`."
        )
    if len(lost) > allowed:
        raise NotAllowed(
            f"{environment}: {len(lost)} resources would be deleted or replaced, and {allowed} may be: {listed(lost)}. "
            f"Nothing was changed. If that is meant: `{again} --deletions {len(lost)}`."
        )


def listed(steps: Sequence[Step], most: int = 8) -> str:
    said = [f"{step.name} ({step.kind})" for step in steps[:most]]
    return ", ".join([*said, f"and {len(steps) - most} more"] if len(steps) > most else said)
