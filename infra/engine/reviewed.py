"""A plan as people reviewed it, and whether what would be done now is still that. Pure.

A plan says what changes and not to what: values may be secrets, so each step has a digest of what its resource is to
become, from which the engine has taken secrets out. A secret that alone has changed therefore looks as reviewed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.engine.steps import NotAllowed, Step, listed
from infra.engine.trouble import Failed

SCHEMA = "turnabout/infra-plan/1"


def digest(inputs: Mapping[str, Any] | None) -> str:
    """Of what a resource is to become."""
    return hashlib.sha256(json.dumps(inputs or {}, sort_keys=True, default=str).encode()).hexdigest()


def to_json(environment: str, steps: Iterable[Step]) -> str:
    """The plan as a file; what stays as it is is no part of it."""
    said = [
        {"deed": step.deed, "urn": step.urn, "properties": list(step.paths), "becomes": step.becomes}
        for step in sorted(steps, key=lambda step: step.urn)
        if step.deed != "same"
    ]
    return json.dumps({"schema": SCHEMA, "environment": environment, "steps": said}, indent=2) + "\n"


def from_json(text: str, environment: str, source: str) -> list[Step]:
    """Read it back. Raises Failed where it is no plan of this environment."""
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError
        made = [Step(s["deed"], s["urn"], tuple(s["properties"]), becomes=s["becomes"]) for s in document["steps"]]
    except (ValueError, KeyError, TypeError):
        again = f"`turnabout infra preview {environment} --plan {source}` writes one"
        raise Failed(f"{source}: it is no plan that this version reads; {again}. Nothing was changed.") from None
    if document["environment"] != environment:
        whose = document["environment"]
        raise Failed(f"{source}: it is a plan of {whose}, and not of {environment}. Nothing was changed.")
    return made


def hold(environment: str, steps: Sequence[Step], reviewed: Sequence[Step]) -> None:
    """Raises NotAllowed unless ``steps`` do exactly what was reviewed."""
    meant = {step.urn: key(step) for step in reviewed}
    now = {step.urn: key(step) for step in steps if step.deed != "same"}
    new = [step for step in steps if step.urn in now and meant.get(step.urn) != now[step.urn]]
    gone = sorted((step for step in reviewed if step.urn not in now), key=lambda step: step.name)
    if not new and not gone:
        return
    said = [f"nobody reviewed {listed(new)}"] if new else []
    said += [f"there is nothing left to do about {listed(gone)}"] if gone else []
    raise NotAllowed(
        f"{environment}: what would be done is not what was reviewed: {'; '.join(said)}. Nothing was changed. Look at "
        f"it again: `turnabout infra preview {environment}`."
    )


def key(step: Step) -> tuple[str, tuple[str, ...], str]:
    return step.deed, step.paths, step.becomes
