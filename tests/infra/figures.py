"""The figures of stacks' lives, as ``build/infra.json`` has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.infra.shapes import EXPLAINED, PAIRS, Shape, differences, shapes

if TYPE_CHECKING:
    from tests.infra.life import Life

FIGURES = Path(__file__).parents[2] / "build" / "infra.json"


def write(lives: Mapping[str, Life]) -> None:
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(document(lives), indent=2) + "\n")


def document(lives: Mapping[str, Life]) -> dict[str, Any]:
    return {
        "schema": "turnabout/infra-lives/1",
        "engine": "Pulumi's own; its providers are test equipment on an emulated cloud, see docs/emulation.md",
        "stacks": {name: of(life) for name, life in lives.items()},
        "shapes": {
            f"{one} and {other}": {
                difference: EXPLAINED.get(difference, "")
                for difference in differences(shape(lives[one]), shape(lives[other]))
            }
            for one, other in PAIRS
        },
    }


def of(life: Life) -> dict[str, Any]:
    return {
        "resources": len(life.resources),
        "kinds": len(life.kinds),
        "seconds": {command: round(ran.seconds, 1) for command, ran in life.commands.items()},
        "idempotent": life.again.said.endswith("nothing to do"),
        "refreshes_clean": life.refresh.code == 0,
        "left_after_destroy": len(life.left),
    }


def shape(life: Life) -> set[Shape]:
    """Names that Pulumi invents are no shape."""
    return shapes((one["type"], one["inputs"]) for one in life.resources)
