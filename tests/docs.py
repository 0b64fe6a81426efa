"""``python -m tests.docs``: write the pages of ``docs/reference`` anew, from the code itself.

The command line's own help becomes ``cli.md``, the shapes of environment files and of ``release.toml`` become
``keys.md``. Nothing else is written; ``tests/unit/test_documents.py`` says when a page is no longer true.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controller.artifacts.spec import SpecShape
from controller.cli import parser
from environments.model import FileShape
from environments.overlay import BASE_ONLY, OVERLAY_ONLY

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
MADE = "Written by `python -m tests.docs`; do not edit it by hand."

Json = Mapping[str, Any]
Key = tuple[str, Json, bool]
"""A dotted key, its JSON Schema, and whether it must be there."""


# ---- the command line ---------------------------------------------------------------------------------------------


def commands() -> tuple[str, ...]:
    """Every command, in the order in which the help lists them."""
    made = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return tuple(made.choices)


def helped(*words: str) -> str:
    """What ``turnabout WORDS --help`` prints on a terminal of 100 columns without colours."""
    out = io.StringIO()
    with surroundings(COLUMNS="100", NO_COLOR="1"), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        parser().parse_args([*words, "--help"])
    return out.getvalue().strip()


@contextlib.contextmanager
def surroundings(**wanted: str) -> Iterator[None]:
    """Environment variables as ``wanted``, for as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cli() -> str:
    parts = ["# The command line", MADE, f"```\n{helped()}\n```"]
    for command in commands():
        parts.append(f"## `turnabout {command}`\n\n```\n{helped(command)}\n```")
    return "\n\n".join(parts) + "\n"


# ---- keys of files ------------------------------------------------------------------------------------------------


def environment_keys() -> list[Key]:
    """Every key of an environment file; a name that the author chooses is written ``*``."""
    return [*keys(FileShape.model_json_schema())]


def release_keys() -> list[Key]:
    """Every key of a ``release.toml``."""
    return [*keys(SpecShape.model_json_schema(by_alias=True))]


def keys(schema: Json) -> Iterator[Key]:
    """The leaves of a JSON Schema, and the tables whose keys are anybody's."""
    defs: Json = schema.get("$defs", {})

    def walk(part: Json, path: str, needed: bool) -> Iterator[Key]:
        part = plain(part, defs)
        under = plain(part.get("items", {}), defs)
        rest = part.get("additionalProperties")
        if "properties" in part:
            for name, inner in part["properties"].items():
                yield from walk(inner, f"{path}.{name}".lstrip("."), name in part.get("required", ()))
        elif "properties" in under:
            yield from walk(under, f"{path}[]", needed)
        elif isinstance(rest, dict) and "properties" in plain(rest, defs):
            yield from walk(rest, f"{path}.*", needed)
        else:
            yield path, part, needed

    yield from walk(schema, "", True)


def plain(part: Json, defs: Json) -> Json:
    """``part`` without references, and without the null that only says that a key may be left out."""
    if "$ref" in part:
        part = {**defs[part["$ref"].rpartition("/")[2]], **{k: v for k, v in part.items() if k != "$ref"}}
    either = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return plain({**part, **either[0], "anyOf": ()}, defs) if len(either) == 1 else part


WORDS = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false",
         "array": "array", "object": "table"}  # fmt: skip
BOUNDS = {"exclusiveMinimum": "more than", "minimum": "at least", "exclusiveMaximum": "less than",
          "maximum": "at most"}  # fmt: skip


def written_as(part: Json) -> str:
    """What an author writes for a key: its type, its choices or its bounds."""
    choices = part.get("enum") or ([part["const"]] if "const" in part else [])
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    kind = WORDS[part["type"]]
    bounds = [f"{word} {part[bound]:g}" for bound, word in BOUNDS.items() if bound in part]
    if part["type"] == "array" and part.get("minItems"):
        bounds.append("at least one")
    if part["type"] == "array" and "type" in part.get("items", {}):
        kind = f"array of {WORDS[part['items']['type']]}s".replace("texts", "text")
    for inner in part.get("patternProperties", {}).values():
        if "enum" not in inner:
            continue
        kind = f"table of {' or '.join(f'`{choice}`' for choice in inner['enum'])}"
    return ", ".join([kind, *bounds])


def default(part: Json, needed: bool) -> str:
    if needed:
        return "needed"
    value = part.get("default")
    return "left out" if value in (None, [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def home(path: str) -> str:
    """Which of the two files of an environment a key may stand in."""
    key = tuple(path.split("."))
    return "base" if key in BASE_ONLY else "overlay" if key in OVERLAY_ONLY else "either"


def row(path: str, part: Json, needed: bool) -> str:
    return f"| `{path}` | {written_as(part)} | {default(part, needed)} |"


def key_pages() -> str:
    parts = [
        "# Every key",
        MADE,
        "## Environment files",
        "`environments/base.toml`, and one overlay for each environment. `environments/reference.toml` explains every\n"
        "key with an example. Names that you choose are written `*`; `[]` is a table of which there may be several.",
        "| key | written as | default | stands in | what it says |\n|---|---|---|---|---|\n"
        + "\n".join(
            f"{row(path, part, needed)} {home(path)} | {part.get('description', '')} |"
            for path, part, needed in environment_keys()
        ),
        "## `release.toml`",
        "[release-toml.md](../release-toml.md) explains every key, and which kinds of check have which.",
        "| key | written as | default |\n|---|---|---|\n" + "\n".join(row(*key) for key in release_keys()),
    ]
    return "\n\n".join(parts) + "\n"


PAGES = {"cli.md": cli, "keys.md": key_pages}


def main() -> None:
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())


if __name__ == "__main__":
    main()
