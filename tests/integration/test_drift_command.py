"""``turnabout drift`` on the command line: what it writes, its exit codes, a sentence for each thing that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from controller import cli
from tests.integration.small import BASE, TOY

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def drift(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in a checkout of two environments that are on one machine; its exit code, and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("TURNABOUT_SITE", raising=False)
    folder = tmp_path / "environments"
    folder.mkdir()
    (folder / "base.toml").write_text(BASE)
    (folder / "stage.toml").write_text(f'branch = "stage"\n{TOY}')
    (folder / "prod.toml").write_text(f'branch = "prod"\npromotes_from = "stage"\n{TOY}')

    def run(*argv: str) -> tuple[int, str]:
        try:
            code = cli.main(["drift", *argv])
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else -1
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


def test_environments_on_one_machine_declare_nothing_that_could_differ(drift: Command) -> None:
    code, said = drift()
    assert code == 0
    assert "EVERY DIFFERENCE IS EXPLAINED" in said


def test_the_report_is_written_in_every_form_that_is_asked_for(drift: Command, tmp_path: Path) -> None:
    code, said = drift("--json", "--html", "a.html", "--markdown", "a.md", "--sarif", "a.sarif")
    assert (code, json.loads(said)["schema"]) == (0, "turnabout/drift/1")
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "a.md").read_text().startswith("### ✓ every difference is explained: stage and prod")
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"


def test_a_folder_that_is_not_there_is_named(drift: Command) -> None:
    code, said = drift("--html", "nowhere/a.html")
    assert (code, "there is no folder nowhere" in said) == (1, True)


def test_a_misspelt_environment_is_answered_with_the_one_that_was_meant(drift: Command) -> None:
    assert drift("--env", "prdo") == (
        1,
        'environments/prdo.toml: 1 problem\n  - there is no such environment (did you mean "prod"?)\n',
    )


def test_without_a_checkout_it_says_where_it_looked(drift: Command, tmp_path: Path) -> None:
    code, said = drift("--folder", "elsewhere")
    assert code == 1
    assert f"{tmp_path}/elsewhere has no folder environments" in said
    assert said.endswith("Name a checkout with --folder.\n")


def test_what_only_a_site_knows_is_not_looked_at_without_one(drift: Command) -> None:
    code, said = drift("--kind", "release", "data")
    assert code == 1
    assert "release was not looked at in stage and prod" in said
    assert "turnabout --site FILE drift" in said


def test_a_waiver_that_cannot_be_read_is_a_finding_and_nothing_else_is_lost(drift: Command, tmp_path: Path) -> None:
    (tmp_path / "environments" / "waivers.toml").write_text("[[waiver]]\nmatch = 'live x'\nowner = 'ann'\n")
    code, said = drift()
    assert code == 1
    assert "waiver[0].reason, line 1: this key is missing (why it is accepted)" in " ".join(said.split())


def test_an_environment_that_is_wrong_is_said_with_every_complaint(drift: Command, tmp_path: Path) -> None:
    (tmp_path / "environments" / "prod.toml").write_text(f'branch = "prod"\nbranhc = 7\n{TOY}')
    code, said = drift()
    assert code == 1
    assert 'branhc: this is not a known key (did you mean "branch"?)' in said


def test_a_record_that_is_none_is_not_written_over(drift: Command, tmp_path: Path) -> None:
    (tmp_path / "turnabout.toml").write_text('environments = ["stage", "prod"]\n')
    record = tmp_path / "controller" / "drift.json"
    record.parent.mkdir()
    record.write_text("[]")
    code, said = drift("--kind", "waiver")
    assert (code, record.read_text()) == (1, "[]")
    assert "Move it away; the next report begins a new record." in said
