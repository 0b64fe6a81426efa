"""The JSON that scripts read: every key is documented, every documented key exists, and it is JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.faces.drift_records import report_json
from controller.faces.records import history_json, overview_json, story_json
from controller.rollout import rows
from controller.stories.overview import survey
from controller.stories.past import history
from controller.stories.telling import tell
from tests import reflections, tales

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
NAMED_BY_DATA = {
    "nodes", "shares", "marks", "budgets", "apps[].zones", "ticks[].nodes", "ticks[].shares", "ticks[].evidence",
    "coverage", "findings[].values", "findings[].differences[].values", "findings[].causes[].places",
    "findings[].causes[].values",
}  # fmt: skip


def documented(schema: str) -> set[str]:
    section = PAGE.split(f"## `{schema}`")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def keys(value: Any, path: str = "") -> Iterator[str]:
    """The path of everything in ``value``; names that are data are written ``*``, elements ``[]``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            here = ".".join(filter(None, (path, "*" if path in NAMED_BY_DATA else name)))
            if not holds_objects(inner) and here not in NAMED_BY_DATA | GROUPS:
                yield here
            yield from keys(inner, here)
    elif holds_objects(value):
        yield f"{path}[]"
        for inner in value:
            yield from keys(inner, f"{path}[]")


GROUPS = {"evidence", "ledger"}
"""Keys that only group others."""


def holds_objects(value: Any) -> bool:
    return isinstance(value, list) and (not value or isinstance(value[0], dict))


def rollouts() -> Iterator[dict[str, Any]]:
    for make in tales.TALES.values():
        tale = make()
        yield story_json(tell(tale.written, tale.number))


def statuses() -> Iterator[dict[str, Any]]:
    for make in tales.TALES.values():
        tale = make()
        tale.order(tale.t + 60, "hold", "the night shift", "the line is moving")
        tale.write(rows.BLOCKED, {"about": "head", "commit": "abc", "since": tale.t0_at, "why": "It is no TOML."})
        yield overview_json(survey("prod", tale.written, tale.t0_at + 500))


def histories() -> Iterator[dict[str, Any]]:
    yield history_json("prod", history(tales.reverted().written))


def drifts() -> Iterator[dict[str, Any]]:
    yield report_json(reflections.report())


SCHEMAS = (
    ("turnabout/rollout/1", rollouts),
    ("turnabout/status/1", statuses),
    ("turnabout/history/1", histories),
    ("turnabout/drift/1", drifts),
)


@pytest.mark.parametrize(("schema", "objects"), SCHEMAS)
def test_every_key_is_documented_and_every_documented_key_exists(schema: str, objects: Any) -> None:
    found = {key for one in objects() for key in keys(one)}
    assert found - documented(schema) == set()
    assert documented(schema) - found == set()


def test_it_is_json_without_not_a_number_or_infinity() -> None:
    for one in (*rollouts(), *statuses(), *histories()):
        assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_infinite_evidence_is_written_as_the_highest_number() -> None:
    tale = tales.reverted()
    rows = tale.written
    for row in rows:
        if row.kind == "sample" and row.body["verdict"]:
            row.body["verdict"]["evidence"] = float("inf")
            row.body["evidence"].update(dict.fromkeys(row.body["evidence"], float("inf")))
    told = story_json(tell(rows, 42))
    assert told["evidence"]["together"] == 1e12
    json.dumps(told, allow_nan=False)
