"""What every shape of a file stands on: strict, with no key beyond those it names, and the texts that many of them use.

The shapes themselves are in ``model.py`` and ``infra_shapes.py``.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from environments.problems import shown

ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,15}")


def _zone(text: str) -> str:
    if not ZONE_NAME.fullmatch(text):
        raise ValueError(f"{shown(text)} cannot name a zone; write a letter, then up to 15 letters, digits or hyphens")
    return text


Zone = Annotated[str, AfterValidator(_zone), Field(json_schema_extra={"pattern": f"^{ZONE_NAME.pattern}$"})]
Text = Annotated[str, Field(min_length=1)]


class Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
