"""The git source against a real repository behind a real ``git daemon``, and against servers that fail."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import Conflict, Refused, Unreachable
from controller.keys import revert_key
from controller.sources import gitcli
from controller.sources.commits import NotNeeded, Promoted, Reverted, Suspect
from controller.sources.git import NOTES, GitSource
from controller.sources.gitcli import Git
from controller.sources.sshsig import write_program
from tests.integration.repository import HOST, PROD, Daemon, World, git, reversal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.daemon.kill()


# ---- reading ------------------------------------------------------------------------------------------------------


def test_heads_are_what_the_server_has_now(world: World) -> None:
    assert world.source.heads() == {"prod": world.good}
    stage = world.ann.commits("For stage", "stage")
    assert world.source.heads() == {"prod": world.good, "stage": stage}


def test_a_fetched_commit_can_be_read(world: World) -> None:
    commit = world.source.fetch("prod")
    assert commit == world.good
    read = world.source.read(commit)
    assert read("apps/mqtt/a.py") == b"1\n"
    assert read("environments/prod.toml") == PROD.encode()
    assert world.source.read(commit, "environments")("prod.toml") == PROD.encode()
    assert (read("nothing"), read("apps"), read("apps/mqtt/*.py")) == (None, None, None)
    files = world.source.files(commit, "apps/mqtt")
    assert [(file.path, file.mode, file.content) for file in files] == [
        ("apps/mqtt/a.py", "100644", b"1\n"),
        ("apps/mqtt/b.py", "100644", b"1\n"),
    ]


def test_names_and_kinds_of_files_survive_as_git_has_them(world: World) -> None:
    folder = world.ann.folder / "apps" / "mqtt"
    (folder / "ünï code\n.txt").write_text("text")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    tip = world.ann.commits("Odd files")
    assert world.source.fetch("prod") == tip
    files = {file.path: (file.mode, file.content) for file in world.source.files(tip, "apps/mqtt")}
    assert files["apps/mqtt/ünï code\n.txt"] == ("100644", b"text")
    assert files["apps/mqtt/run"] == ("100755", b"#!/bin/sh\n")
    assert files["apps/mqtt/link"] == ("120000", b"/etc/passwd")
    assert world.source.read(tip)("apps/mqtt/link") is None  # a link is never followed


def test_a_commit_is_described_as_people_speak_of_it(world: World) -> None:
    tip = world.ann.commits("Keep readings longer", apps__mqtt__a_py="2\n3\n", apps__mqtt__b_py=None)
    world.source.fetch("prod")
    found = world.source.describe(tip)
    assert (found.commit, found.subject, found.author) == (tip, "Keep readings longer", "ann <ann>")
    assert (found.parents, found.changed_lines) == ((world.good,), 4)
    assert abs(found.committed_at - time.time()) < 60
    first = world.source.describe(world.good)
    assert (first.parents, first.changed_lines) == ((), 3 + PROD.count("\n"))
    third = world.ann.commits("More", apps__mqtt__a_py="2\n3\n4\n")
    world.source.fetch("prod")
    assert world.source.describe(third, since=world.good).changed_lines == 5


def test_a_force_pushed_branch_is_followed(world: World) -> None:
    world.ann.commits("Regretted", apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    git(world.ann.folder, "push", "-q", "-f", "origin", f"{world.good}:prod")
    assert world.source.fetch("prod") == world.good


def test_a_commit_that_was_never_fetched_gets_a_sentence(world: World) -> None:
    with pytest.raises(Refused, match=r"the mirror has no such commit .* Fetch its branch first"):
        world.source.read("12" * 20)("a")


def test_a_branch_that_is_not_there_gets_a_sentence(world: World) -> None:
    with pytest.raises(Refused, match=r"fetching nowhere from git://.*: the server has no such branch"):
        world.source.fetch("nowhere")


def test_the_last_commit_that_was_right_is_found(world: World) -> None:
    other = world.ann.commits("Only c360", apps__c360__a_py="2\n")
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    mqtt = world.source.object_id(world.good, "apps/mqtt")
    holds = [world.source.object_id(commit, "apps/mqtt") == mqtt for commit in (world.good, other, bad)]
    assert holds == [True, True, False]
    found = world.source.last_before(bad, world.good, lambda at: world.source.object_id(at, "apps/mqtt") == mqtt)
    assert found == other
    assert world.source.last_before(bad, world.good, lambda at: False) == world.good


# ---- reverting ----------------------------------------------------------------------------------------------------


def test_a_revert_restores_the_application_and_leaves_the_rest(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n", apps__mqtt__b_py=None, apps__c360__a_py="2\n")
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    assert world.source.heads()["prod"] == made.commit
    assert git(world.repository, "rev-parse", f"{made.commit}^") == bad
    assert git(world.repository, "rev-parse", "prod:apps/mqtt") == git(
        world.repository, "rev-parse", f"{world.good}:apps/mqtt"
    )
    assert world.shows("prod:apps/c360/a.py") == "2"
    assert world.shows("prod:environments/prod.toml") == PROD.strip()
    assert git(world.repository, "log", "-1", "--format=%an %cn|%B", "prod").startswith(
        'Turnabout Turnabout|Revert "Break it"\n\nmqtt: it failed.\n\nTurnabout-Rollout: prod-r41\n'
    )


def test_a_revert_is_signed_and_only_its_key_verifies(world: World, tmp_path: Path) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    for name, key, code in (("right", world.key, 0), ("wrong", revert_key(tmp_path / "others"), 1)):
        allowed = tmp_path / name
        allowed.write_text(key.allowed_signers())
        config = ("-c", f"gpg.ssh.allowedSignersFile={allowed}", "-c", f"gpg.ssh.program={key.program}")
        answer = Git(world.repository).ask(*config, "verify-commit", made.commit, attempt="verifying")
        assert answer.code == code, answer.err


def test_without_ssh_keygen_our_own_program_signs_and_verifies(world: World, tmp_path: Path) -> None:
    key = replace(world.key, program=str(write_program(tmp_path)))
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    made = world.new_source("other.git", key).revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    (tmp_path / "allowed").write_text(key.allowed_signers())
    (tmp_path / "nobody").write_text(key.allowed_signers("turnabout").replace('"git"', '"file"'))
    codes = []
    for program, allowed in ((key.program, "allowed"), (world.key.program, "allowed"), (key.program, "nobody")):
        config = ("-c", f"gpg.ssh.allowedSignersFile={tmp_path / allowed}", "-c", f"gpg.ssh.program={program}")
        codes.append(Git(world.repository).ask(*config, "verify-commit", made.commit, attempt="verifying").code)
    assert codes == [0, 0, 1]


def test_a_rollout_is_reverted_once_even_when_somebody_applies_it_again(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    first = world.source.revert(reversal(world, bad))
    assert isinstance(first, Reverted)
    again = world.ann.commits("Break it all the same", apps__mqtt__a_py="2\n")
    world.ann.commits("Something on top", apps__c360__a_py="7\n")
    second = world.source.revert(reversal(world, bad))
    assert second == NotNeeded(f"{first.commit[:12]} on prod has reverted prod-r41 already.")
    assert world.source.contains("prod", "Turnabout-Rollout: prod-r41")
    assert not world.source.contains("prod", "Turnabout-Rollout: prod-r4")
    other = replace(reversal(world, again), rollout="prod-r42")
    assert isinstance(world.source.revert(other), Reverted)
    assert world.shows("prod:apps/c360/a.py") == "7"


def test_a_mention_of_the_trailer_is_no_trailer(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    world.ann.commits("Discuss\n\nTurnabout-Rollout: prod-r41\nis what it would say.\n\nSigned-off-by: ann")
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)


def test_the_tip_moved_and_still_carries_it(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    tip = world.ann.commits("On top", apps__c360__a_py="9\n")
    made = world.source.revert(reversal(world, bad))
    assert isinstance(made, Reverted)
    assert git(world.repository, "rev-parse", "prod^") == tip
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:apps/c360/a.py")) == ("1", "9")


def test_the_tip_moved_and_carries_something_else(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    tip = world.ann.commits("Fix it", apps__mqtt__a_py="3\n")
    assert world.source.revert(reversal(world, bad)) == NotNeeded(
        f"{tip[:12]} no longer asks for this release of mqtt."
    )
    assert world.source.heads()["prod"] == tip


def test_a_fix_beside_what_was_broken_is_another_release_too(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    tip = world.ann.commits("Make up for it", apps__mqtt__b_py="2\n")
    assert isinstance(world.source.revert(reversal(world, bad)), NotNeeded)
    assert world.source.heads()["prod"] == tip


def test_somebody_reverted_it_by_hand(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    tip = world.ann.commits("Take it back", apps__mqtt__a_py="1\n")
    assert isinstance(world.source.revert(reversal(world, bad)), NotNeeded)
    assert world.source.heads()["prod"] == tip


def test_whoever_knows_the_digests_decides_whether_the_tip_carries_it(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    tip = world.ann.commits("A file that is in no release", apps__mqtt__tests__test_a_py="x\n")
    asked = []

    def carries(commit: str, app: str) -> bool:
        asked.append((commit, app))
        return True

    assert isinstance(world.source.revert(reversal(world, bad, carries=lambda commit, app: False)), NotNeeded)
    made = world.source.revert(reversal(world, bad, carries=carries))
    assert isinstance(made, Reverted)
    assert asked == [(tip, "mqtt")]
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:apps/mqtt/tests/test_a.py")) == ("1", "x")


BOTH = ("apps/mqtt", "environments/prod.toml")


def test_settings_go_back_and_those_of_others_stay(world: World) -> None:
    bad = world.ann.commits("Break it", environments__prod_toml=PROD.replace("30", "0"))
    world.ann.commits("Meanwhile", environments__prod_toml=PROD.replace("30", "0").replace('"c360"', '"other"'))
    assert isinstance(world.source.revert(reversal(world, bad, *BOTH)), Reverted)
    assert world.shows("prod:environments/prod.toml") == PROD.replace('"c360"', '"other"').strip()
    assert world.commits_on() == 4


def test_settings_that_somebody_changed_again_are_another_release(world: World) -> None:
    bad = world.ann.commits("Break it", environments__prod_toml=PROD.replace("30", "0"))
    tip = world.ann.commits("Better", environments__prod_toml=PROD.replace("30", "7"))
    assert isinstance(world.source.revert(reversal(world, bad, *BOTH)), NotNeeded)
    assert world.source.heads()["prod"] == tip


def test_where_code_is_bad_and_its_settings_were_edited_at_that_place_a_person_is_asked(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n", environments__prod_toml=PROD.replace("30", "0"))
    tip = world.ann.commits("Edit", environments__prod_toml=PROD.replace("30", "7"))
    with pytest.raises(
        Conflict, match=r"reverting prod-r41 on prod .*: environments/prod.toml was edited since"
    ) as caught:
        world.source.revert(reversal(world, bad, *BOTH))
    assert f"Take {bad[:12]} back by hand" in str(caught.value)
    assert world.source.heads()["prod"] == tip


def test_a_first_release_has_nothing_to_go_back_to(world: World) -> None:
    bad = world.ann.commits("New app", apps__new__a_py="1\n")
    first = replace(reversal(world, bad), suspects=(Suspect("new", "sha256:a", "sha256:c", ("apps/new",), None),))
    assert world.source.revert(first) == NotNeeded("new has no last good to go back to.")


def test_two_applications_go_back_in_one_commit(world: World) -> None:
    bad = world.ann.commits("Break both", apps__mqtt__a_py="2\n", apps__c360__a_py="2\n")
    both = (reversal(world, bad).suspects[0], reversal(world, bad, app="c360").suspects[0])
    made = world.source.revert(replace(reversal(world, bad), suspects=both))
    assert isinstance(made, Reverted)
    assert git(world.repository, "rev-parse", "prod^{tree}") == git(
        world.repository, "rev-parse", f"{world.good}^{{tree}}"
    )
    assert made.message.count("Turnabout-Quarantine") == 2


def moves_before_each_push(world: World, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let a person push just before the controller does, ``times`` times."""
    ran, moved = Git.run, list[str]()

    def run(self: Git, *argv: str, **how: object) -> gitcli.Answer:
        if "push" in argv and len(moved) < times:
            moved.append(world.ann.commits("Faster", apps__c360__a_py=f"{len(moved)}\n"))
        return ran(self, *argv, **how)  # type: ignore[arg-type]  # whatever the caller gave is handed on

    monkeypatch.setattr(Git, "run", run)
    return moved


def test_a_stale_lease_is_decided_again_on_the_new_tip(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    moved = moves_before_each_push(world, monkeypatch, times=2)
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)
    assert git(world.repository, "rev-parse", "prod^") == moved[-1]
    assert world.shows("prod:apps/c360/a.py") == "1"


def test_a_branch_that_never_stands_still_is_left_for_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    moved = moves_before_each_push(world, monkeypatch, times=99)
    with pytest.raises(Conflict, match=r"others moved prod 5 times meanwhile"):
        world.source.revert(reversal(world, bad))
    assert world.source.heads()["prod"] == moved[-1]


def test_a_protected_branch_refuses_and_says_what_to_do(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    hook = world.repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'only by pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="the server protects this branch") as caught:
        world.source.revert(reversal(world, bad))
    assert "only by pull request" in str(caught.value)
    assert str(caught.value).endswith("or merge the change by a pull request.")
    assert world.source.heads()["prod"] == bad


# ---- notes --------------------------------------------------------------------------------------------------------


def test_a_note_is_added_once_and_keeps_what_stands_there(world: World) -> None:
    world.source.fetch("prod")
    for text in ("prod-r41: REVERTED", "prod-r41: REVERTED", "two\n\nparagraphs", "two\n\nparagraphs"):
        world.source.note(world.good, text)
    note = git(world.repository, "notes", f"--ref={NOTES}", "show", world.good)
    assert note == "prod-r41: REVERTED\n\ntwo\n\nparagraphs"


def test_two_writers_of_notes_lose_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = world.new_source("other.git")
    for source in (world.source, other):
        source.fetch("prod")
    ran, waiting = Git.run, [True]

    def run(self: Git, *argv: str, **how: object) -> gitcli.Answer:
        if "push" in argv and waiting:
            waiting.clear()
            other.note(world.good, "from the other")
        return ran(self, *argv, **how)  # type: ignore[arg-type]  # whatever the caller gave is handed on

    monkeypatch.setattr(Git, "run", run)
    world.source.note(world.good, "from this one")
    note = git(world.repository, "notes", f"--ref={NOTES}", "show", world.good)
    assert note == "from the other\n\nfrom this one"


# ---- promoting ----------------------------------------------------------------------------------------------------

OWNED = ("environments/prod.toml", "environments/Pulumi.prod.yaml")


def test_a_promotion_brings_the_tree_and_leaves_the_targets_own_files(world: World) -> None:
    stage = world.ann.commits(
        "Stage", "stage", apps__mqtt__a_py="5\n", environments__prod_toml="stage's idea of prod\n"
    )
    made = world.source.promote("stage", "prod", OWNED)
    assert isinstance(made, Promoted)
    assert made.source == stage
    assert git(world.repository, "log", "-1", "--format=%P", "prod").split() == [world.good, stage]
    assert world.shows("prod:apps/mqtt/a.py") == "5"
    assert world.shows("prod:environments/prod.toml") == PROD.strip()
    assert git(world.repository, "ls-tree", "prod", "environments/Pulumi.prod.yaml") == ""
    again = world.source.promote("stage", "prod", OWNED)
    assert again == NotNeeded("prod already has everything that stage has.")
    assert world.source.heads()["prod"] == made.commit


def test_a_feature_that_was_reverted_comes_back_when_it_is_promoted_again(world: World) -> None:
    world.ann.commits("Feature", "stage", apps__mqtt__a_py="5\n", environments__prod_toml=PROD)
    promoted = world.source.promote("stage", "prod", OWNED)
    assert isinstance(promoted, Promoted)
    assert isinstance(world.source.revert(reversal(world, promoted.commit)), Reverted)
    world.ann.commits("Repair another part", "stage", apps__mqtt__b_py="6\n")
    assert isinstance(world.source.promote("stage", "prod", OWNED), Promoted)
    assert (world.shows("prod:apps/mqtt/a.py"), world.shows("prod:apps/mqtt/b.py")) == ("5", "6")


# ---- servers that fail --------------------------------------------------------------------------------------------


def test_a_server_that_is_gone_is_unreachable_and_the_sentence_says_so(world: World) -> None:
    world.source.fetch("prod")
    world.daemon.kill()
    for call in (world.source.heads, lambda: world.source.fetch("prod"), lambda: world.source.note(world.good, "x")):
        with pytest.raises(
            Unreachable, match=r"git://127.0.0.1:\d+/repository.git.*: the server does not answer \(git: "
        ):
            call()
    assert world.source.read(world.good)("apps/mqtt/a.py") == b"1\n"  # what was fetched can still be read


def test_a_revert_waits_for_the_server_to_come_back(world: World) -> None:
    bad = world.ann.commits("Break it", apps__mqtt__a_py="2\n")
    world.source.fetch("prod")
    world.daemon.kill()
    with pytest.raises(Unreachable):
        world.source.revert(reversal(world, bad))
    world.daemon = Daemon(world.repository.parent)
    world.source.url = world.daemon.url()
    assert isinstance(world.source.revert(reversal(world, bad)), Reverted)


def test_a_repository_that_is_not_served_is_refused(world: World) -> None:
    source = GitSource(world.daemon.url("other.git"), world.folder / "other.git")
    with pytest.raises(Refused, match=r"asking git://.*/other.git for its branches"):
        source.heads()


def test_a_server_that_never_answers_is_given_up_with_all_that_was_started(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        url = f"git://{HOST}:{silent.getsockname()[1]}/r.git"
        source = GitSource(url, tmp_path / "mirror.git", seconds=0.5)
        with pytest.raises(Unreachable, match=r"asking git://.* for its branches: no answer within 0.5 s. It is tried"):
            source.heads()
        silent.settimeout(5)
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(5)
            while connection.recv(4096):  # it ends: nobody holds the other side any more
                pass


def test_a_helper_that_hangs_is_ended_with_its_git(tmp_path: Path) -> None:
    """An ssh that ignores SIGTERM and hangs is git's child; the whole group goes."""
    ssh, said = tmp_path / "ssh", tmp_path / "pid"
    ssh.write_text(f'#!/bin/sh\ntrap "" TERM\necho $$ > {said}\nwhile :; do sleep 1; done\n')
    ssh.chmod(0o755)
    source = GitSource("ssh://nowhere/r.git", tmp_path / "mirror.git", seconds=1.0, ssh=str(ssh))
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        source.heads()
    pid = said.read_text().strip()
    for _ in range(100):
        if not Path("/proc", pid).exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"the helper {pid} is still there")


def test_a_server_that_hangs_up_in_the_middle_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as rude:
        rude.bind((HOST, 0))
        rude.listen()

        def hang_up() -> None:
            connection, _ = rude.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"00a8")  # a line is announced and never comes

        thread = threading.Thread(target=hang_up)
        thread.start()
        source = GitSource(f"git://{HOST}:{rude.getsockname()[1]}/r.git", tmp_path / "mirror.git")
        with pytest.raises(Unreachable, match="the server does not answer"):
            source.heads()
        thread.join(5)
