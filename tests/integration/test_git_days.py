"""What people do to a branch, and what a whole controller makes of it: the fleet, the ledger, git, and the words.

One controller leads one environment of two applications through the file, as in ``test_release_loop``; each test begins
from what the one before left promoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model import Phase, Rollout
from controller.rollout import rows
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration import toy
from tests.integration.small import SIDE, TOY, Place, begin, discard, git, wait


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A controller that leads an environment whose first release is promoted."""
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("days") / "w", {"one": TOY + SIDE})
    try:
        place = small.places["one"]
        place.start()
        wait("the first release", lambda: place.rollout(place.head()))
        assert place.turnabout("approve", "one", "--reason", "first")[0] == 0
        place.until(place.head(), Phase.PROMOTED)
        yield place
    finally:
        discard(small)


def number(place: Place) -> int:
    """Of the newest rollout."""
    rollout = place.chronicle.read().standing.rollout
    assert rollout is not None
    return rollout.number


def lane(rollout: Rollout, app: str = "toy") -> tuple[str, str]:
    """The digests of an application's candidate and of last good."""
    found = next(lane for lane in rollout.lanes if lane.app == app)
    assert found.base is not None
    return found.candidate.digest, found.base.digest


def seen(place: Place, commit: str) -> None:
    wait(f"{commit[:7]} is seen", lambda: place.chronicle.read().seen_at(commit))


def squeezed(text: str) -> str:
    return " ".join(text.split())


def status_says(place: Place, sentence: str) -> int:
    """The exit code of ``status`` as soon as it says ``sentence``."""

    def look() -> int | None:
        code, said = place.turnabout("status")
        return code if sentence in squeezed(said) else None

    return wait(f"status says {sentence}", look)


def told(place: Place, event: str, what: str) -> str:
    return wait(f"{event}: {what}", lambda: next((s for s in reversed(place.told(event)) if what in s), None))


def reverted_in_git(place: Place, rollout: Rollout) -> str:
    row = wait("git is told", lambda: place.chronicle.read().git(rollout.number))
    assert row.body["commit"] == place.head(), row.body
    return place.head()


def on_the_server(place: Place, *argv: str) -> str:
    """As somebody who administers the repository."""
    return git(place.small.repository, *argv)


# ---- nothing to roll out --------------------------------------------------------------------------------------------


def test_an_empty_commit_rolls_nothing_out_and_promises_nothing(place: Place) -> None:
    before, running = number(place), place.node("bos-a")["running"]
    commit = place.commit("Try the pipeline", {})
    seen(place, commit)
    code, said = place.turnabout("plan", "one")
    assert (code, said) == (
        0,
        f"one wants {commit[:7]} Try the pipeline\n  nothing to do: it runs what its branch wants\n",
    )
    assert number(place) == before
    assert place.run(running, [name for name in place.nodes if name.startswith("bos")])
    assert place.owes_nothing()


def test_a_deleted_branch_changes_nothing_and_is_told_once_and_comes_back(place: Place) -> None:
    before, head = number(place), place.head()
    on_the_server(place, "update-ref", "-d", "refs/heads/one")
    gone = "The repository has no branch one any more: nothing changes here until somebody pushes it."
    told(place, "branch", gone)
    assert status_says(place, gone) == 3
    assert place.run(place.node("bos-a")["running"], [name for name in place.nodes if name.startswith("bos")])
    on_the_server(place, "update-ref", "refs/heads/one", head)
    told(place, "branch", f"one is there again, at {head[:7]}.")
    assert place.told("branch") == [gone, f"one is there again, at {head[:7]}."]
    commit = place.commit("Go on", {})
    seen(place, commit)
    assert number(place) == before


# ---- set back, and applied again ------------------------------------------------------------------------------------


def test_a_branch_that_is_set_back_by_force_releases_what_it_asked_for_then(place: Place) -> None:
    older, then = place.head(), number(place)
    newer = place.until(place.change("Say more", toy.good("more")), Phase.PROMOTED)
    git(place.clone, "reset", "--quiet", "--hard", older)
    place.push("--force")
    back = place.until(older, Phase.PROMOTED, after=then)
    assert (back.number, lane(back)) == (newer.number + 1, (lane(newer)[1], lane(newer)[0]))
    assert place.run(lane(back)[0], [name for name in place.nodes if name.startswith("bos")])


def test_a_revert_that_somebody_reverts_waits_with_the_command_that_clears_it_and_a_mended_version_is_tried(
    place: Place,
) -> None:
    rollout = place.until(place.change("Answer odd numbers", toy.harm("days")), Phase.REVERTED)
    revert = reverted_in_git(place, rollout)
    git(place.clone, "pull", "--quiet", "origin", "one")
    git(place.clone, "revert", "--no-edit", revert)
    place.push()
    again = git(place.clone, "rev-parse", "HEAD")
    digest = lane(rollout)[0].removeprefix("sha256:")[:12]
    command = f'turnabout quarantine clear one {digest} --reason "WHY"'
    reason = f"waits: quarantined by rollout {rollout.number}, which only {command} lifts: {rollout.why}"
    told(place, "toy", f"toy {again[:7]} {reason}")

    on_top = place.change("Greet in another way", toy.good("on top"), app="side")
    told(place, "toy", f"toy {on_top[:7]} {reason}")
    follows = place.until(on_top, Phase.PROMOTED)
    assert [each.app for each in follows.lanes] == ["side"], "no other application waits for it"
    tested = place.clone / "apps" / "toy" / "tests" / "test_answer.py"
    tested.parent.mkdir()
    tested.write_text("def test_nothing(): ...\n")
    git(place.clone, "add", "--all")
    told(place, "toy", f"toy {place.commit('Test it', {})[:7]} {reason}")

    mends = ("answer.py", "    assert number % 2, 'odd numbers only, days'\n", "")
    better = place.until(place.change("Answer all of them", mends, toy.good("all")), Phase.PROMOTED)
    assert lane(rollout)[0] in place.chronicle.read().standing.quarantine
    assert lane(better)[0] != lane(rollout)[0]
    assert place.chronicle.read().standing.promoted["toy"].digest == lane(better)[0]


# ---- others are faster ----------------------------------------------------------------------------------------------


def test_a_revert_goes_on_top_of_what_others_pushed_meanwhile(place: Place) -> None:
    bad = place.change("Answer odd numbers soon", toy.harm("race"))
    place.until(bad, Phase.WATCHING)
    newer = place.change("Greet more warmly", toy.good("warm"), app="side")
    rollout = place.until(bad, Phase.REVERTED)
    revert = reverted_in_git(place, rollout)
    assert on_the_server(place, "rev-parse", f"{revert}^") == newer
    assert on_the_server(place, "diff", "--name-only", f"{bad}^", revert) == "apps/side/answer.py"
    follows = place.reaches(rollout.number + 1, Phase.PROMOTED)
    assert [each.app for each in follows.lanes] == ["side"]


def test_of_two_commits_in_quick_succession_both_are_taken_back_to_last_good(place: Place) -> None:
    good = on_the_server(place, "rev-parse", "one:apps/toy")
    place.change("Say it one way", toy.good("quick"))
    newest = place.change("Answer odd numbers at once", toy.harm("quick"))
    rollout = place.until(newest, Phase.REVERTED)
    revert = reverted_in_git(place, rollout)
    assert on_the_server(place, "rev-parse", f"{revert}:apps/toy") == good
    assert place.run(lane(rollout)[1], [name for name in place.nodes if name.startswith("bos")])


# ---- a protected branch ---------------------------------------------------------------------------------------------


def test_a_protected_branch_is_told_of_once_and_its_revert_waits_for_a_pull_request(place: Place) -> None:
    bad = place.change("Answer odd numbers by force", toy.harm("protected"))
    hook = place.small.repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nif grep -q refs/heads/one; then echo 'only by pull request' >&2; exit 1; fi\n")
    hook.chmod(0o755)
    try:
        rollout = place.until(bad, Phase.REVERTED)
        aside = f"turnabout/revert-one-r{rollout.number}"
        said = told(place, "git", aside)
        made = on_the_server(place, "rev-parse", aside)
        assert re.fullmatch(
            r"The server protects this branch \(git: .*only by pull request.*\), so it waits as "
            rf"{made[:7]} on the branch {aside}\. Merge that branch into one, by a pull request\. "
            r"Until one has it, it is owed\.",
            said,
        ), said
        code, shown = place.turnabout("show", f"one/{rollout.number}")
        assert code == 2
        assert f"its branch is protected: merge {aside} into it" in " ".join(shown.split())
        assert place.head() == bad
        wait("the note is there", lambda: not place.chronicle.read().standing.owed_notes)
        assert [owed.number for owed in place.chronicle.read().standing.owed_reverts] == [rollout.number]

        merged = merge_on_the_server(place, aside)
        row = wait("the debt is paid", lambda: place.chronicle.read().git(rollout.number))
        assert row.body["why"] == f"{made[:12]} on one has reverted one-r{rollout.number} already."
        assert [each for each in place.told("git") if aside in each] == [said], "said once"
        seen(place, merged)
        assert place.owes_nothing()
        assert on_the_server(place, "diff", f"{bad}^", "one", "--", "apps") == ""
    finally:
        hook.unlink()


def merge_on_the_server(place: Place, branch: str) -> str:
    """Somebody presses the forge's button; its own pushes meet no hook."""
    tree = on_the_server(place, "rev-parse", f"{branch}^{{tree}}")
    parents = ("-p", "one", "-p", branch)
    merged = on_the_server(place, "commit-tree", tree, *parents, "-m", f"Merge {branch}")
    on_the_server(place, "update-ref", "refs/heads/one", merged)
    return merged


def test_broken_toml_is_said_wherever_people_look_until_it_is_mended(place: Place) -> None:
    before, rules = number(place), (place.clone / "environments" / "one.toml").read_text()
    broken = place.commit("Break the rules", {}, one=f"{rules}[fleet\n")
    line = rules.count("\n") + 1
    problem = f"line {line}, column 7: this is not TOML: expected ']' at the end of a table declaration"
    sentence = f"The head of one, {broken[:7]}, cannot be released: environments/one.toml: 1 problem - {problem}"
    assert squeezed(told(place, "refused", broken[:7])).startswith(sentence)
    assert status_says(place, sentence) == 3
    for argv, code in (("watch", "one", "--once"), 3), (("watch", "one", "--plain"), 3), (("plan", "one"), 1):
        found, said = place.turnabout(*argv)
        assert (found, sentence in squeezed(said)) == (code, True), said

    mended = place.commit("Mend them", {}, one=rules)
    seen(place, mended)
    wait("it is over", lambda: place.turnabout("status")[0] == 0)
    written = [row.body for row in place.chronicle.read().rows if row.kind == rows.BLOCKED]
    about = [(body["commit"], body["why"] is None) for body in written if body["about"] == "head"]
    assert about[-2:] == [(broken, False), (broken, True)]
    assert number(place) == before


# ---- odd commits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("date", ["1970-01-02T00:00Z", "2099-01-01T00:00Z"])
def test_a_commit_of_an_impossible_date_is_a_release_like_any_other(
    place: Place, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", date)
    monkeypatch.setenv("GIT_AUTHOR_DATE", date)
    rollout = place.until(place.change(f"Made in {date[:4]}", toy.good(date[:4])), Phase.PROMOTED)
    code, said = place.turnabout("show", f"one/{rollout.number}", "--json")
    assert code == 0
    assert json.loads(said)["figures"]["seen_s"] is None, "nobody can say"


def test_submodules_and_lfs_pointers_in_an_application_are_refused_by_name_and_nothing_changes(place: Place) -> None:
    before, good = number(place), place.head()
    git(place.clone, "fetch", "--quiet", "origin", "one")
    git(place.clone, "checkout", "--quiet", "-B", "one", "FETCH_HEAD")
    git(place.clone, "update-index", "--add", "--cacheinfo", f"160000,{'b' * 40},apps/toy/lib")
    git(place.clone, "commit", "--quiet", "--message", "Share a library")
    place.push()
    library = git(place.clone, "rev-parse", "HEAD")
    remedy = "Commit the file itself: a release holds all that it needs."
    begins = "cannot be released: building toy:"
    head = "The head of one,"
    told(place, "refused", f"{head} {library[:7]}, {begins} apps/toy/lib is a submodule. {remedy}")

    git(place.clone, "rm", "--quiet", "--cached", "apps/toy/lib")
    film = Path(place.clone, "apps", "toy", "film")
    film.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n")
    git(place.clone, "add", "apps/toy/film")
    git(place.clone, "commit", "--quiet", "--message", "Show a film")
    place.push()
    shown = git(place.clone, "rev-parse", "HEAD")
    told(place, "refused", f"{head} {shown[:7]}, {begins} apps/toy/film is a pointer into Git LFS. {remedy}")

    git(place.clone, "reset", "--quiet", "--hard", good)
    place.push("--force")
    seen(place, place.commit("Go on", {}))
    assert number(place) == before
