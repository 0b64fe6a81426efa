"""What may come to an environment that promotes from another, on real repositories: whole, apart, and signed.

Each test pushes what people push, and reads the sentence that they get.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controller import assemble
from controller.artifacts.store import ArtifactStore
from controller.cli import main
from controller.errors import Conflict, Refused
from controller.keys import CommitKey, build_key, commit_key, revert_key
from controller.model import Phase
from controller.rollout import rows
from controller.rollout.rows import ROLLOUTS, written
from controller.site import load_site
from controller.sources.commits import NotNeeded, Promoted, Reversal, Suspect
from controller.sources.git import GitSource
from controller.sources.releases import Releases, owned_by
from tests.integration import toy
from tests.integration.repository import Person, git
from tests.unit.scene import rollout

BASE = """\
poll_seconds = 2
[budget]
deploy_seconds = 10
watch_seconds = 10
revert_seconds = 10
margin_seconds = 2
wave_seconds = 2
[judge]
alpha = 0.01
silence_seconds = 5
[app.toy]
greeting = "hello"
"""
FLEET = """
[fleet.toy]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
"""
ANSWER = "apps__toy__answer_py"
INFRA = {"infra__network_py": "cidr = '10.1.0.0/16'\n"}


@dataclass
class Line:
    """dev, stage and prod in one repository, ann who pushes to them, and what the controller makes of their heads."""

    folder: Path
    repository: Path
    ann: Person
    source: GitSource
    releases: Releases

    def runs(self, name: str, commit: str) -> None:
        """``commit`` was promoted in the environment: what it states is in force."""
        self.source.fetch(name)
        self.releases.policy(name, commit)

    def takes(self, name: str, commit: str) -> None:
        """The environment's branch may be at ``commit``: it is a release."""
        environment = self.releases.environment(name, self.source.fetch(name))
        assert self.releases.release(environment, commit).commit == commit

    def says(self, name: str, commit: str) -> str:
        """Why the commit is no release."""
        environment = self.releases.environment(name, self.source.fetch(name))
        with pytest.raises(Refused) as no:
            self.releases.release(environment, commit)
        return str(no.value)

    def promotes(self, source: str, target: str) -> Promoted:
        made = self.source.promote(source, target, owned_by(target))
        assert isinstance(made, Promoted), made
        return made

    def merges(self, source: str, target: str, *how: str) -> str:
        """An ordinary three-way merge, as a forge's button does it."""
        self.ann.takes(target)
        git(self.ann.folder, "merge", "-q", "--no-ff", "-m", f"Merge {source}", *how, f"origin/{source}")
        return self.ann.pushes(target)

    def takes_back(self, name: str, bad: str, good: str) -> str:
        """The controller's revert of ``bad``."""
        suspects = (Suspect("toy", "sha256:aa", "sha256:cc", ("apps/toy",), good),)
        made = self.source.revert(Reversal(name, f"{name}-r41", bad, suspects, "Break it", "toy: it failed."))
        assert not isinstance(made, NotNeeded), made
        return made.commit

    def answers(self, how: str) -> str:
        """The source of another answer."""
        return toy.ANSWER.replace("item", how)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    repository = tmp_path / "repository.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "dev", str(repository))
    ann = Person(tmp_path / "ann", repository)
    for name, content in toy.files("toy").items():
        (ann.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (ann.folder / name).write_text(content)
    froms = {"dev": "", "stage": 'promotes_from = "dev"\n', "prod": 'promotes_from = "stage"\n'}
    overlays = {f"environments__{name}_toml": f'branch = "{name}"\n{text}{FLEET}' for name, text in froms.items()}
    first = ann.commits("Begin", "dev", environments__base_toml=BASE, **overlays)
    for name in ("stage", "prod"):
        ann.pushes(name)
    keys = tmp_path / "keys"
    source = GitSource(str(repository), tmp_path / "mirror.git", revert_key(keys))
    made = Line(tmp_path, repository, ann, source, Releases(source, ArtifactStore(tmp_path / "built", build_key(keys))))
    for name in froms:
        made.runs(name, first)
    yield made


# ---- a merge that leaves something out ----------------------------------------------------------------------------


def reverted_once(line: Line) -> tuple[str, str]:
    """A feature of stage that prod took back; and stage, which went on: (the feature's commit, stage's head)."""
    feature = line.ann.commits("Answer odd numbers", "stage", **{ANSWER: line.answers("odd item")})
    good = line.source.fetch("prod")
    bad = line.promotes("stage", "prod").commit
    line.takes_back("prod", bad, good)
    line.runs("prod", good)
    return feature, line.ann.commits("Say who asks", "stage", apps__toy__who_py="who = 1\n")


def test_an_ordinary_merge_that_drops_a_reverted_feature_is_refused_with_its_commits_and_the_command(
    line: Line,
) -> None:
    feature, tip = reverted_once(line)
    merge = line.merges("stage", "prod")
    assert git(line.repository, "show", "prod:apps/toy/answer.py") == toy.ANSWER.strip(), "it dropped the feature"
    assert line.says("prod", merge) == (
        f"reading commit {merge[:7]}: the merge {merge[:7]} brings stage's {tip[:7]} only in part: it leaves out "
        f"{feature[:7]} (Answer odd numbers). An ordinary merge does that after a revert. "
        "Bring all of it: turnabout promote stage prod."
    )


def test_the_command_that_the_sentence_names_brings_all_of_it(line: Line) -> None:
    reverted_once(line)
    line.merges("stage", "prod")
    made = line.promotes("stage", "prod")
    line.takes("prod", made.commit)
    assert git(line.repository, "show", "prod:apps/toy/answer.py") == line.answers("odd item").strip()


def test_one_more_commit_on_top_does_not_let_such_a_merge_in(line: Line) -> None:
    reverted_once(line)
    merge = line.merges("stage", "prod")
    top = line.ann.commits("Something else", docs__a="1\n")
    assert f"reading commit {top[:7]}: the merge {merge[:7]} brings" in line.says("prod", top)


def test_a_merge_that_was_taken_back_is_forgotten(line: Line) -> None:
    reverted_once(line)
    line.merges("stage", "prod")
    line.ann.takes("prod")
    git(line.ann.folder, "revert", "--no-edit", "-m", "1", "HEAD")
    line.takes("prod", line.ann.pushes("prod"))


def test_an_ordinary_merge_that_brings_everything_is_taken(line: Line) -> None:
    line.ann.commits("Answer odd numbers", "stage", **{ANSWER: line.answers("odd item")})
    line.takes("prod", line.merges("stage", "prod"))


def test_a_merge_that_keeps_what_only_prod_had_names_the_files(line: Line) -> None:
    line.ann.commits("Fix it here first", "prod", apps__toy__fix_py="1\n")
    line.ann.commits("Answer odd numbers", "stage", **{ANSWER: line.answers("odd item")})
    merge = line.merges("stage", "prod")
    said = line.says("prod", merge)
    assert re.search(r"brings stage's [0-9a-f]{7}, but not as stage has it: apps/toy/fix\.py\. ", said), said
    assert said.endswith("to stage first, or give it up: turnabout promote stage prod takes stage's files.")


def test_a_merge_of_somebodys_own_branch_is_no_promotion(line: Line) -> None:
    line.ann.takes("prod")
    git(line.ann.folder, "checkout", "-q", "-b", "hotfix")
    line.ann.writes(apps__toy__fix_py="1\n")
    git(line.ann.folder, "commit", "-q", "-m", "Fix it")
    line.ann.pushes("hotfix")
    line.ann.commits("Meanwhile", "prod", docs__a="1\n")
    line.takes("prod", line.merges("hotfix", "prod"))


# ---- a head that is gone before it is read ------------------------------------------------------------------------


def test_a_head_that_a_forced_push_replaced_before_it_was_fetched_is_left_for_the_next_reading(line: Line) -> None:
    environment = line.releases.environment("dev", line.source.fetch("dev"))
    before = line.ann.commits("Regretted", "dev", **{ANSWER: line.answers("odd item")})
    git(line.ann.folder, "commit", "-q", "--amend", "-m", "Better")
    after = line.ann.pushes("dev", "--force")
    with pytest.raises(Conflict) as meanwhile:
        line.releases.release(environment, before)
    assert str(meanwhile.value) == (
        f"reading commit {before[:7]}: dev was set to another commit meanwhile, by force. That one is read next."
    )
    line.takes("dev", after)


# ---- infrastructure and applications ------------------------------------------------------------------------------


def test_a_promotion_of_both_is_two_commits_in_one_push_infrastructure_first(line: Line) -> None:
    both = {"environments__base_toml": BASE.replace("alpha = 0.01", "alpha = 0.02"), **INFRA}
    dev = line.ann.commits("Both", "dev", **both, **{ANSWER: line.answers("odd item")}, docs__a="1\n")
    before = line.source.fetch("stage")
    made = line.promotes("dev", "stage")
    assert made.infrastructure is not None
    parents = git(line.repository, "log", "--format=%H %P", f"{before}..stage", f"^{dev}").splitlines()
    assert parents == [f"{made.commit} {made.infrastructure} {dev}", f"{made.infrastructure} {before}"]
    changed = [git(line.repository, "diff", "--name-only", f"{one}^", one).split() for one in parents[1].split()[:1]]
    assert changed == [["environments/base.toml", "infra/network.py"]]
    then = git(line.repository, "diff", "--name-only", made.infrastructure, made.commit).split()
    assert then == ["apps/toy/answer.py", "docs/a"]
    subjects = git(line.repository, "log", "-2", "--first-parent", "--format=%s", "stage").splitlines()
    assert subjects == [f"Promote dev {dev[:12]} to stage", f"Promote infrastructure of dev {dev[:12]} to stage"]
    line.takes("stage", made.commit)


def test_a_promotion_of_environment_files_alone_is_one_commit_and_changes_no_release(line: Line) -> None:
    line.ann.commits("Judge harder", "dev", environments__base_toml=BASE.replace("0.01", "0.005"))
    before = line.source.fetch("stage")
    made = line.promotes("dev", "stage")
    assert made.infrastructure is None
    line.takes("stage", made.commit)
    wanted = [
        line.releases.release(line.releases.environment("stage", commit), commit).apps["toy"].digest
        for commit in (before, made.commit)
    ]
    assert wanted[0] == wanted[1]
    assert line.releases.policy("stage", made.commit).judge.alpha == 0.005
    again = line.source.promote("dev", "stage", owned_by("stage"))
    assert again == NotNeeded("stage already has everything that dev has.")


def test_after_a_promotion_of_both_harm_takes_back_the_applications_and_leaves_the_infrastructure(line: Line) -> None:
    before = line.source.fetch("stage")
    both = {"environments__base_toml": BASE.replace("alpha = 0.01", "alpha = 0.02"), **INFRA}
    line.ann.commits("Both", "dev", **both, **{ANSWER: line.answers("odd item")})
    made = line.promotes("dev", "stage")
    environment = line.releases.environment("stage", line.source.fetch("stage"))
    good, bad = (line.releases.release(environment, commit).apps["toy"] for commit in (before, made.commit))
    harm = rollout(Phase.REVERTED, environment="stage", commit=made.commit, guilty=("toy",))
    harm = replace(harm, lanes=(replace(harm.lanes[0], app="toy", candidate=bad, base=good),))
    commit, _ = line.releases.revert(harm, "stage")
    assert commit is not None
    assert git(line.repository, "diff", "--name-only", made.commit, commit) == "apps/toy/answer.py"
    assert git(line.repository, "diff", "--name-only", before, commit).split() == [
        "environments/base.toml",
        "infra/network.py",
    ]
    line.takes("stage", commit)


def test_a_push_of_both_is_refused_where_releases_are_promoted_and_taken_where_they_begin(line: Line) -> None:
    both = {**INFRA, ANSWER: line.answers("odd item")}
    line.takes("dev", line.ann.commits("Both", "dev", **both))
    mixed = line.ann.commits("Both", "prod", **both)
    assert line.says("prod", mixed) == (
        f"reading commit {mixed[:7]}: {mixed[:7]} changes infrastructure (infra/network.py) and applications "
        "(apps/toy/answer.py) at once, which prod does not take. Take one of the two out again and bring it in a "
        "commit of its own, infrastructure first; promote does."
    )
    top = line.ann.commits("Something else", docs__a="1\n")
    assert f"{mixed[:7]} changes infrastructure" in line.says("prod", top), "one more commit does not let it in"
    line.takes("prod", line.ann.commits("Leave the network", infra__network_py=None))


def test_of_a_history_that_replaces_an_unrelated_one_only_the_head_is_asked_about(line: Line) -> None:
    line.ann.takes("prod")
    git(line.ann.folder, "checkout", "-q", "--orphan", "anew")
    git(line.ann.folder, "commit", "-q", "-m", "Begin anew")
    line.ann.writes(**INFRA, **{ANSWER: line.answers("odd item")})
    git(line.ann.folder, "commit", "-q", "-m", "Both, long ago")
    git(line.ann.folder, "commit", "-q", "--allow-empty", "-m", "Today")
    line.takes("prod", line.ann.pushes("prod", "--force"))
    line.ann.writes(infra__network_py="cidr = '10.2.0.0/16'\n", **{ANSWER: line.answers("even item")})
    git(line.ann.folder, "commit", "-q", "-m", "Both, today")
    assert "changes infrastructure (infra/network.py)" in line.says("prod", line.ann.pushes("prod"))


def test_an_environments_own_settings_may_come_with_the_code_that_reads_them(line: Line) -> None:
    overlay = f'branch = "prod"\npromotes_from = "stage"\n{FLEET}[app.toy]\ngreeting = "hi"\n'
    line.takes("prod", line.ann.commits("Both", environments__prod_toml=overlay, **{ANSWER: line.answers("odd")}))


@pytest.mark.parametrize("file", ["environments/prod.toml", "environments/Pulumi.prod.yaml"])
def test_an_environments_own_word_on_where_it_runs_comes_apart_from_applications(line: Line, file: str) -> None:
    larger = FLEET.replace("nodes_per_zone = 2", "nodes_per_zone = 3")
    content = f'branch = "prod"\npromotes_from = "stage"\n{larger}' if file.endswith("toml") else "config: {}\n"
    mixed = line.ann.commits("Both", "prod", **{file: content, ANSWER: line.answers("odd")})
    assert f"changes infrastructure ({file}) and applications" in line.says("prod", mixed)
    line.takes("prod", line.ann.commits("Without the code", **{ANSWER: line.answers("item")}))


@pytest.mark.parametrize("squashed", [False, True])
def test_a_pull_request_brings_both_as_commits_of_their_own_and_not_squashed(line: Line, squashed: bool) -> None:
    line.ann.takes("prod")
    git(line.ann.folder, "checkout", "-q", "-b", "change")
    for subject, files in (("A network", INFRA), ("Odd", {ANSWER: line.answers("odd item")})):
        line.ann.writes(**files)
        git(line.ann.folder, "commit", "-q", "-m", subject)
    line.ann.pushes("change")
    if not squashed:
        line.takes("prod", line.merges("change", "prod"))
        return
    line.ann.takes("prod")
    git(line.ann.folder, "merge", "-q", "--squash", "origin/change")
    git(line.ann.folder, "commit", "-q", "-m", "A network, and odd")
    assert "changes infrastructure (infra/network.py) and applications" in line.says("prod", line.ann.pushes("prod"))


def test_a_revert_of_the_controllers_may_touch_both(line: Line) -> None:
    good = line.source.fetch("prod")
    line.ann.commits("Greet", "prod", environments__base_toml=BASE.replace("hello", "hi"))
    bad = line.ann.commits("Break it", "prod", **{ANSWER: line.answers("odd item")})
    paths = ("apps/toy", "environments")
    suspects = (Suspect("toy", "sha256:aa", "sha256:cc", paths, good),)
    line.runs("prod", bad)
    made = line.source.revert(Reversal("prod", "prod-r41", bad, suspects, "Break it", "toy: it failed.",
                                       carries=lambda commit, app: True))  # fmt: skip
    assert not isinstance(made, NotNeeded)
    touched = git(line.repository, "diff", "--name-only", bad, made.commit).split()
    assert touched == ["apps/toy/answer.py", "environments/base.toml"]
    line.takes("prod", made.commit)


# ---- the command --------------------------------------------------------------------------------------------------


def promoted_in(line: Line, name: str, commit: str) -> None:
    """A ledger of the environment in which the commit's release is promoted."""
    wanted = line.releases.release(line.releases.environment(name, line.source.fetch(name)), commit).apps["toy"]
    done = rollout(Phase.PROMOTED, environment=name, commit=commit, settled=True)
    done = replace(done, lanes=(replace(done.lanes[0], app="toy", candidate=wanted),))
    ledger = assemble.open_ledger(load_site(line.folder / "turnabout.toml"), name)
    ledger.append(rows.ROLLOUT, {"rollout": written(ROLLOUTS, done), "event": "settled"}, 1)
    ledger.close()


@pytest.fixture
def turnabout(line: Line, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    site = line.folder / "turnabout.toml"
    site.write_text(f'environments = ["dev", "stage", "prod"]\nrepository = "{line.repository}"\n')

    def run(*argv: str) -> tuple[int, str]:
        code = main(["--site", str(site), *argv])
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


def test_promote_says_which_commit_brings_what(line: Line, turnabout: Callable[..., tuple[int, str]]) -> None:
    dev = line.ann.commits("Both", "dev", **INFRA, **{ANSWER: line.answers("odd item")})
    promoted_in(line, "dev", dev)
    code, said = turnabout("promote", "dev", "stage")
    assert code == 0, said
    head = git(line.repository, "rev-parse", "stage")
    first = git(line.repository, "rev-parse", "stage^")
    assert (code, said) == (
        0,
        f"stage: {first[:7]} brings the infrastructure, in a commit of its own before it.\n"
        f"stage: {head[:7]} carries dev's {dev[:7]}.\nWatch it: turnabout watch stage\n",
    )
    assert turnabout("promote", "dev", "stage") == (2, "stage already has everything that dev has.\n")


def test_a_protected_branch_gets_its_promotion_by_a_pull_request(
    line: Line, turnabout: Callable[..., tuple[int, str]]
) -> None:
    promoted_in(line, "dev", line.ann.commits("Both", "dev", **INFRA, **{ANSWER: line.answers("odd item")}))
    hook = line.repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q refs/heads/stage && { echo 'only by pull request' >&2; exit 1; }\nexit 0\n")
    hook.chmod(0o755)
    aside = "turnabout/promote-dev-to-stage"
    for _ in range(2):
        code, said = turnabout("promote", "dev", "stage")
        waits = git(line.repository, "rev-parse", aside)
        assert code == 3
        assert said.endswith(
            f", so it waits as {waits[:7]} on the branch {aside}. Merge that branch into stage, by a pull request.\n"
        )
    hook.unlink()
    line.takes("stage", line.merges(aside, "stage"))
    assert turnabout("promote", "dev", "stage") == (2, "stage already has everything that dev has.\n")


def test_promote_carries_nothing_that_was_not_promoted(line: Line, turnabout: Callable[..., tuple[int, str]]) -> None:
    promoted_in(line, "dev", line.source.fetch("dev"))
    newer = line.ann.commits("Not yet", "dev", **{ANSWER: line.answers("odd item")})
    code, said = turnabout("promote", "dev", "stage")
    assert code == 1
    assert f"promoting dev: toy of dev's newest commit {newer[:7]} is not promoted there" in said


# ---- who signed ---------------------------------------------------------------------------------------------------


@dataclass
class Signed:
    """prod with a policy: ann may sign, and the forge may merge."""

    line: Line
    ann: CommitKey
    forge: CommitKey
    first: str

    def commits(self, subject: str, branch: str, key: CommitKey | None, **files: str) -> str:
        person = self.line.ann
        person.takes(branch)
        person.writes(**files)
        config, sign = (key.git_config(), ("-S",)) if key else ((), ())
        git(person.folder, *config, "commit", "-q", "--allow-empty", *sign, "-m", subject)
        return person.pushes(branch)

    def merges(self, branch: str, key: CommitKey, *how: str) -> str:
        """The forge merges a branch into prod."""
        person = self.line.ann
        person.takes("prod")
        git(person.folder, *key.git_config(), "merge", "-q", *(how or ("--no-ff", "-S")), "-m", "Merge it",
            f"origin/{branch}")  # fmt: skip
        if "--squash" in how:
            git(person.folder, *key.git_config(), "commit", "-q", "-S", "-m", "Merge it")
        return person.pushes("prod")


@pytest.fixture
def signed(line: Line) -> Signed:
    ann, forge = (commit_key(line.folder / f"{name}.key", line.folder) for name in ("ann", "forge"))
    overlay = f'branch = "prod"\nsigners = "environments/allowed_signers"\n{FLEET}'
    made = Signed(line, ann, forge, "")
    lines = ann.allowed_signers("ann") + forge.allowed_signers("forge")
    files = {"environments__prod_toml": overlay, "environments__allowed_signers": lines}
    first = made.commits("Only ann, and the forge", "prod", ann, **files)
    line.runs("prod", first)
    return replace(made, first=first)


def test_a_merge_that_the_forge_signed_of_what_people_signed_is_a_release(signed: Signed) -> None:
    signed.commits("Odd", "change", signed.ann, **{ANSWER: signed.line.answers("odd item")})
    signed.line.takes("prod", signed.merges("change", signed.forge))
    signed.commits("Even", "other", signed.ann, **{ANSWER: signed.line.answers("even item")})
    signed.line.takes("prod", signed.merges("other", signed.forge, "--no-ff", "-S", "-X", "theirs"))


def test_a_merge_that_the_forge_signed_of_what_nobody_signed_is_refused_and_names_the_commit(signed: Signed) -> None:
    bad = signed.commits("Let me in", "change", None, **{ANSWER: signed.line.answers("odd item")})
    merge = signed.merges("change", signed.forge)
    assert signed.line.says("prod", merge) == (
        f"reading commit {merge[:7]}: none of the keys in environments/allowed_signers, as it was last promoted, has "
        f"signed {bad[:7]} (Let me in), on which it stands. Sign it with one of them, or let somebody who may merge it."
    )


def test_what_the_forge_alone_wrote_is_refused(signed: Signed) -> None:
    signed.commits("Odd", "change", signed.ann, **{ANSWER: signed.line.answers("odd item")})
    squash = signed.merges("change", signed.forge, "--squash")
    assert "only the forge has signed it, and a forge vouches for nothing but merges" in signed.line.says(
        "prod", squash
    )


def test_an_unsigned_push_is_not_let_in_by_a_merge_on_top_of_it(signed: Signed) -> None:
    pushed = signed.commits("Straight to prod", "prod", None, apps__toy__x_py="1\n")
    git(signed.line.ann.folder, "push", "-q", "origin", f"{signed.first}:refs/heads/change")
    signed.commits("Odd", "change", signed.ann, **{ANSWER: signed.line.answers("odd item")})
    merge = signed.merges("change", signed.forge)
    assert f"has signed {pushed[:7]} (Straight to prod), on which it stands" in signed.line.says("prod", merge)


def test_the_forge_may_merge_what_the_controller_set_aside(signed: Signed) -> None:
    bad = signed.commits("Odd", "prod", signed.ann, **{ANSWER: signed.line.answers("odd item")})
    signed.line.source.fetch("prod")
    hook = signed.line.repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q refs/heads/prod && exit 1\nexit 0\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="so it waits as"):
        signed.line.takes_back("prod", bad, signed.first)
    hook.unlink()
    merge = signed.merges("turnabout/revert-prod-r41", signed.forge)
    signed.line.takes("prod", merge)
    assert re.search("item {number}", git(signed.line.repository, "show", "prod:apps/toy/answer.py"))


def test_a_head_that_cannot_be_released_is_named_instead_of_promoted(
    line: Line, turnabout: Callable[..., tuple[int, str]]
) -> None:
    good = line.ann.commits("Answer", "dev", **{ANSWER: line.answers("odd item")})
    promoted_in(line, "dev", good)
    before = git(line.repository, "rev-parse", "stage")
    broken = line.ann.commits("Break the rules", "dev", environments__dev_toml="[fleet\n")
    problem = "line 1, column 7: this is not TOML: expected ']' at the end of a table declaration; the line is `[fleet`"
    named = f"The head of dev, {broken[:7]}, cannot be released: environments/dev.toml: 1 problem\n  - {problem}.\n"
    assert turnabout("promote", "dev", "stage") == (1, f"promoting dev: {named}")
    assert git(line.repository, "rev-parse", "stage") == before
