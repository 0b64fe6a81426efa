"""``environments/`` as a folder: its three environments, the reference, the schema for editors, and copies of it."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import BaseModel

from apps.mqtt.config import Settings, parsed_settings
from environments import BadEnvironment, Problem, from_folder, load, names
from environments.editor_schema import editor_schema
from environments.model import FileShape
from environments.overlay import BASE_ONLY, OVERLAY_ONLY, Layers
from environments.whole import check

FOLDER = Path(__file__).parents[2] / "environments"
REFERENCE = (FOLDER / "reference.toml").read_text()
AUTHORS_OWN = (
    "app",
    "infra.public",
    "infra.zones",
    "infra.fronts",
    "infra.tags",
    "infra.atlas.grants",
)  # tables whose keys the author names
FILES = sorted(path.name for path in FOLDER.glob("*.toml") if path.name != "waivers.toml")


def keys(shape: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key that a shape knows, dotted; what stands in a table or a list of tables is under its key."""
    for name, field in shape.model_fields.items():
        yield above + name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from keys(inner, f"{above}{name}.")


def keys_said(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in table.items():
        yield above + name
        inner = value[0] if name == "freeze" else value
        if above == "" and name in ("fleet", "app"):
            (inner,) = value.values()
        if isinstance(inner, dict) and above + name not in AUTHORS_OWN:
            yield from keys_said(inner, f"{above}{name}.")


def test_the_environments_are_good_and_come_in_the_order_of_promotion() -> None:
    assert names(FOLDER) == ("dev", "stage", "prod")
    environments = {name: from_folder(FOLDER, name) for name in names(FOLDER)}

    assert [environments[name].promotes_from for name in environments] == [None, "dev", "stage"]
    for environment in environments.values():
        assert environment.budget.limit <= 180
        assert set(environment.fleets) == {"mqtt", "c360"}
        every = [name for fleet in environment.fleets.values() for _, name in fleet.node_names()]
        assert len(every) == len(set(every))
        assert environment.infra is not None
        quiet = environment.promotes_from != "stage"
        assert all((fleet.synthetic_per_second > 0) is quiet for fleet in environment.fleets.values())


def test_prod_keeps_a_control_node_to_the_last_wave() -> None:
    for fleet in from_folder(FOLDER, "prod").fleets.values():
        assert set(fleet.wave_nodes(-1)) < {name for _, name in fleet.node_names()}


def test_the_base_declares_every_setting_of_the_edge_application_with_its_default() -> None:
    declared = tomllib.loads((FOLDER / "base.toml").read_text())["app"]["mqtt"]

    assert set(declared) == {field.name for field in fields(Settings)}
    assert parsed_settings({"settings": declared}, FOLDER / "base.toml") == Settings()


def test_an_overlay_may_set_what_the_base_declares_for_the_edge_application() -> None:
    said = '[app.mqtt]\nack = "peer"\ncertificates = "required"\nrules = [{ name = "hot", above = 90 }]\n'
    files = {path.name: path.read_bytes() for path in FOLDER.glob("*.toml")}
    files["prod.toml"] += said.encode()

    given = load(files.get, "prod").settings["mqtt"]
    settings = parsed_settings({"settings": given}, FOLDER / "prod.toml")
    assert (settings.ack, settings.certificates, settings.rules[0].name) == ("peer", "required", "hot")


def test_a_folder_gives_what_its_files_give() -> None:
    files = {path.name: path.read_bytes() for path in FOLDER.glob("*.toml")}

    assert from_folder(FOLDER, "prod") == load(files.get, "prod")


def test_a_folder_lists_its_environments_in_the_order_of_promotion(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "environments")
    (folder / "acceptance.toml").write_text('promotes_from = "prod"')
    (folder / "broken.toml").write_text('promotes_from = "prod')
    (folder / "waivers.toml").touch()
    (folder / "Pulumi.dev.yaml").touch()

    assert names(folder) == ("broken", "dev", "stage", "prod", "acceptance")
    assert names(tmp_path / "nowhere") == ()


def test_a_folder_that_lacks_an_environment_names_the_nearest() -> None:
    with pytest.raises(BadEnvironment) as bad:
        from_folder(FOLDER, "prd")

    assert bad.value.problems == (
        Problem("environments/prd.toml", "", 'there is no such environment (did you mean "prod"?)'),
    )


def test_a_folder_looks_for_applications_beside_itself(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "environments")
    assert from_folder(folder, "prod").name == "prod"

    (tmp_path / "apps" / "mqtt").mkdir(parents=True)
    (tmp_path / "apps" / "__pycache__").mkdir()
    with pytest.raises(BadEnvironment, match=r"there is no folder apps/c360 \(known: mqtt\)"):
        from_folder(folder, "prod")


def test_the_reference_says_every_key_and_no_other() -> None:
    assert sorted(keys_said(tomllib.loads(REFERENCE))) == sorted(keys(FileShape))


def test_the_reference_is_itself_a_good_environment() -> None:
    said = tomllib.loads(REFERENCE)
    of_overlay = {path[0] for path in OVERLAY_ONLY}
    overlay = {key: value for key, value in said.items() if key in of_overlay}
    base = {key: value for key, value in said.items() if key not in of_overlay}

    whole = check(Layers(base, overlay, "prod.toml"), "prod", {"stage": {"branch": "stage"}}.get, apps=("mqtt",))

    assert whole.head.branch == "prod"
    assert whole.infra is not None


@pytest.mark.parametrize("line", [line for line in REFERENCE.splitlines() if re.match(r"\[|\w+ =", line)])
def test_the_reference_says_something_about_every_key(line: str) -> None:
    assert "#" in line or line == "[judge]"


@pytest.mark.parametrize(("mark", "paths"), [("base only", BASE_ONLY), ("overlay only", OVERLAY_ONLY)])
def test_the_reference_marks_the_keys_that_have_one_home(mark: str, paths: frozenset[tuple[str, ...]]) -> None:
    marked = {line.split(" = ")[0] for line in REFERENCE.splitlines() if f"# {mark}." in line}

    assert marked == {path[-1] for path in paths}


def test_the_schema_for_editors_is_what_the_shapes_say() -> None:
    assert json.loads((FOLDER / "environment.schema.json").read_text()) == editor_schema(), (
        "write it again: python -m environments.editor_schema > environments/environment.schema.json"
    )


@pytest.mark.parametrize("file", FILES)
def test_every_file_names_the_schema_and_keeps_to_it(file: str) -> None:
    text = (FOLDER / file).read_text()

    assert text.startswith("#:schema ./environment.schema.json\n")
    jsonschema.validate(tomllib.loads(text), editor_schema())


@pytest.mark.parametrize(
    "bad",
    [
        "brnch = 'x'",
        "[budget]\ndeploy_seconds = 61",
        "[judge]\nalpha = 0.3",
        "[[freeze]]\nname = 'x'",
        "[fleet.mqtt]\nzones = ['US east']",
        "[fleet.mqtt]\nwaves = [['BOS:1']]",
        "[fleet.mqtt]\nnodes = 3",
    ],
)
def test_the_schema_shows_an_editor_what_is_wrong(bad: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(bad), editor_schema())
