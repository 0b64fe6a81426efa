"""A promotion pull request, checked: two environments as two commits have them, none of them checked out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.repository import git

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
HOUSE = Path(__file__).parents[2]
ASKS = 'encrypted=args.labels.environment != "prod",\n            tags=tags,'


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Branches stage and prod; a pull request to prod whose program asks for a name; its checkout lies on another."""
    clone = tmp_path_factory.mktemp("pull") / "clone"
    for folder in ("environments", "infra", "apps"):
        ignored = shutil.ignore_patterns("__pycache__", "tests", "templates")
        shutil.copytree(HOUSE / folder, clone / folder, ignore=ignored)
    git(clone, "init", "--quiet", "--initial-branch=stage")
    commit(clone, "Begin")
    git(clone, "branch", "prod")
    git(clone, "checkout", "--quiet", "-b", "pull")
    slot = clone / "infra" / "slot.py"
    text = slot.read_text()
    assert "encrypted=True,\n            tags=tags," in text
    slot.write_text(text.replace("encrypted=True,\n            tags=tags,", ASKS))
    commit(clone, "Save on disks")
    git(clone, "checkout", "--quiet", "--orphan", "empty")
    git(clone, "rm", "-r", "-f", "--quiet", ".")
    return clone


def commit(clone: Path, subject: str) -> None:
    git(clone, "add", "--all")
    git(clone, "-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "--message", subject)


def drift(clone: Path, *argv: str) -> tuple[int, str, str]:
    run = [sys.executable, "-m", "controller.cli", "drift", "--folder", str(clone), *argv]
    env = {**os.environ, "PYTHONPATH": str(HOUSE), "NO_COLOR": "1", "COLUMNS": "160"}
    env.pop("TURNABOUT_SITE", None)
    done = subprocess.run(run, cwd=clone, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def report(said: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(said)
    return value


def test_a_pull_request_that_brings_a_difference_nobody_explains_is_answered_with_2(clone: Path) -> None:
    comment = clone.parent / "comment.md"
    asked = ("--between", "stage", "prod", "--at", "stage", "pull", "--since", "prod", "--markdown", str(comment))
    code, said, _ = drift(clone, *asked, "--json")
    found = [one for one in report(said)["findings"] if one["open"]]
    assert code == 2
    assert len(found) == 9 and all(one["new"] for one in found)
    assert "aws.ebs.Volume bos-a-data: encrypted is chosen by the environment's name" in {one["what"] for one in found}
    assert report(said)["since"] == "prod"
    assert "nobody explains: stage and prod" in comment.read_text()
    assert not (clone / "infra").exists(), "nothing was checked out"


def test_what_the_branch_had_before_the_pull_request_is_shown_and_does_not_count(clone: Path) -> None:
    code, said, _ = drift(clone, "--between", "stage", "prod", "--at", "stage", "pull", "--since", "pull", "--json")
    assert code == 0
    assert [one["new"] for one in report(said)["findings"] if one["open"]] == [False] * 9
    assert "none are new since pull" in report(said)["sentence"]


def test_one_commit_is_for_both(clone: Path) -> None:
    code, said, _ = drift(clone, "--between", "stage", "prod", "--at", "prod")
    assert (code, "EVERY DIFFERENCE IS EXPLAINED" in said) == (0, True)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--between", "stage", "prod", "--at", "nowhere"), "the repository has no such commit. Fetch it"),
        (("--at", "prod"), "--at goes with --between. Name the two: --between stage prod"),
        (("--between", "stage", "prod", "--since", "prod"), "--since goes with --at"),
        (("--between", "stage", "prod", "--at", "a", "b", "c"), "--at names 3 commits. Name one for both"),
        (("--between", "stage", "prod", "--at", "prod", "--kind", "live"), "a commit says nothing of live"),
        (("--between", "stage", "prod", "--at", "--help"), "expected at least one argument"),
        (("--between", "stage", "prdo", "--at", "prod"), 'did you mean "prod"'),
    ],
)
def test_what_cannot_be_asked_of_commits_is_said_in_a_sentence(clone: Path, asked: tuple[str, ...], says: str) -> None:
    code, _, wrong = drift(clone, *asked)
    assert (code, says in " ".join(wrong.split())) == (1, True), wrong


def test_a_folder_that_is_no_checkout_is_named(tmp_path: Path) -> None:
    code, _, wrong = drift(tmp_path, "--between", "stage", "prod", "--at", "prod")
    assert (code, f"{tmp_path} is in no git repository" in wrong) == (1, True)
