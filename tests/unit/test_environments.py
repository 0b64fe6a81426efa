"""Environments: what good files become, and the exact sentence that each kind of bad file gives.

The files here are small ones of the test's own, given to ``load`` as a mapping; the product's own files and
``reference.toml`` are looked at in ``test_environment_files.py``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from environments import BadEnvironment, Budget, Fleet, Freeze, Judge, Problem, from_folder, load, names

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


def test_the_budget_knows_the_node_s_deadline_and_the_end_of_the_candidate() -> None:
    budget = Budget(deploy=60, watch=50, revert=40, margin=5)

    assert budget.end == 115
    assert budget.limit == 150


def test_nodes_are_named_after_their_zone() -> None:
    fleet = Fleet("mqtt", ("BOS", "DFW"), 2, ({"BOS": 1}, {"BOS": 2, "DFW": 1}), 0)

    assert fleet.node_names() == (("BOS", "bos-a"), ("BOS", "bos-b"), ("DFW", "dfw-a"), ("DFW", "dfw-b"))
    assert fleet.wave_nodes(0) == ("bos-a",)
    assert fleet.wave_nodes(1) == ("bos-a", "bos-b", "dfw-a")


NEW_YORK = Freeze("month end", "0 0 28 * *", 72, "America/New_York")


@pytest.mark.parametrize(
    ("freeze", "at", "active"),
    [
        (NEW_YORK, "2025-01-28T04:59:59.999+00:00", False),
        (NEW_YORK, "2025-01-28T05:00:00+00:00", True),  # midnight in New York
        (NEW_YORK, "2025-01-28T00:00:00-05:00", True),
        (NEW_YORK, "2025-01-31T04:59:59.999+00:00", True),
        (NEW_YORK, "2025-01-31T05:00:00+00:00", False),
        (NEW_YORK, "2025-07-28T03:59:59+00:00", False),  # in summer midnight is an hour earlier by UTC
        (NEW_YORK, "2025-07-28T04:00:00+00:00", True),
        # The clocks go forward on the night of 9 March 2025: a window of 24 hours lasts 24 hours.
        (Freeze("spring", "0 0 9 3 *", 24, "America/New_York"), "2025-03-10T04:59:59+00:00", True),
        (Freeze("spring", "0 0 9 3 *", 24, "America/New_York"), "2025-03-10T05:00:00+00:00", False),
        # 02:30 does not exist that night: the window begins when the clocks have gone forward.
        (Freeze("gap", "30 2 9 3 *", 1, "America/New_York"), "2025-03-09T06:59:59+00:00", False),
        (Freeze("gap", "30 2 9 3 *", 1, "America/New_York"), "2025-03-09T07:00:00+00:00", True),
        # 01:30 comes twice on 2 November 2025: the window begins at the first and is an hour old at the second.
        (Freeze("twice", "30 1 2 11 *", 1, "America/New_York"), "2025-11-02T06:29:59+00:00", True),
        (Freeze("twice", "30 1 2 11 *", 1, "America/New_York"), "2025-11-02T06:30:00+00:00", False),
        # A window that begins again before it ends goes on.
        (Freeze("always", "0 0 * * *", 25, "UTC"), "2025-05-05T00:30:00+00:00", True),
        (Freeze("weekend", "0 18 * * FRI", 60, "UTC"), "2025-05-05T05:59:59+00:00", True),
        (Freeze("weekend", "0 18 * * FRI", 60, "UTC"), "2025-05-05T06:00:00+00:00", False),
    ],
)
def test_a_freeze_is_active_from_its_first_second_and_no_longer_at_its_end(
    freeze: Freeze, at: str, active: bool
) -> None:
    assert freeze.active(datetime.fromisoformat(at)) is active


def test_a_freeze_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="knows its zone"):
        NEW_YORK.active(datetime(2025, 1, 28))


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


def test_both_files_that_are_not_toml_are_named_with_their_line() -> None:
    files = {"base.toml": b"a = 1\nb = \xff\n", "prod.toml": b"a = 1\na = 2\n"}

    assert complaints(files) == [
        "environments/base.toml: line 2: this is not UTF-8; save the file as UTF-8",
        "environments/prod.toml: line 2: this is not TOML: cannot overwrite a value",
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


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_gives_what_its_files_give(tmp_path: Path) -> None:
    files = with_change("prod.toml", "", "")

    assert from_folder(write(tmp_path / "environments", files), "prod") == load(files.get, "prod")


def test_a_folder_lists_its_environments_in_the_order_of_promotion(tmp_path: Path) -> None:
    files = with_change("prod.toml", "", "") | {
        "acceptance.toml": b'promotes_from = "prod"',
        "qa.toml": b"promotes_from = 'dev",
        "reference.toml": b"",
        "waivers.toml": b"",
        "Pulumi.dev.yaml": b"",
    }

    assert names(write(tmp_path / "environments", files)) == ("dev", "qa", "prod", "acceptance")
    assert names(tmp_path / "nowhere") == ()


def test_a_folder_that_lacks_an_environment_names_the_nearest(tmp_path: Path) -> None:
    folder = write(tmp_path / "environments", with_change("prod.toml", "", ""))

    with pytest.raises(BadEnvironment) as bad:
        from_folder(folder, "prd")

    assert bad.value.problems == (
        Problem("environments/prd.toml", "", 'there is no such environment (did you mean "prod"?)'),
    )


def test_a_folder_looks_for_applications_beside_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "environments", with_change("prod.toml", "", ""))
    (tmp_path / "apps" / "mqtt").mkdir(parents=True)
    (tmp_path / "apps" / "__pycache__").mkdir()

    with pytest.raises(BadEnvironment, match=r"there is no folder apps/c360 \(known: mqtt\)"):
        from_folder(folder, "prod")


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
