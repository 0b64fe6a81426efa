"""Who may sign for an environment: read from the last promoted commit, against a real repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from controller.artifacts.store import ArtifactStore
from controller.errors import Refused
from controller.keys import CommitKey, build_key, commit_key, revert_key
from controller.sources.git import GitSource
from controller.sources.releases import Releases

BASE = """
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
greeting = "yes"
"""
PROD = """
branch = "prod"
signers = "environments/allowed_signers"
[fleet.toy]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
"""
RELEASE = """
app = "toy"
start = ["python", "-m", "apps.toy", "--config", "{config}"]
stop_seconds = 2
data = "toy"
ports = { http = "http" }
ready = "http://127.0.0.1:{port.http}/ready"
probe = ["python", "-m", "apps.toy.probe"]
on_deadline = "revert"
[data_versions]
reads = [1]
writes = 1
[[checks]]
name = "errors"
kind = "share"
from = "balancer"
bad = { status = "5xx", or = "reset" }
about = "existing"
smallest_harm = 0.02
"""


class Repository:
    """One branch, to which people push commits that are signed or not."""

    def __init__(self, folder: Path, signer: CommitKey) -> None:
        self.folder = folder
        folder.mkdir()
        self._git("init", "-q", "-b", "prod")
        self.write("environments/base.toml", BASE)
        self.write("environments/prod.toml", PROD)
        self.write("environments/allowed_signers", signer.allowed_signers("ann"))
        self.write("apps/toy/release.toml", RELEASE)
        self.write("apps/toy/__init__.py", "")
        self.write("apps/toy/requirements.lock", "")
        self.first = self.commit("begin", signer)

    def write(self, path: str, content: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(content)

    def commit(self, subject: str, key: CommitKey | None) -> str:
        self._git("add", "-A")
        signing = key.git_config() if key is not None else ()
        self._git(*signing, "commit", "-q", "--allow-empty", *(["-S"] if key is not None else []), "-m", subject)
        return self._git("rev-parse", "HEAD")

    def _git(self, *argv: str) -> str:
        who = {f"GIT_{role}_{what}": "ann" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *argv], cwd=self.folder, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()


@pytest.fixture
def ann(tmp_path: Path) -> CommitKey:
    return commit_key(tmp_path / "ann.key", tmp_path)


@pytest.fixture
def repository(tmp_path: Path, ann: CommitKey) -> Repository:
    return Repository(tmp_path / "repository", ann)


@pytest.fixture
def releases(tmp_path: Path, repository: Repository) -> Releases:
    keys = tmp_path / "keys"
    git = GitSource(str(repository.folder), tmp_path / "mirror.git", revert_key(keys))
    git.fetch("prod")
    return Releases(git, ArtifactStore(tmp_path / "artifacts", build_key(keys)))


def test_an_unsigned_commit_is_refused_and_a_signed_one_is_a_release(
    releases: Releases, repository: Repository, ann: CommitKey
) -> None:
    environment = releases.policy("prod", repository.first)
    unsigned = repository.commit("anybody's", None)
    with pytest.raises(Refused, match="none of the keys in environments/allowed_signers") as refused:
        releases.release(environment, unsigned)
    assert "Sign it with one of them" in str(refused.value)
    signed = repository.commit("ann's", ann)
    assert releases.release(environment, signed).commit == signed


def test_a_candidate_cannot_authorise_itself(releases: Releases, repository: Repository, tmp_path: Path) -> None:
    environment = releases.policy("prod", repository.first)
    stranger = commit_key(tmp_path / "stranger.key", tmp_path)
    repository.write("environments/allowed_signers", stranger.allowed_signers("stranger"))
    with pytest.raises(Refused, match="as it was last promoted"):
        releases.release(environment, repository.commit("let me in", stranger))


def test_the_controllers_own_revert_commit_is_always_taken(
    releases: Releases, repository: Repository, tmp_path: Path
) -> None:
    environment = releases.policy("prod", repository.first)
    own = repository.commit('Revert "x"', revert_key(tmp_path / "keys"))
    assert releases.release(environment, own).commit == own


def test_a_policy_that_names_a_missing_file_is_refused(releases: Releases, repository: Repository) -> None:
    (repository.folder / "environments/allowed_signers").unlink()
    without = repository.commit("lose it", None)
    releases._git.fetch("prod")
    with pytest.raises(Refused, match="Commit the file, or take `signers` out"):
        releases.policy("prod", without)
