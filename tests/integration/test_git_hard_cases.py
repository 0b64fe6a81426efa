"""The hard cases of a branch, a server and a date, each on a real repository behind a real git daemon.

What promotions must be is in ``test_promotions``, what a whole controller makes of such days in ``test_git_days``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Refused, SetAside, Trouble, Unreachable
from controller.loop.debts import Debt, Debts
from controller.model import Cause, Phase, Rollout
from controller.rollout.standing import Standing
from controller.sources.commits import NotNeeded, Promoted, Reverted
from tests.integration.crowd import Gate
from tests.integration.repository import World, git, reversal
from tests.unit.scene import rollout

ASIDE = "turnabout/revert-prod-r41"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.daemon.kill()


# ---- branches that are not what they were -------------------------------------------------------------------------


def test_a_branch_that_was_set_back_asks_for_what_it_asked_for_then(world: World) -> None:
    older = world.ann.commits("First", apps__mqtt__a_py="2\n")
    world.ann.commits("Second", apps__mqtt__a_py="3\n")
    world.source.fetch("prod")
    git(world.ann.folder, "reset", "-q", "--hard", older)
    world.ann.pushes("prod", "--force")
    assert world.source.heads()["prod"] == world.source.fetch("prod") == older
    assert world.source.read(older)("apps/mqtt/a.py") == b"2\n"


def test_what_a_forced_push_took_off_the_branch_is_there_a_month_later(world: World) -> None:
    promoted = world.ann.commits("Promoted once", apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    git(world.ann.folder, "reset", "-q", "--hard", world.good)
    world.ann.pushes("prod", "--force")
    world.source.fetch("prod")
    mirror = world.folder / "mirror.git"
    then = time.time() - 60 * 86400
    for path in (mirror / "objects").rglob("*"):
        os.utime(path, (then, then))
    git(mirror, "gc", "--quiet")
    assert world.source.read(promoted)("apps/mqtt/a.py") == b"2\n"


def test_a_new_mirror_finds_what_was_promoted_even_where_no_branch_has_it_any_more(world: World) -> None:
    promoted = world.ann.commits("Promoted once", apps__mqtt__a_py="2\n")
    git(world.ann.folder, "reset", "-q", "--hard", world.good)
    world.ann.pushes("prod", "--force")
    source = world.new_source("new.git")
    source.bring(promoted, "prod")
    assert source.read(promoted)("apps/mqtt/a.py") == b"2\n"
    with pytest.raises(Refused, match=r"the server has no such commit .* Push it to a branch of any name, from a"):
        source.bring("12" * 20, "prod")


def unrelated(world: World, **files: str) -> str:
    """Put a history in the place of prod's that has nothing in common with it."""
    world.source.fetch("prod")
    git(world.ann.folder, "checkout", "-q", "--orphan", "other")
    git(world.ann.folder, "rm", "-rfq", ".")
    world.ann.writes(**files)
    git(world.ann.folder, "commit", "-q", "-m", "Begin anew")
    return world.ann.pushes("prod", "--force")


def test_an_unrelated_history_is_a_release_as_any_other_and_can_be_taken_back(world: World) -> None:
    bad = unrelated(world, apps__mqtt__a_py="9\n", apps__mqtt__b_py="1\n", README="new")
    assert world.source.fetch("prod") == bad
    assert world.source.describe(bad).parents == ()
    assert world.source.last_before(bad, world.good, lambda commit: True) == world.good
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:README")) == ("1", "new")


def test_a_tag_named_as_the_branch_and_moved_changes_nothing(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    for commit in (world.good, bad, world.good):
        git(world.ann.folder, "tag", "-f", "prod", commit)
        git(world.ann.folder, "push", "-q", "-f", "origin", "refs/tags/prod")
        assert world.source.heads() == {"prod": bad}
        assert world.source.fetch("prod") == bad
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    assert world.source.heads()["prod"] == made.commit
    assert git(world.repository, "rev-parse", "refs/tags/prod") == world.good


def test_a_merge_is_taken_back_with_all_that_it_brought(world: World) -> None:
    world.ann.commits("On a branch", "feature", apps__mqtt__a_py="2\n")
    world.ann.commits("More of it", "feature", apps__mqtt__c_py="1\n")
    world.ann.commits("Meanwhile", apps__c360__a_py="7\n")
    world.ann.takes("prod")
    git(world.ann.folder, "merge", "-q", "--no-ff", "-m", "Merge the feature", "origin/feature")
    bad = world.ann.pushes("prod")
    assert world.source.fetch("prod") == bad
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    assert git(world.repository, "diff", "--name-only", world.good, "prod") == "apps/c360/a.py"


def test_two_commits_in_one_push_are_taken_back_together(world: World) -> None:
    world.ann.takes("prod")
    for subject, files in (("One", {"apps__mqtt__a_py": "2\n"}), ("Two", {"apps__mqtt__b_py": "2\n"})):
        world.ann.writes(**files)
        git(world.ann.folder, "commit", "-q", "-m", subject)
    bad = world.ann.pushes("prod")
    world.source.fetch("prod")
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:apps/mqtt/b.py")) == ("1", "1")


# ---- dates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dates", [("2099-01-01T00:00Z", "1970-01-02T00:00Z"), ("1970-01-02T00:00Z", "2099-01-01T00:00Z")]
)
def test_no_date_that_a_commit_bears_decides_anything(world: World, dates: tuple[str, str]) -> None:
    other = world.ann.commits("Only c360", date=dates[0], apps__c360__a_py="2\n")
    bad = world.ann.commits("Break it", date=dates[1], apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    mqtt = world.source.object_id(world.good, "apps/mqtt")
    holds = lambda commit: world.source.object_id(commit, "apps/mqtt") == mqtt  # noqa: E731
    assert world.source.last_before(bad, world.good, holds) == other
    assert [step.commit for step in world.source.history.since(world.good, bad)] == [bad, other]
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:apps/c360/a.py")) == ("1", "2")
    world.ann.commits("All the same", date=dates[1], apps__mqtt__a_py="2\n")
    assert isinstance(world.source.revert(reversal(world, bad)), NotNeeded), "it is found again: never two reverts"


# ---- a protected branch -------------------------------------------------------------------------------------------


HOOK = """#!/bin/sh
while read before after ref; do
  case "$ref" in
    refs/heads/prod) echo "only by pull request, $after" >&2; exit 1;;
  esac
done
"""


def protect(world: World, hook: str = HOOK) -> Path:
    path = world.repository / "hooks" / "pre-receive"
    path.write_text(hook)
    path.chmod(0o755)
    return path


def merged_by_a_forge(world: World, *how: str) -> str:
    """The pull request of the branch that was set aside, merged as a forge does: its own pushes meet no hook."""
    world.ann.takes("prod")
    git(world.ann.folder, "merge", "-q", *how, f"origin/{ASIDE}")
    if "--squash" in how:
        message = git(world.ann.folder, "log", "-1", "--format=%B", f"origin/{ASIDE}")
        git(world.ann.folder, "commit", "-q", "-m", message)
    git(world.repository, "fetch", "-q", str(world.ann.folder), "HEAD:prod")
    return git(world.ann.folder, "rev-parse", "HEAD")


@pytest.mark.parametrize("how", [("--no-ff", "-m", "Merge pull request"), ("--squash",), ("--ff-only",)])
def test_a_protected_branch_gets_its_revert_on_a_branch_to_open_a_pull_request_from(
    world: World, how: tuple[str, ...]
) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n", apps__c360__a_py="2\n")
    protect(world)
    with pytest.raises(SetAside) as caught:
        world.source.revert(reversal(world, bad))
    made = world.source.heads()[ASIDE]
    assert (caught.value.branch, caught.value.commit) == (ASIDE, made)
    said = rf".*the server protects this branch \(git: .*only by pull request.*\), so it waits as {made[:7]} on "
    said += rf"the branch {ASIDE}\. Merge that branch into prod, by a pull request\."
    assert re.fullmatch(said, str(caught.value)), str(caught.value)
    assert world.source.heads()["prod"] == bad
    assert git(world.repository, "diff", "--name-only", bad, made) == "apps/mqtt/a.py"
    assert "Turnabout-Rollout: prod-r41" in git(world.repository, "log", "-1", "--format=%B", made)

    merged = merged_by_a_forge(world, *how)
    found = world.source.revert(reversal(world, bad))
    assert isinstance(found, NotNeeded)
    assert re.fullmatch(r"[0-9a-f]{12} on prod has reverted prod-r41 already\.", found.why)
    assert world.source.heads()["prod"] == merged
    assert world.shows("prod:apps/mqtt/a.py") == "1"


def test_what_waits_for_a_pull_request_is_pushed_once_and_what_people_add_to_it_stays(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    protect(world)
    with pytest.raises(SetAside):
        world.source.revert(reversal(world, bad))
    edited = world.ann.commits("Say why in the log, too", ASIDE, CHANGES="mqtt was taken back\n")
    with pytest.raises(SetAside) as caught:
        world.source.revert(reversal(world, bad))
    assert world.source.heads()[ASIDE] == caught.value.commit == edited


def test_a_branch_whose_protection_was_lifted_gets_its_revert(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    hook = protect(world)
    with pytest.raises(SetAside):
        world.source.revert(reversal(world, bad))
    hook.unlink()
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)


def test_a_server_that_takes_no_branch_either_says_which(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    protect(world, "#!/bin/sh\necho closed >&2\nexit 1\n")
    with pytest.raises(Refused, match=f"on {ASIDE} because the server protects this branch .*closed.*: the server"):
        world.source.revert(reversal(world, bad))
    assert set(world.source.heads()) == {"prod"}


# ---- servers ------------------------------------------------------------------------------------------------------


def test_a_server_whose_disk_is_full_is_named_and_takes_the_revert_when_there_is_room(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    world.daemon.disk(full=True)
    with pytest.raises(Unreachable, match=r"could not store it .*Look whether its disk is full; it is tried again\."):
        world.source.revert(reversal(world, bad))
    assert world.source.heads() == {"prod": bad}, "what it has can be read, and nothing is half there"
    world.daemon.disk(full=False)
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)


def test_a_slow_server_is_waited_for(world: World, tmp_path: Path) -> None:
    """Each connection begins 0.3 s late, which is far from the limit of a call."""
    gate = Gate(("127.0.0.1", world.daemon.port), delay=0.3)
    try:
        bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
        world.source.url = f"git://127.0.0.1:{gate.port}/repository.git"
        assert isinstance(world.source.revert(reversal(world, bad)), Reverted)
    finally:
        gate.close()


# ---- debts --------------------------------------------------------------------------------------------------------


@dataclass
class HandClock:
    """A clock that a test moves."""

    name: str = "hand"
    at: float = 0.0

    def now(self) -> float:
        return self.at

    def utc(self) -> float:
        return self.at


class AtOnce(ThreadPoolExecutor):
    """A pool whose work is done when ``submit`` returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@dataclass
class Reverting:
    """The world's git source, asked for one reversal: everything of ``Source`` that debts use."""

    world: World
    bad: str
    tried_at: list[float] = field(default_factory=list)
    clock: HandClock = field(default_factory=HandClock)

    def revert(self, rollout: Rollout, branch: str) -> tuple[str | None, str]:
        self.tried_at.append(self.clock.at)
        made = self.world.source.revert(reversal(self.world, self.bad))
        return (made.commit, made.message) if isinstance(made, Reverted) else (None, made.why)

    def note(self, commit: str, text: str) -> None:
        self.world.source.note(commit, text)


@dataclass
class Owing:
    """Debts, a clock that is moved, and what they said."""

    source: Reverting
    paid: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[Debt, Trouble]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = AtOnce(1)
        self.debts = Debts(
            self.source, self.pool, self.source.clock, lambda body: self.paid.append(dict(body)),  # type: ignore[arg-type]  # all that debts use of a Source
            lambda debt, trouble: self.failed.append((debt, trouble)),
        )  # fmt: skip
        closed = replace(rollout(Phase.REVERTED, cause=Cause.HARM), number=41, commit=self.source.bad)
        self.standing = Standing(owed_reverts=(closed,), owed_notes=(closed,))

    def goes_on(self, seconds: int) -> None:
        """The loop's turns, one each second."""
        for _ in range(seconds):
            self.source.clock.at += 1
            self.debts.pay(self.standing, "prod")


def test_an_hour_without_git_is_asked_about_ever_less_often_and_then_paid_at_once(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    gate = Gate(("127.0.0.1", world.daemon.port))
    world.source.url = f"git://127.0.0.1:{gate.port}/repository.git"
    owing = Owing(Reverting(world, bad))
    try:
        gate.state = "closed"
        owing.goes_on(3600)
        assert not owing.paid
        assert all(isinstance(trouble, Unreachable) for _, trouble in owing.failed)
        tried = owing.source.tried_at
        waits = [later - earlier for earlier, later in pairwise(tried)]
        assert waits[:6] == [1, 2, 4, 8, 16, 30]
        assert set(waits[5:]) == {30}, "a bound, that it never leaves"
        gate.state = "open"
        owing.goes_on(31)
    finally:
        gate.close()
    assert [body["did"] for body in owing.paid] == ["revert", "note"]
    assert owing.paid[0]["commit"] == git(world.repository, "rev-parse", "prod")


def test_a_protected_branch_holds_up_no_note_and_is_not_flooded(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    protect(world)
    owing = Owing(Reverting(world, bad))
    owing.goes_on(3600)
    assert [(body["did"], body["message"]) for body in owing.paid] == [("aside", ASIDE), ("note", "")]
    assert owing.paid[0]["why"].startswith("The server protects this branch (git: ")
    assert not owing.failed, "said once, in the row"
    assert len(owing.source.tried_at) < 20

    world.ann.takes("prod")
    merged_by_a_forge(world, "--no-ff", "-m", "Merge pull request")
    owing.debts.hurry()  # as the loop does when the branch has moved
    owing.goes_on(1)
    assert owing.paid[-1]["did"] == "revert"
    assert owing.paid[-1]["why"].endswith("has reverted prod-r41 already.")


# ---- what git keeps elsewhere -------------------------------------------------------------------------------------


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n"


def test_submodules_and_lfs_pointers_outside_of_applications_are_promoted_as_they_are(world: World) -> None:
    world.ann.takes("stage")
    world.ann.writes(docs__film=POINTER.format("a" * 64), apps__mqtt__a_py="5\n")
    git(world.ann.folder, "update-index", "--add", "--cacheinfo", f"160000,{'b' * 40},vendor/lib")
    git(world.ann.folder, "commit", "-q", "-m", "Keep a film and a library")
    world.ann.pushes("stage")
    assert isinstance(world.source.promote("stage", "prod", ("environments/prod.toml",)), Promoted)
    assert git(world.repository, "ls-tree", "prod", "vendor/lib") == f"160000 commit {'b' * 40}\tvendor/lib"
    assert world.shows("prod:docs/film") == POINTER.format("a" * 64).strip()
