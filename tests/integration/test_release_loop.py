"""The release loop on real parts, one row of the outcome table after the other, each with the sentence people read.

One controller leads one environment of two applications through the whole file, as it would through a busy day; each
test begins from what the one before left promoted. What goes wrong around the loop is in ``tests/faults``.
"""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller.keys import revert_key
from controller.model import Cause, Phase, Rollout
from controller.sources.gitcli import Git
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration import toy
from tests.integration.small import SIDE, TOY, Place, begin, discard, git, wait

ONE = TOY + SIDE


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("small") / "w", {"one": ONE})
    try:
        small.places["one"].start()
        yield small.places["one"]
    finally:
        discard(small)


def candidate(rollout: Rollout, app: str = "toy") -> str:
    return next(lane.candidate.digest for lane in rollout.lanes if lane.app == app)


def base(rollout: Rollout, app: str = "toy") -> str:
    digest = next(lane.base.digest for lane in rollout.lanes if lane.app == app and lane.base)
    assert digest
    return digest


def all_back(place: Place, rollout: Rollout) -> None:
    """The candidate runs nowhere, and clients got nothing of it after the limit of its budgets."""
    toys = [name for name in place.nodes if name.startswith("bos")]
    assert place.run(base(rollout), toys)
    assert rollout.t0 is not None
    assert place.small.crowd.served(candidate(rollout)).last <= rollout.t0 + rollout.budget.limit


def reverted_in_git(place: Place, rollout: Rollout) -> str:
    """Wait for the revert commit on the branch; its message."""
    row = wait("the revert commit", lambda: place.chronicle.read().git(rollout.number))
    assert row.body["commit"] == place.head(), row.body
    return place.message(row.body["commit"])


def again_by(verb: str, place: Place, digest: str) -> str:
    """The command that lets a release be tried again."""
    return f'turnabout {verb} {place.name} {digest.removeprefix("sha256:")[:12]} --reason "WHY"'


def waits(place: Place, app: str, reason: str) -> str:
    """What the controller tells of an application that it does not try."""

    def told() -> str | None:
        return next((said for said in reversed(place.told(app)) if reason in said), None)

    return wait(f"{app} waits: {reason}", told)


# ---- from nothing to a first release --------------------------------------------------------------------------------


def test_a_first_release_waits_for_a_person_and_then_runs_everywhere(place: Place) -> None:
    first = place.head()
    asks = "an approval: first release of side, toy, with no last good to compare with (turnabout approve one)"
    wait("it asks", lambda: (rollout := place.rollout(first)) and asks in rollout.why)
    assert place.run(None) is False
    assert [place.node(name)["running"] for name in place.nodes] == [None] * 5
    code, said = place.turnabout("status")
    assert code == 3, said
    assert asks in " ".join(said.split())

    code, said = place.turnabout("approve", "one", "--reason", "nothing to compare with")
    assert (code, said) == (
        0,
        "one: approved: it begins when every node is ready and nothing else keeps it.\nWatch it: turnabout watch one\n",
    )
    rollout = place.until(first, Phase.PROMOTED)
    assert rollout.why == "Every node runs it. No check found harm in 4 s."
    assert rollout.approved == "ann: nothing to compare with"
    for lane in rollout.lanes:
        assert place.run(lane.candidate.digest, lane.nodes)
    assert place.turnabout("approve", "one", "--reason", "again") == (2, "Nothing waits for an approval in one.\n")
    assert place.turnabout("watch", "one", "--once")[0] == 0


# ---- measured harm --------------------------------------------------------------------------------------------------


def kept(place: Place, rollout: Rollout) -> None:
    """The failing calls stand in their order at the time of the day when they were made, beside the candidate's log."""
    command = ("show", f"one/{rollout.number}", "--samples", "errors", "--json")
    found = wait("the log is kept", lambda: (said := json.loads(place.turnabout(*command)[1]))["logs"] and said)
    story = json.loads(place.turnabout("show", f"one/{rollout.number}", "--json")[1])
    at = [call["at"] for call in found["calls"]]
    assert len(at) > 3
    assert at == sorted(at)
    assert story["t0"] <= at[0] <= at[-1] <= story["at"]
    [(node, lines)] = found["logs"].items()
    assert node == "bos-a"
    assert any("odd numbers only" in line for line in lines)
    assert not any(line.startswith("serving") and candidate(rollout) not in line for line in lines)


def test_harm_goes_back_and_git_says_so_and_the_same_bits_are_not_tried_again_until_somebody_asks(place: Place) -> None:
    bad = place.change("Answer odd numbers", toy.harm("one"))
    rollout = place.until(bad, Phase.REVERTED)
    sentence = (
        r"/items/\*, an existing path, failed for \d\d\.\d % of calls on the candidate and 0\.0 % on last good "
        r"\(\d+ of \d+ against 0 of \d+\); evidence [\d,]+(?: \(the mean of \d checks\))? passed 100 "
        r"after \d s of watching\."
    )
    assert re.fullmatch(sentence, rollout.why), rollout.why
    assert place.events(rollout.number) == ["PENDING", "DEPLOYING", "WATCHING", "REVERTING", "REVERTED"]
    kinds = [moment.kind for moment in place.chronicle.story(rollout.number).moments]
    assert kinds.index("staged") < kinds.index("deploy")
    all_back(place, rollout)

    message = reverted_in_git(place, rollout)
    assert message.splitlines()[0].startswith("Revert")
    assert " ".join(rollout.why.split()) in " ".join(message.split())
    assert f"Turnabout-Rollout: {rollout.token}" in message.splitlines()
    key = revert_key(place.site.keys)
    (place.small.root / "signers").write_text(key.allowed_signers())
    trust = ("-c", f"gpg.ssh.allowedSignersFile={place.small.root / 'signers'}", "-c", f"gpg.ssh.program={key.program}")
    asked = Git(place.small.repository).ask(*trust, "verify-commit", place.head(), attempt="verifying")
    assert asked.code == 0, asked.err
    assert place.turnabout("watch", "one", "--once")[0] == 2

    kept(place, rollout)
    again = place.change("Answer odd numbers all the same", toy.harm("one"))
    said = waits(place, "toy", f"{again[:7]} waits: quarantined")
    lifts = f"which only {again_by('quarantine clear', place, candidate(rollout))} lifts"
    assert said == f"toy {again[:7]} waits: quarantined by rollout {rollout.number}, {lifts}: {rollout.why}"
    assert place.rollout(again) is None
    code, said = place.turnabout("plan", "one")
    assert code == 3
    assert "toy waits: quarantined by rollout" in said

    code, said = place.turnabout("retry", "one", "--reason", "it was the network")
    assert code == 0
    second = place.until(again, Phase.REVERTED)
    assert re.fullmatch(sentence, second.why), "it was judged anew, not by what was remembered of it"
    reverted_in_git(place, second)


def test_a_release_that_exits_at_its_start_goes_back_with_its_last_words(place: Place) -> None:
    rollout = place.until(place.change("Read items from a table", toy.EXITS), Phase.REVERTED)
    assert rollout.why.startswith(f"toy {rollout.commit[:7]} was given up by bos-a: the candidate exited with code 1: ")
    assert "LookupError: no such table: items" in rollout.why
    assert place.small.crowd.served(candidate(rollout)).requests == 0
    all_back(place, rollout)
    assert "exited with code 1" in reverted_in_git(place, rollout)


def test_books_that_do_not_balance_are_harm_although_every_answer_is_right(place: Place) -> None:
    rollout = place.until(place.change("Count answers", toy.MISCOUNTS), Phase.REVERTED)
    assert re.fullmatch(
        r"Asked = answered \+ failed does not hold on bos-a: -\d+ after \d s of watching\.", rollout.why
    ), rollout.why
    assert place.small.crowd.served(candidate(rollout)).bad == 0
    all_back(place, rollout)
    reverted_in_git(place, rollout)


def test_of_two_applications_in_a_commit_only_the_guilty_one_is_reverted_and_the_other_follows(place: Place) -> None:
    last = place.chronicle.read().standing.rollout
    assert last is not None
    both = place.commit("Change both", {"toy": [toy.harm("two")], "side": [toy.good("kinder")]})
    rollout = place.reaches(last.number + 1, Phase.REVERTED)
    assert sorted(lane.app for lane in rollout.lanes) == ["side", "toy"]
    assert rollout.guilty == ("toy",)
    message = reverted_in_git(place, rollout)
    assert "Turnabout-Quarantine: toy" in message
    assert "Turnabout-Quarantine: side" not in message
    assert git(place.small.repository, "diff", "--name-only", f"{both}~", "one") == "apps/side/answer.py"

    follows = place.reaches(rollout.number + 1, Phase.PROMOTED)
    assert [lane.app for lane in follows.lanes] == ["side"]
    assert candidate(follows, "side") == candidate(rollout, "side")
    assert candidate(rollout) in place.chronicle.read().standing.quarantine


# ---- a release that is right ----------------------------------------------------------------------------------------


def test_settings_alone_are_a_release_like_any_other(place: Place) -> None:
    overlay = f'branch = "one"\n{ONE}\n[app.toy]\ngreeting = "good evening"\n'
    rollout = place.until(place.commit("Greet by the hour", {}, one=overlay), Phase.PROMOTED)
    lane = rollout.lanes[0]
    assert [one.app for one in rollout.lanes] == ["toy"]
    assert lane.base is not None
    assert lane.candidate.artifact_digest == lane.base.artifact_digest
    assert lane.candidate.config_digest != lane.base.config_digest
    assert place.run(candidate(rollout), lane.nodes)


def test_a_newer_commit_in_flight_takes_over_from_last_good(place: Place) -> None:
    older = place.change("Say it one way", toy.good("one way"))
    place.until(older, Phase.WATCHING)
    newer = place.change("Say it another way", toy.good("another way"))
    first = place.until(older, Phase.SUPERSEDED)
    assert first.why == f"Commit {newer[:7]} arrived in flight and wants something else."
    second = place.until(newer, Phase.PROMOTED)
    assert base(second) == base(first)
    assert second.lets_finish
    assert place.chronicle.git(first.number) is None
    assert place.head() == newer


# ---- could not look -------------------------------------------------------------------------------------------------


def test_a_node_that_cannot_be_looked_at_ends_the_attempt_and_a_second_time_a_person_is_asked(place: Place) -> None:
    commit = place.change("Be brief", toy.good("brief"))
    last = place.chronicle.read().standing.rollout
    assert last is not None
    for attempt in (1, 2):
        rollout = place.reaches(last.number + attempt, Phase.WATCHING)
        assert (rollout.commit, rollout.attempt) == (commit, attempt)
        with place.cut("bos-a"):
            seen = place.reaches(rollout.number, Phase.REVERTING)
            assert seen.why == "bos-a has not answered for 4 s, so nobody can say how it does."
        assert place.reaches(rollout.number, Phase.HELD).why == seen.why
    said = waits(place, "toy", "given up 2 times")
    again = f"{again_by('retry', place, candidate(rollout))} tries it again"
    assert said == f"toy {commit[:7]} waits: given up 2 times without a clear verdict; {again}"
    assert place.head() == commit, "git is left alone"
    assert place.turnabout("status")[0] == 3
    assert place.turnabout("retry", "one", "--reason", "the link is repaired")[0] == 0
    assert place.until(commit, Phase.PROMOTED).number == last.number + 3


def test_what_is_broken_outside_both_arms_is_no_harm_and_is_judged_again_when_that_is_over(place: Place) -> None:
    words = place.small.root / "words"
    words.write_text("hello")
    reads = ("answer.py", "    return f", f"    open({str(words)!r}).close()\n    return f")
    place.until(place.change("Look a word up", reads), Phase.PROMOTED)
    commit = place.change("Look it up once more", toy.good("once more"))
    watched = place.until(commit, Phase.WATCHING)
    words.unlink()
    rollout = place.reaches(watched.number, Phase.HELD)
    assert rollout.cause is Cause.INCIDENT
    said = r"Both arms are bad \(\d+ of \d+ on last good\): something outside them is broken\."
    assert re.fullmatch(said, rollout.why), rollout.why
    all_back(place, rollout)
    rests = f"toy {commit[:7]} waits: something outside it is broken: judged again 4 s later"
    assert waits(place, "toy", "something outside it is broken").startswith(rests)
    assert not place.chronicle.read().standing.quarantine.keys() & {candidate(rollout)}
    words.write_text("hello")
    assert place.until(commit, Phase.PROMOTED).number > rollout.number
    assert place.head() == commit, "git is left alone"


# ---- people ---------------------------------------------------------------------------------------------------------


def newest_promoted(place: Place) -> Rollout:
    """The rollout that the test before left promoted, or one made now."""
    last = place.chronicle.read().standing.rollout
    if last is not None and last.phase is Phase.PROMOTED and last.settled and last.commit == place.head():
        return last
    return place.until(place.change("Longer", toy.good("longer")), Phase.PROMOTED)


def test_abort_after_promotion_takes_it_back_within_seconds_and_no_zone_stands_empty(place: Place) -> None:
    promoted = newest_promoted(place)
    commit = promoted.commit
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert place.turnabout("abort", "one", "--reason", "the customer objects")[0] == 0
    rollout = place.until(commit, Phase.HELD)
    assert rollout.why == "ann took it back after its promotion: the customer objects"
    assert place.events(rollout.number)[-3:] == ["PROMOTED", "RETURNING", "HELD"]
    assert place.run(base(promoted), promoted.lanes[0].nodes)
    assert "503" not in place.small.crowd.unanswered_since(began), "a zone stood empty"
    assert place.head() == commit

    assert place.turnabout("retry", "one", "--reason", "the customer agrees")[0] == 0
    promoted = place.until(commit, Phase.PROMOTED, after=rollout.number)
    assert place.turnabout("revert", "one", "--reason", "it costs too much")[0] == 0
    rollout = place.until(commit, Phase.REVERTED)
    assert rollout.why == "ann took it back after its promotion: it costs too much"
    assert place.events(rollout.number)[-3:] == ["PROMOTED", "RETURNING", "REVERTED"]
    assert place.run(base(promoted), promoted.lanes[0].nodes)
    assert "it costs too much" in reverted_in_git(place, rollout)
    assert candidate(rollout) in place.chronicle.read().standing.quarantine


def test_a_release_that_nodes_no_longer_keep_is_asked_for_in_git_and_rolled_out_as_the_same_bits(place: Place) -> None:
    older = newest_promoted(place)
    place.until(place.change("Wordier", toy.good("wordier")), Phase.PROMOTED)
    left = place.until(place.change("Wordiest", toy.good("wordiest")), Phase.PROMOTED)

    code, said = place.turnabout("revert", "one", "--to", older.commit[:9], "--reason", "too many words")
    head = place.head()
    assert (code, said) == (
        0,
        f"one: {head[:7]} asks for toy as in {older.commit[:7]} again.\n"
        "Nodes do not keep that release, so it is rolled out like any other.\nWatch it: turnabout watch one\n",
    )
    again = place.until(head, Phase.PROMOTED)
    assert candidate(again) == candidate(older), "nothing was built anew"
    assert place.run(candidate(older), again.lanes[0].nodes)
    message = place.message(head)
    assert message.splitlines()[0] == f"Revert one to {older.commit[:12]}"
    assert "ann reverted to it: too many words" in " ".join(message.split())
    assert "Turnabout-Restored: toy sha256:" in message
    code, said = place.turnabout("quarantine", "list", "one")
    assert code == 0
    assert left.commit[:7] in said
    assert "ann reverted it: too many words" in said
    assert place.turnabout("revert", "one", "--to", head[:9], "--reason", "again") == (
        2, f"one runs {head[:9]} now.\n",
    )  # fmt: skip
    barred = (
        f"toy {left.commit[:7]} is quarantined: ann reverted it: too many words. "
        f"To go there all the same: turnabout quarantine clear one {left.commit[:7]} --reason WHY\n"
    )
    assert place.turnabout("revert", "one", "--to", left.commit[:9], "--reason", "no") == (2, barred)
    assert place.turnabout("abort", "one", "--reason", "no") == (2, barred), "it is the release before"
    code, said = place.turnabout("quarantine", "clear", "one", left.commit[:7], "--reason", "words are in again")
    assert (code, said.splitlines()[0]) == (0, "one: cleared: it is tried again as soon as the branch asks for it.")
    assert candidate(left) not in place.chronicle.read().standing.quarantine


def test_abort_in_flight_leaves_git_alone(place: Place) -> None:
    commit = place.change("Shorter", toy.good("shorter"))
    place.until(commit, Phase.WATCHING)
    code, said = place.turnabout("abort", "one", "--reason", "wrong customer list")
    assert code == 0
    assert said.startswith("one: asked: unless something else was decided first, traffic goes off, nodes go back, ")
    rollout = place.until(commit, Phase.HELD)
    assert rollout.why == "ann aborted it: wrong customer list"
    all_back(place, rollout)
    assert place.head() == commit
    assert waits(place, "toy", "taken back by an operator")
    assert place.turnabout("abort", "one", "--reason", "again") == (
        2, "Nothing to abort in one: no rollout is in flight and the last is closed.\n",
    )  # fmt: skip


def test_a_hold_lets_nothing_start_and_ends_what_is_in_flight_until_it_is_resumed(place: Place) -> None:
    commit = place.change("Plainer", toy.good("plainer"))
    place.until(commit, Phase.WATCHING)
    assert place.turnabout("hold", "one", "--reason", "the fair is on")[0] == 0
    rollout = place.until(commit, Phase.HELD)
    assert rollout.why == "ann holds one: the fair is on"
    all_back(place, rollout)
    assert waits(place, "toy", "held by ann: the fair is on")
    assert place.turnabout("status")[0] == 3
    assert place.turnabout("resume", "one", "--reason", "it is over")[0] == 0
    place.until(commit, Phase.PROMOTED)
    assert place.turnabout("resume", "one", "--reason", "again") == (2, "one is not held.\n")


FROZEN = f"""branch = "one"
{ONE}
[[freeze]]
name = "the fair"
cron = "0 0 1 1 *"
hours = 8784
timezone = "UTC"
"""


def test_a_freeze_window_stops_everything_but_the_one_commit_that_a_person_lets_through(place: Place) -> None:
    newest_promoted(place)
    place.rules_of(place.commit("Freeze for the fair", {}, one=FROZEN))
    commit = place.change("Mend the pump", toy.good("mended"))
    said = "the freeze window 'the fair' is open; turnabout approve lets it begin all the same"
    assert waits(place, "toy", "freeze window").endswith(said)
    assert place.turnabout("approve", "one", "--reason", "the pump stands still")[0] == 0
    rollout = place.until(commit, Phase.PROMOTED)
    assert (rollout.window, rollout.approved) == ("the fair", "ann: the pump stands still")
    later = place.change("Paint the pump", toy.good("painted"))
    assert waits(place, "toy", later[:7]).endswith(said)
    assert place.rollout(later) is None, "one approval, one commit"
    assert place.turnabout("approve", "one", "--reason", "it rusts")[0] == 0
    place.until(later, Phase.PROMOTED)
    place.rules_of(place.commit("Thaw", {}, one=f'branch = "one"\n{ONE}'))
    after = place.change("Back to usual", toy.good("as usual"))
    assert place.until(after, Phase.PROMOTED).window is None


# ---- what is not the release's own ----------------------------------------------------------------------------------


def test_a_port_that_somebody_else_took_is_named_and_last_good_comes_back_when_it_is_free(place: Place) -> None:
    described = next(node for node in place.small.platform.outputs["one"].nodes if node.name == "bos-a")
    host, _, port = described.listens["toy"].rpartition(":")
    strangers: list[socket.socket] = []
    taken = threading.Event()

    def take() -> None:
        place.enter("bos-a")
        stranger = socket.socket()
        strangers.append(stranger)
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while not taken.is_set():
            try:
                stranger.bind((host, int(port)))
            except OSError:
                continue
            stranger.listen()
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        commit = place.change("Warmer", toy.good("warmer"))
        rollout = place.until(commit, Phase.REVERTING)
        assert "Address already in use" in rollout.why
    finally:
        taken.set()
        thread.join()
        strangers[0].close()
    rollout = place.until(commit, Phase.REVERTED)
    all_back(place, rollout)
    reverted_in_git(place, rollout)


def test_behind_a_one_way_door_harm_freezes_the_roll_and_a_person_decides(place: Place) -> None:
    commit = place.change("Keep items in a new form", toy.ONE_WAY, toy.harm("new form"))
    rollout = place.until(commit, Phase.STUCK)
    assert rollout.why.startswith("Frozen behind a one-way door, nothing goes back: /items/*, an existing path, failed")
    assert place.node("bos-a")["running"] == candidate(rollout)
    assert place.turnabout("status")[0] == 3
    assert place.turnabout("watch", "one", "--once")[0] == 3
    assert place.turnabout("approve", "one", "--reason", "it is mended with the next one")[0] == 0
    rollout = place.until(commit, Phase.PROMOTED)
    assert place.run(candidate(rollout), rollout.lanes[0].nodes)
    assert place.head() == commit


def test_what_mends_a_last_good_that_fails_is_promoted(place: Place) -> None:
    edit = toy.harm("new form")
    rollout = place.until(place.change("Answer every number again", (edit[0], edit[2], edit[1])), Phase.PROMOTED)
    assert place.run(candidate(rollout), rollout.lanes[0].nodes)
    assert place.small.crowd.served(candidate(rollout)).bad == 0
    assert place.small.crowd.served(base(rollout)).bad > 0


# ---- two controllers, and the end -----------------------------------------------------------------------------------


def test_a_controller_that_is_told_to_stop_does_not_wait_for_a_copy_that_takes_minutes(place: Place) -> None:
    """It ends within its own patience, its copies with it; the next controller begins them anew."""
    copying = place.small.root / "copying"
    with place.instead("bos-b", "open", f'case "$*" in *" stage "*) echo $$ > {copying}; exec sleep 115;; esac'):
        commit = place.change("Be patient", toy.good("patient"))
        wait("a copy is under way", copying.exists)
        pid = int(copying.read_text())
        assert place.process is not None
        place.process.terminate()
        assert place.process.wait(30) == 0
        if not place.apart:  # on another machine it ends with what it is given
            wait("the copy has ended as well", lambda: not Path(f"/proc/{pid}").exists(), 5)
    rollout = place.rollout(commit)
    assert rollout is not None
    assert rollout.phase is Phase.PENDING
    assert candidate(rollout) not in place.node("bos-b")["staged"]
    place.start()
    place.until(commit, Phase.PROMOTED)


def test_a_second_controller_refuses(place: Place) -> None:
    assert place.process is not None
    code, said = place.turnabout("run")
    assert code == 1
    assert said == (
        f"{place.site.state / 'one'}: the controller with pid {place.process.pid} leads it. "
        "Stop that one first, or use it.\n"
    )


def test_reading_and_planning_beside_a_running_controller(place: Place) -> None:
    code, said = place.turnabout("doctor")
    [wrong] = [line for line in said.splitlines() if line.startswith("NO")]
    assert (code, wrong.split()[1:3]) == (2, ["one", "database"]), "which nobody has brought up here"
    assert wrong.endswith(": connection refused. Bring the platform up, or what ended of it")
    assert f"ok  one controller           leads, pid {place.process.pid}\n" in said  # type: ignore[union-attr]  # it runs
    for line in ("keys                     build.key", "one outputs              5 nodes, which trust builder-"):
        assert f"ok  {line}" in said
    assert "5 answer" in said
    code, said = place.turnabout("plan", "one")
    assert (code, said.splitlines()[-1]) == (0, "  nothing to do: it runs what its branch wants")
    code, said = place.turnabout("promote", "one", "one")
    assert (code, said) == (
        1, "promoting one to one: it promotes from nowhere. See promotes_from in environments/one.toml.\n",
    )  # fmt: skip


def test_a_controller_leads_from_a_whole_ledger_only(place: Place) -> None:
    code, said = place.turnabout("history", "one", "--verify")
    assert code == 0
    assert re.fullmatch(r"one: \d+ rows, every hash follows\.\n", said)
    assert place.stop() == 0
    ledger = place.site.ledger("one")
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("DROP TRIGGER append_only_update")
        db.execute("UPDATE rows SET at = at + 1 WHERE n = 7")
    assert place.turnabout("run") == (
        1,
        f"leading one: row 7 of {ledger} does not follow from the one before it. "
        "It was changed by hand or is damaged: restore it from a copy.\n",
    )
