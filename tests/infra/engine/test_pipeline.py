"""What the pipeline runs: a change is shown where it is proposed, and exactly that is done where it is merged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.small import git

if TYPE_CHECKING:
    from tests.infra.account import Account, Ran

pytestmark = pytest.mark.timeout(600)
HOUSE = Path(__file__).parents[3]
BIGGER = {"[infra]": '[infra]\nnode_type = "t3.xlarge"'}


class Pipeline:
    """The account's checkout as a repository with a branch demo, and the script that a pipeline calls in it."""

    def __init__(self, account: Account) -> None:
        self.account, self.house = account, account.house
        (self.house / ".ci").mkdir(exist_ok=True)
        shutil.copy(HOUSE / ".ci" / "infra", self.house / ".ci" / "infra")
        if not (self.house / ".git").exists():
            git(self.house, "init", "--quiet", "--initial-branch=demo")
            (self.house / ".gitignore").write_text("/build/\n/plans/\n__pycache__/\nPulumi.*.yaml\n")
            self.commit("Begin")

    def commit(self, subject: str) -> None:
        git(self.house, "add", "--all")
        git(self.house, "commit", "--quiet", "--allow-empty", "--message", subject)

    @contextmanager
    def proposed(self, changes: dict[str, str]) -> Iterator[None]:
        """A commit with another environment's file; taken back at the end."""
        with self.account.edited("demo", changes):
            self.commit("Change the infrastructure")
            yield
        self.commit("Take it back")

    def run(self, *args: str) -> Ran:
        program = f"{sys.executable} -m controller.cli"
        more = {"TURNABOUT": program, "PLANS": str(self.house / "plans"), "NO_COLOR": "1"}
        return self.account._run([str(self.house / ".ci" / "infra"), *args], (), more)


@pytest.fixture
def pipeline(demo: Account) -> Pipeline:
    return Pipeline(demo)


def test_what_was_reviewed_is_applied_and_the_plan_stands_beside_the_alignment(pipeline: Pipeline) -> None:
    with pipeline.proposed(BIGGER):
        review = pipeline.run("review", "demo")
        assert review.code == 0, review.err + review.out
        assert review.out.startswith(
            "### `demo`: what would be done\n\n```diff\n~ mia-a (ec2 Instance): instanceType\n"
        )
        assert "demo: 2 to change, " in review.out
        assert review.out.rstrip().splitlines()[-1] != "```"  # and what `drift` says follows

        applied = pipeline.run("apply", "demo")
        assert applied.code == 0, applied.err
        assert "demo: 2 changed, " in applied.out
        assert "nobody reviewed a plan of this tree" not in applied.err

        again = pipeline.run("apply", "demo")
        assert again.code == 4
        assert "what would be done is not what was reviewed: there is nothing left to do about mia-a" in again.err


def test_a_merge_of_what_nobody_looked_at_is_shown_and_not_done(pipeline: Pipeline) -> None:
    before = len(pipeline.account.provider.done)
    with pipeline.proposed({"nodes_per_zone = 2": "nodes_per_zone = 3"}):
        refused = pipeline.run("apply", "demo")

    assert refused.code == 4
    assert "demo: nobody reviewed a plan of this tree (" in refused.err
    assert "+ mia-c (ec2 Instance)" in refused.err
    assert len(pipeline.account.provider.done) == before


def test_what_somebody_did_by_hand_since_the_review_is_refused_until_it_is_looked_at(pipeline: Pipeline) -> None:
    account = pipeline.account
    (network,) = (one["id"] for one in account.state("demo") if one["type"] == "aws:ec2/vpc:Vpc")
    ec2, tag = account.aws.client("ec2"), [{"Key": "by", "Value": "hand"}]
    with pipeline.proposed({"budget_dollars = 60": "budget_dollars = 61"}):
        assert pipeline.run("review", "demo").code == 0
        ec2.create_tags(Resources=[network], Tags=tag)
        refused = pipeline.run("apply", "demo")
        assert refused.code == 4
        assert "what would be done is not what was reviewed: nobody reviewed network (ec2 Vpc)." in refused.err
        ec2.delete_tags(Resources=[network], Tags=tag)
        assert pipeline.run("apply", "demo").code == 0


def test_only_what_infrastructure_is_made_of_is_looked_at(pipeline: Pipeline) -> None:
    (pipeline.house / "apps" / "mqtt" / "more.py").write_text("")
    pipeline.commit("Change an application")
    assert pipeline.run("touched", "HEAD~1").code == 1
    with pipeline.proposed(BIGGER):
        assert pipeline.run("touched", "HEAD~1").code == 0


def test_a_branch_that_no_environment_follows_is_told(pipeline: Pipeline) -> None:
    refused = pipeline.run("review", "nowhere")
    assert (refused.code, refused.err) == (1, "no environment follows the branch nowhere\n")


def test_the_pipeline_s_script_is_one_that_bash_understands() -> None:
    done = subprocess.run(["bash", "-n", HOUSE / ".ci" / "infra"], capture_output=True, timeout=10)
    assert done.stderr == b""
