"""Environments: what good files become, and the exact sentence that each kind of bad file gives.

The files here are small ones of the test's own, given to ``load`` as a mapping. ``bad_environments.txt`` is the table
of bad ones. Folders and the product's own files are looked at in ``test_environment_files.py``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from environments import BadEnvironment, Budget, Fleet, Freeze, Judge, Problem, load
from environments.overlay import Layers
from environments.whole import check

FILES = {
    "base.toml": """
poll_seconds = 2
[budget]
deploy_seconds = 60
watch_seconds = 60
revert_seconds = 60
margin_seconds = 5
[judge]
alpha = 0.01
silence_seconds = 5
[app.mqtt]
retention_days = 30
share = 0.5
tls = { port = 8883 }
""",
    "dev.toml": """
branch = "dev"
[fleet.mqtt]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
""",
    "prod.toml": """
branch = "prod"
promotes_from = "dev"
[budget]
watch_seconds = 30
[[freeze]]
name = "month end"
cron = "0 0 28 * *"
hours = 72
timezone = "America/New_York"
[fleet.mqtt]
zones = ["BOS", "DFW"]
nodes_per_zone = 3
waves = [{ BOS = 1 }, { BOS = 1, DFW = 1 }]
[fleet.c360]
zones = ["region"]
nodes_per_zone = 2
waves = [{ region = 1 }]
[app.mqtt]
share = 1
tls = { port = 1883 }
""",
}


def with_change(file: str, old: str, new: str) -> dict[str, bytes]:
    """The good files with one change in one of them; an ``old`` of "" adds ``new`` at the top."""
    assert old in FILES[file]
    changed = FILES | {file: FILES[file].replace(old, new, 1) if old else f"{new}\n{FILES[file]}"}
    return {name: text.encode() for name, text in changed.items()}


def complaints(files: dict[str, bytes], name: str = "prod", apps: tuple[str, ...] | None = None) -> list[str]:
    with pytest.raises(BadEnvironment) as bad:
        load(files.get, name, apps)
    return [f"{problem.file}: {problem}" for problem in bad.value.problems]


def test_the_overlay_is_laid_on_the_base_key_by_key() -> None:
    prod = load(with_change("prod.toml", "", "require_approval = true").get, "prod")

    assert (prod.name, prod.branch, prod.promotes_from, prod.signers) == ("prod", "prod", "dev", None)
    assert prod.budget == Budget(deploy=60, watch=30, revert=60, margin=5)
    assert prod.judge == Judge(alpha=0.01, silence=5)
    assert prod.freezes == (Freeze("month end", "0 0 28 * *", 72, "America/New_York"),)
    assert prod.fleets["mqtt"] == Fleet("mqtt", ("BOS", "DFW"), 3, ({"BOS": 1}, {"BOS": 1, "DFW": 1}), 0)
    assert prod.settings == {"mqtt": {"retention_days": 30, "share": 1, "tls": {"port": 1883}}, "c360": {}}
    assert (prod.poll_seconds, prod.require_approval) == (2, True)


def test_an_environment_sees_nothing_of_another_ones_overlay() -> None:
    dev = load(with_change("dev.toml", "", "").get, "dev")

    assert (dev.promotes_from, dev.budget.watch, dev.freezes, dev.require_approval) == (None, 60, (), False)
    assert dev.settings == {"mqtt": {"retention_days": 30, "share": 0.5, "tls": {"port": 8883}}}


def test_a_list_in_the_overlay_takes_the_place_of_the_base_s() -> None:
    window = '[[freeze]]\nname = "{}"\ncron = "0 0 1 1 *"\nhours = 1\ntimezone = "UTC"\n[judge]'
    files = with_change("base.toml", "[judge]", window.format("new year"))

    assert [freeze.name for freeze in load(files.get, "dev").freezes] == ["new year"]
    assert [freeze.name for freeze in load(files.get, "prod").freezes] == ["month end"]


CHANGES = [
    block.splitlines()
    for block in Path(__file__).with_name("bad_environments.txt").read_text().split("\n\n")[1:]
    if not block.startswith("# ")
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(line for line in change if line[0] in "+-"))
def test_a_bad_file_gives_exactly_these_sentences(change: list[str]) -> None:
    file = change[0]
    removed, added, said = ("\n".join(line[2:] for line in change if line[0] == sign) for sign in "-+!")

    with pytest.raises(BadEnvironment) as bad:
        load(with_change(file, removed, added).get, "prod")

    assert str(bad.value) == said


ODD_VALUES = [0, -1, 10**30, 1.5, float("nan"), "", "x" * 200, True, [], [[]], {}, {"": {}}, [{"x": -1}], datetime.min]


def places(table: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a file, the file itself left out."""
    inner = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in inner:
        yield (*at, key)
        yield from places(value, (*at, key))


@pytest.mark.parametrize("file", ["base.toml", "prod.toml"])
def test_whatever_stands_in_a_key_the_answer_is_an_environment_or_sentences(file: str) -> None:
    good = {name.removesuffix(".toml"): text for name, text in FILES.items()}
    answers = {"environment": 0, "sentences": 0}
    for place in places(tomllib.loads(FILES[file])):
        for odd in ODD_VALUES:
            tables = {name: tomllib.loads(text) for name, text in good.items()}
            spot: Any = tables[file.removesuffix(".toml")]
            for key in place[:-1]:
                spot = spot[key]
            spot[place[-1]] = odd
            try:
                check(Layers(tables["base"], tables["prod"], "prod.toml"), "prod", tables.get, None)
                answers["environment"] += 1
            except BadEnvironment as bad:
                assert bad.problems
                assert all(problem.reason and "\n" not in str(problem) for problem in bad.problems)
                answers["sentences"] += 1
    assert min(answers.values()) > 10


def test_every_complaint_comes_at_once_from_both_files() -> None:
    files = with_change("base.toml", "alpha = 0.01", "alpha = 1")
    files["prod.toml"] = (
        FILES["prod.toml"]
        .replace('"0 0 28 * *"', '"never"')
        .replace("watch_seconds = 30", "wach_seconds = 30")
        .replace("{ BOS = 1, DFW = 1 }", "{ DFW = 1 }")
        .replace("nodes_per_zone = 2", 'nodes_per_zone = "2"')
        .encode()
    )

    assert complaints(files) == [
        "environments/base.toml: judge.alpha: 1 is too large; write at most 0.2 "
        "(the chance that a harmless release is reverted, at any look)",
        'environments/prod.toml: budget.wach_seconds: this is not a known key (did you mean "watch_seconds"?)',
        'environments/prod.toml: fleet.c360.nodes_per_zone: "2" is text; write a whole number '
        "(nodes in each zone, lettered a to z)",
        'environments/prod.toml: freeze[0].cron: "never" is not five fields; '
        "write minute, hour, day of month, month, day of week",
        "environments/prod.toml: fleet.mqtt.waves[1]: BOS falls from 1 to 0, but waves count up; "
        "write every zone that has left last good so far",
    ]


@pytest.mark.parametrize(
    "server", ["prometheus:9090", "http://ann:secret@prometheus", "ftp://prometheus", "http://prometheus/?a=b", ""]
)
def test_a_metrics_server_is_an_address_and_holds_no_secret(server: str) -> None:
    files = with_change("base.toml", "alpha = 0.01", f'alpha = 0.01\nprometheus = "{server}"')

    assert complaints(files) == [
        f'environments/base.toml: judge.prometheus: "{server}" is not a server\'s address; '
        "write http:// or https://, a name, perhaps a port and a path, no password"
    ]


def test_a_metrics_server_may_stand_below_a_path() -> None:
    address = 'prometheus = "https://metrics.example:8481/select/0/prometheus/"'
    files = with_change("base.toml", "alpha = 0.01", f"alpha = 0.01\n{address}")

    assert load(files.get, "prod").judge.prometheus == "https://metrics.example:8481/select/0/prometheus"
    assert load(with_change("base.toml", "", "").get, "prod").judge.prometheus == ""


def test_both_files_that_are_not_toml_are_named_with_their_line() -> None:
    files = {"base.toml": b"a = 1\nb = \xff\n", "prod.toml": b"a = 1\na = 2\n"}

    assert complaints(files) == [
        "environments/base.toml: line 2: this is not UTF-8; save the file as UTF-8",
        "environments/prod.toml: line 2, column 6: this is not TOML: cannot overwrite a value; the line is `a = 2`",
    ]


def test_missing_files_are_named() -> None:
    assert complaints({}) == [
        "environments/base.toml: this file is missing; write it",
        "environments/prod.toml: this file is missing; write it",
    ]


@pytest.mark.parametrize("name", ["base", "reference", "waivers", "../prod", "Prod", "a.b", ""])
def test_a_name_that_no_environment_can_have_is_refused_before_anything_is_read(name: str) -> None:
    def read(file: str) -> bytes | None:
        raise AssertionError(f"{file} was read")

    with pytest.raises(BadEnvironment, match="cannot name an environment"):
        load(read, name)


def test_a_circle_is_seen_from_every_environment_that_leads_into_it() -> None:
    files = with_change("dev.toml", "", 'promotes_from = "stage"')
    files["stage.toml"] = FILES["dev.toml"].replace('"dev"', '"stage"').encode() + b"\n"
    files["stage.toml"] = b'promotes_from = "dev"\n' + files["stage.toml"]

    circle = "is a circle; let one of them promote from nothing"
    assert complaints(files, "prod") == [
        f"environments/prod.toml: promotes_from: dev from stage from dev {circle}",
    ]
    assert complaints(files, "stage") == [
        f"environments/stage.toml: promotes_from: stage from dev from stage {circle}",
    ]


def test_what_is_wrong_in_another_environment_s_file_is_not_this_one_s_complaint() -> None:
    assert load(with_change("dev.toml", "[fleet.mqtt]", "[fleet.mqtt").get, "prod").promotes_from == "dev"


def test_a_fleet_needs_a_folder_of_its_application_where_the_folders_are_known() -> None:
    files = with_change("prod.toml", "", "")

    assert load(files.get, "prod", apps=("c360", "mqtt")).name == "prod"
    assert complaints(files, apps=("c36", "mqtt")) == [
        'environments/prod.toml: fleet.c360: there is no folder apps/c360 (did you mean "c36"?)'
    ]


def test_an_environment_without_a_fleet_is_refused() -> None:
    files = with_change("dev.toml", "", "") | {"dev.toml": b'branch = "dev"\n'}

    assert complaints(files, "dev") == [
        "environments/dev.toml: fleet: no application runs here; write a table [fleet.<app>] for each that does"
    ]


def test_the_complaints_read_as_one_list_by_file() -> None:
    bad = BadEnvironment(
        [
            Problem("environments/base.toml", "judge.alpha", "this is wrong"),
            Problem("environments/prod.toml", "", "this too"),
            Problem("environments/base.toml", "line 3", "and this"),
        ]
    )

    assert str(bad) == (
        "environments/base.toml: 2 problems\n"
        "  - judge.alpha: this is wrong\n"
        "  - line 3: and this\n"
        "environments/prod.toml: 1 problem\n"
        "  - this too"
    )
