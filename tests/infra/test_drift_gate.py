"""A promotion between environments that differ: a real repository, the real program, the row when somebody goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from controller.assemble import history, repository
from controller.commands import gate
from controller.rollout import rows
from controller.site import Site, load_site
from tests.integration.repository import git

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
HOUSE = Path(__file__).parents[2]
NAMES = ("stage", "prod")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout with the branches stage and prod, and a site beside it."""
    clone = tmp_path / "clone"
    for folder in ("environments", "infra", "apps"):
        ignored = shutil.ignore_patterns("__pycache__", "tests", "templates")
        shutil.copytree(HOUSE / folder, clone / folder, ignore=ignored)
    git(clone, "init", "--quiet", "--initial-branch=stage")
    commit(clone, "Begin")
    git(clone, "branch", "prod")
    (tmp_path / "turnabout.toml").write_text(f'environments = ["stage", "prod"]\nrepository = "{clone}"\n')
    return clone


def commit(clone: Path, subject: str) -> None:
    git(clone, "add", "--all")
    git(clone, "-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "--message", subject)


def site(clone: Path) -> Site:
    return load_site(clone.parent / "turnabout.toml")


def may_go_on(clone: Path, despite: str = "") -> bool:
    source = repository(site(clone))
    return gate.allowed(source, site(clone), NAMES, (source.fetch("stage"), source.fetch("prod")), despite)


def test_a_program_that_asks_for_names_stops_a_promotion_until_somebody_says_why_not(
    clone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNABOUT_WHO", "ann")
    assert may_go_on(clone)
    assert "are set on purpose; nothing else differs." in capsys.readouterr().err

    slot = clone / "infra" / "slot.py"
    asks = 'encrypted=args.labels.environment != "stage",\n            tags=tags,'
    slot.write_text(slot.read_text().replace("encrypted=True,\n            tags=tags,", asks))
    commit(clone, "Save on stage")
    assert not may_go_on(clone)
    said = capsys.readouterr().err
    assert "aws.ebs.Volume bos-a-data: encrypted is chosen by the environment's name" in said
    assert said.splitlines()[1].startswith("Promotion from stage to prod is blocked by 4 new high differences that")
    assert said.splitlines()[-1] == "Go on: --despite-drift --reason WHY"
    assert history(site(clone), "prod") == []

    assert may_go_on(clone, "the disks of stage are thrown away every night")
    (row,) = history(site(clone), "prod")
    assert (row.kind, row.body["who"], row.body["source"]) == (rows.DRIFT, "ann", "stage")
    assert row.body["reason"] == "the disks of stage are thrown away every night"
    assert all(name.startswith("alignment stage aws.ebs.Volume") for name in row.body["findings"])


def test_environments_that_are_on_one_machine_have_nothing_to_hold_against_each_other(clone: Path) -> None:
    for name in NAMES:
        path = clone / "environments" / f"{name}.toml"
        path.write_text(path.read_text().partition("\n[infra]")[0])
    commit(clone, "Come down to earth")
    git(clone, "branch", "--force", "prod")
    source = repository(site(clone))
    commits = source.fetch("stage"), source.fetch("prod")
    assert gate.differences(source, site(clone), NAMES, commits) is None
