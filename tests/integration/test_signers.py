"""Who may sign for an environment: read from the last promoted commit, against a real repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.artifacts.store import ArtifactStore
from controller.errors import Refused
from controller.keys import CommitKey, build_key, commit_key, revert_key
from controller.sources.git import GitSource
from controller.sources.releases import Releases
from controller.sources.signers import BEGIN, END
from tests.integration.gnupg import OpenPgpKey, openpgp_key

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

    def commit(self, subject: str, key: CommitKey | OpenPgpKey | None) -> str:
        self._git("add", "-A")
        signing = key.git_config() if key is not None else ()
        self._git(*signing, "commit", "-q", "--allow-empty", *(["-S"] if key is not None else []), "-m", subject)
        return self._git("rev-parse", "HEAD")

    def merges(self, key: OpenPgpKey, by: CommitKey | None) -> str:
        """A forge merges what somebody has signed, or nobody."""
        self._git("checkout", "-q", "-b", "change")
        self.commit("a change", by)
        self._git("checkout", "-q", "prod")
        self._git(*key.git_config(), "merge", "-q", "--no-ff", "-S", "-m", "Merge it", "change")
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
    return started(tmp_path, repository)


def started(folder: Path, repository: Repository) -> Releases:
    """What a controller makes of the repository, with the environment variables that there are now."""
    git = GitSource(str(repository.folder), folder / "mirror.git", revert_key(folder / "keys"))
    git.fetch("prod")
    return Releases(git, ArtifactStore(folder / "artifacts", build_key(folder / "keys")))


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


# ---- OpenPGP, as a forge signs what it merges ---------------------------------------------------------------------


@pytest.fixture
def forge() -> Iterator[OpenPgpKey]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not on PATH")
    with openpgp_key("The Forge") as key:
        yield key


@pytest.fixture
def trusted(repository: Repository, ann: CommitKey, forge: OpenPgpKey) -> str:
    """A commit of ann's that lets the forge merge."""
    lines = f"{ann.allowed_signers('ann')}\n# as https://github.com/web-flow.gpg\nforge openpgp\n{forge.public}"
    repository.write("environments/allowed_signers", lines)
    return repository.commit("the forge may merge", ann)


def test_a_merge_that_a_forge_signed_with_openpgp_is_a_release_if_a_person_signed_what_it_merged(
    releases: Releases, repository: Repository, ann: CommitKey, forge: OpenPgpKey, trusted: str
) -> None:
    releases._git.fetch("prod")
    environment = releases.policy("prod", trusted)
    merge = repository.merges(forge, ann)
    assert releases.release(environment, merge).commit == merge
    alone = repository.commit("written by the forge", forge)
    with pytest.raises(Refused, match="only the forge has signed it, and a forge vouches for nothing but merges"):
        releases.release(environment, alone)


def test_a_forges_merge_of_what_nobody_signed_is_refused(
    releases: Releases, repository: Repository, forge: OpenPgpKey, trusted: str
) -> None:
    releases._git.fetch("prod")
    environment = releases.policy("prod", trusted)
    with pytest.raises(Refused, match=r"has signed [0-9a-f]{7} \(a change\), on which it stands"):
        releases.release(environment, repository.merges(forge, None))


def test_a_person_may_sign_with_openpgp_as_well(
    releases: Releases, repository: Repository, ann: CommitKey, forge: OpenPgpKey
) -> None:
    lines = f"{ann.allowed_signers('ann')}bob openpgp\n{forge.public}"
    repository.write("environments/allowed_signers", lines)
    known = repository.commit("bob may sign", ann)
    releases._git.fetch("prod")
    environment = releases.policy("prod", known)
    signed = repository.commit("bob's", forge)
    assert releases.release(environment, signed).commit == signed


def test_a_key_of_the_controllers_own_keyring_lets_nobody_in(
    repository: Repository, trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git alone believes whatever key the one who runs it has."""
    with openpgp_key("A Stranger") as stranger:
        monkeypatch.setenv("GNUPGHOME", str(stranger.home))
        releases = started(tmp_path, repository)
        for policy in (repository.first, trusted):
            environment = releases.policy("prod", policy)
            made = repository.commit("a stranger's", stranger)
            with pytest.raises(Refused, match="none of the keys in environments/allowed_signers"):
                releases.release(environment, made)


def test_an_openpgp_key_that_is_revoked_signs_nothing_any_more(
    releases: Releases, repository: Repository, ann: CommitKey, forge: OpenPgpKey
) -> None:
    merge = repository.merges(forge, ann)
    forge.revoke()
    lines = f"{ann.allowed_signers('ann')}forge openpgp\n{forge.public}"
    repository.write("environments/allowed_signers", lines)
    known = repository.commit("the forge may merge", ann)
    releases._git.fetch("prod")
    releases.policy("prod", known)
    assert not releases._git.signed(merge, lines)


def test_openpgp_keys_where_there_is_no_gpg_are_refused_with_what_to_install(
    repository: Repository, ann: CommitKey, forge: OpenPgpKey, trusted: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    merge = repository.merges(forge, ann)
    bare = tmp_path / "bare"
    bare.mkdir()
    for program in ("git", "ssh-keygen", "false", "sh"):
        if (found := shutil.which(program)) is not None:
            (bare / program).symlink_to(found)
    with monkeypatch.context() as less:
        less.setenv("PATH", str(bare))
        releases = started(tmp_path, repository)
        environment = releases.policy("prod", trusted)
        with pytest.raises(Refused, match=r"no gpg on PATH to verify with\. Install GnuPG where the controller"):
            releases.release(environment, merge)


def test_an_openpgp_key_that_cannot_be_read_is_refused(
    releases: Releases, repository: Repository, ann: CommitKey, forge: OpenPgpKey, trusted: str
) -> None:
    spoilt = f"forge openpgp\n{BEGIN}\n\nbm8ga2V5\n{END}\n"
    merge = repository.merges(forge, ann)
    releases._git.fetch("prod")
    with pytest.raises(Refused, match="gpg cannot read an OpenPGP key of the signers file"):
        releases._git.signed(merge, spoilt)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (f"{BEGIN}\nx\n{END}\n", "line 1: nobody's OpenPGP key begins here. Write `NAME openpgp` above it."),
        (f"forge openpgp\n{BEGIN}\nx\n", "line 2: the OpenPGP key that begins here has no end. Put the whole"),
        ("forge openpgp\nann ssh-ed25519 AAAA\n", "line 2: no OpenPGP key follows `forge openpgp`. Put its armoured"),
        ("forge openpgp\n", "no OpenPGP key follows `forge openpgp`. Put the whole armoured block there."),
        (
            f"forge openpgp\n{BEGIN.replace('PUBLIC', 'PRIVATE')}\n",
            "line 2: PGP private key block is no public key. Take it out; if it is a private key, make a new one.",
        ),
    ],
)
def test_a_signers_file_that_does_not_say_whose_its_keys_are_is_refused_whole(
    releases: Releases, repository: Repository, ann: CommitKey, lines: str, sentence: str
) -> None:
    repository.write("environments/allowed_signers", ann.allowed_signers("ann") + lines)
    made = repository.commit("a slip", ann)
    releases._git.fetch("prod")
    moved = sentence.replace("line 2", "line 3") if "line 2" in sentence else sentence.replace("line 1", "line 2")
    with pytest.raises(Refused) as refused:
        releases.policy("prod", made)
    assert str(refused.value).startswith(f"reading environments/allowed_signers of commit {made[:7]}: {moved}")
