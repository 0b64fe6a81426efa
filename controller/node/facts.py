"""``node.json``: what the platform says of this node. Read here by every call, so this imports next to nothing."""

from __future__ import annotations

import json

from .errors import Json, Refused


def read_facts(root: str) -> Json:
    """The facts in ``root``; raises Refused where they cannot be used."""
    where = f"{root}/node.json"
    try:
        with open(where, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs each call milliseconds
            facts: Json = json.load(file)
        facts["app"], facts["run"]  # without these nothing can be found
    except (OSError, ValueError, KeyError, TypeError) as problem:
        why = f"{where} cannot be used ({problem!r}): the platform must write it first."
        raise Refused("usage", why) from None
    return facts
