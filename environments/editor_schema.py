"""The JSON Schema by which an editor completes and checks environment files while they are typed.

Printed by ``python -m environments.editor_schema``; ``environment.schema.json`` is what it printed last. It knows keys,
types and bounds. It does not know what ``overlay.py`` and ``rules.py`` know, and since each file holds only a part of
an environment it requires a key only inside a freeze window, which is always written whole.
"""

from __future__ import annotations

import json
from typing import Any

from environments.model import FileShape
from environments.overlay import BASE_ONLY, OVERLAY_ONLY

_shape_of = {"budget": "BudgetShape", "judge": "JudgeShape", "infra": "InfraShape"}


def editor_schema() -> dict[str, Any]:
    schema: dict[str, Any] = _plain(FileShape.model_json_schema())
    tables: dict[str, Any] = schema["$defs"]
    for table in (schema, *(table for name, table in tables.items() if name != "FreezeShape")):
        table.pop("required", None)
    for home, keys in (("in base.toml only", BASE_ONLY), ("never in base.toml", OVERLAY_ONLY)):
        for *above, key in keys:
            table = tables[_shape_of[str(above[0])]] if above else schema
            table["properties"][key]["description"] += f" ({home})"
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A Turnabout environment"
    return schema


def _plain(node: Any) -> Any:
    """Without what TOML cannot say (null) and what no reader needs (titles made from key names)."""
    if isinstance(node, list):
        return [_plain(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    plain = {
        key: _plain(item)
        for key, item in node.items()
        if not (key == "title" and isinstance(item, str)) and not (key == "default" and item is None)
    }
    choices = plain.get("anyOf", [])
    if len(choices) == 1:
        del plain["anyOf"]
        plain |= choices[0]
    return plain


if __name__ == "__main__":
    print(json.dumps(editor_schema(), indent=2, sort_keys=True))
