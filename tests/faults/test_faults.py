"""What goes wrong around the loop, on real parts: ledger, git, disks, artefacts, balancers, node programs.

One environment, one fault after the other, each with a controller of its own and the sentence that people read. After
each the fleet is on one release again, and that is the one which ledger and git name.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from controller.clock import BootClock
from controller.errors import Unreachable
from controller.loop.loop import Parts
from controller.model import Phase
from controller.ports import Ledger
from controller.rollout import rows
from controller.rollout.rows import Body, Row
from environments import Environment
from tests.faults.breaking import children, no_room, supervisor
from tests.faults.ends import base, boottime, candidate, ends, first_promoted, git_agrees, pending_because
from tests.integration import toy
from tests.integration.small import TOY, Place, wait


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from first_promoted(tmp_path_factory.mktemp("faults") / "w", "two", TOY)


# ---- the ledger -----------------------------------------------------------------------------------------------------


@dataclass
class FarLedger:
    """A ledger on the other side of a link that can be cut."""

    ledger: Ledger
    away: bool = False
    refused: list[str] = field(default_factory=list)

    def rows(self, after: int = 0, kind: str | None = None) -> list[Row]:
        self._reach("reading")
        return self.ledger.rows(after, kind)

    def append(self, kind: str, body: Body, generation: int, follows: str | None = None) -> Row:
        self._reach(kind)
        return self.ledger.append(kind, body, generation, follows)

    def _reach(self, what: str) -> None:
        if self.away:
            self.refused.append(what)
            raise Unreachable("writing the ledger", "no route to host", "It is tried again.")


def test_harm_goes_back_without_the_ledger_and_is_recorded_when_it_is_there_again(place: Place) -> None:
    far: list[FarLedger] = []

    def changed(environment: Environment, parts: Parts) -> tuple[Environment, Parts]:
        far.append(FarLedger(parts.ledger))
        return environment, replace(parts, ledger=far[0])

    spool = place.site.state / "two" / "spool.jsonl"
    with place.controller(changed) as notes:
        commit = place.change("Odd without a ledger", toy.harm("no ledger"))
        rollout = place.until(commit, Phase.WATCHING)
        far[0].away = True
        wait("back without the ledger", lambda: place.run(base(rollout)))
        gone_at = boottime()
        assert rollout.t0 is not None
        assert gone_at <= rollout.t0 + rollout.budget.limit
        wait("spooled", spool.exists)
        assert place.until(commit, Phase.WATCHING).number == rollout.number, "the ledger knows nothing of it yet"
        told = [said for event, said in notes.said if event == "ledger"]
        assert "Spooled on the controller's own disk: writing the ledger: no route to host. It is tried again." in told
        far[0].away = False
        rollout = ends(place, commit, Phase.REVERTED)
        git_agrees(place, rollout)
    assert not spool.exists()
    assert "failed for" in rollout.why
    assert candidate(rollout) in place.chronicle.read().standing.quarantine


def test_nothing_goes_forward_without_the_ledger(place: Place) -> None:
    far: list[FarLedger] = []

    def changed(environment: Environment, parts: Parts) -> tuple[Environment, Parts]:
        far.append(FarLedger(parts.ledger))
        return environment, replace(parts, ledger=far[0])

    with place.controller(changed) as notes:
        commit = place.change("Patience", toy.good("patience"))
        rollout = place.until(commit, Phase.WATCHING)
        far[0].away = True
        assert rollout.t0 is not None
        ended = rollout.t0 + rollout.budget.end
        wait("the nodes' own deadline", lambda: boottime() > ended)
        wait("back, since nobody confirmed what no row says is promoted", lambda: place.run(base(rollout)))
        assert any(event == "ledger" for event, _ in notes.said)
        far[0].away = False
        again = ends(place, commit, Phase.PROMOTED, 90)
    assert again.number > rollout.number


def test_a_ledger_that_another_process_locks_does_not_keep_the_nodes_from_going_back(place: Place) -> None:
    with place.controller() as notes:
        commit = place.change("Odd under a lock", toy.harm("lock"))
        rollout = place.until(commit, Phase.WATCHING)
        other = sqlite3.connect(place.site.ledger("two"), isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        try:
            wait("back under the lock", lambda: place.run(base(rollout)))
            wait("it says so", lambda: any("database is locked" in said for _, said in notes.said))
        finally:
            other.execute("ROLLBACK")
            other.close()
        rollout = ends(place, commit, Phase.REVERTED)
        git_agrees(place, rollout)
    assert "failed for" in rollout.why


# ---- disks and artefacts --------------------------------------------------------------------------------------------


def test_a_node_without_room_is_named_and_the_release_begins_when_there_is_room(place: Place) -> None:
    with place.controller():
        with no_room(place, "bos-b"):
            commit = place.change("Bigger", toy.good("bigger"))
            said = (
                r"Waits for bos-b, which is copying the candidate \(stage on bos-b: Staging needs \d+ bytes beside the "
                r"reserve of \d+, and \S+ has \d+ free: nothing was staged\. Run gc, then stage again\.\)\."
            )
            wait("only bos-b is waited for", lambda: (r := place.rollout(commit)) and re.fullmatch(said, r.why))
            rollout = pending_because(place, commit, "bos-b")
            assert rollout.t0 is None
            assert candidate(rollout) not in place.node("bos-b")["staged"]
        ends(place, commit, Phase.PROMOTED)


def test_a_disk_that_takes_no_more_in_mid_stage_is_named_and_nothing_of_the_release_is_left_there(place: Place) -> None:
    releases = place.root("bos-b") / "store" / "releases"
    before = sorted(releases.iterdir())
    with place.controller():
        with place.instead("bos-b", "open", "ulimit -f 2"):  # its commands write no file of more than 1 kB
            commit = place.change("Too much", toy.good("too much"))
            said = f"The disk of {place.root('bos-b')} takes no more (File too large): nothing was staged. Run gc, then"
            rollout = pending_because(place, commit, f"bos-b, which is copying the candidate (stage on bos-b: {said}")
            assert rollout.t0 is None
            assert sorted(releases.iterdir()) == before
        ends(place, commit, Phase.PROMOTED)


def test_a_promise_that_cannot_be_written_is_not_given_and_the_node_says_why(place: Place) -> None:
    blocked = place.root("bos-a") / ".state.json.tmp"
    with place.controller():
        with no_room(place, "bos-a"):
            commit = place.change("Promise", toy.good("promise"))
            rollout = pending_because(place, commit, "reserve")
            blocked.mkdir()
        try:
            held = place.reaches(rollout.number, Phase.REVERTING, 60)
            assert held.why.startswith("Not every canary served within the 12 s of deploying: ")
            assert "The promise could not be written (Is a directory): nothing was begun. Free the disk" in held.why
            assert place.small.crowd.served(candidate(rollout)).requests == 0
        finally:
            blocked.rmdir()
        place.reaches(rollout.number, Phase.HELD)
        ends(place, commit, Phase.PROMOTED)


def built(place: Place, digest: str) -> Path:
    return place.site.state / "artifacts" / "manifests" / f"{digest.removeprefix('sha256:')}.json"


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        ("altered", "No key this node trusts has signed this manifest: it was altered, or is not ours"),
        ("unsigned", "The manifest carries no ed25519 signature: only signed releases run here"),
    ],
)
def test_a_manifest_that_no_trusted_key_signed_is_refused_and_what_is_built_is_signed_anew(
    place: Place, how: str, refusal: str
) -> None:
    with place.controller():
        with no_room(place, *place.nodes):
            commit = place.change(f"Manifest {how}", toy.good(f"manifest {how}"))
            rollout = pending_because(place, commit, "reserve")
            file = built(place, candidate(rollout))
            manifest = json.loads(file.read_text())
            signature = manifest.pop("signature")
            if how == "altered":
                manifest |= {"start": [*manifest["start"], "--quiet"], "signature": signature}
            file.write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":")))
        wait("the nodes refuse it", lambda: any(refusal in said for said in whys(place, rollout.number)), 60)
        ends(place, commit, Phase.PROMOTED)
    assert json.loads(file.read_text())["start"] == ["python", "apps/toy/main.py", "--config", "{config}"]


def whys(place: Place, number: int) -> list[str]:
    """What the rows of a rollout say, one after the other."""
    of = [row.body["rollout"] for row in place.chronicle.read().rows if row.kind == rows.ROLLOUT]
    return [body["why"] for body in of if body["number"] == number]


def test_bits_that_are_not_what_their_name_says_reach_no_node_and_are_made_again(place: Place) -> None:
    with place.controller():
        with no_room(place, *place.nodes):
            commit = place.change("Damaged", toy.good("damaged"))
            rollout = pending_because(place, commit, "reserve")
            tree = json.loads(built(place, candidate(rollout)).read_text())["blobs"]["tree"]["sha256"]
            blob = place.site.state / "artifacts" / "blobs" / tree
            whole = blob.read_bytes()
            blob.write_bytes(whole[:-1] + b"x")
        refusal = f"Blob {tree[:12]} should have {len(whole)} bytes; what came is {len(whole)} bytes with sha256 "
        wait("the nodes refuse it", lambda: any(refusal in said for said in whys(place, rollout.number)), 60)
        ends(place, commit, Phase.PROMOTED)
    assert blob.read_bytes() == whole


# ---- git ------------------------------------------------------------------------------------------------------------


def test_a_git_server_that_accepts_and_never_answers_delays_no_node(place: Place) -> None:
    with place.controller() as notes:
        commit = place.change("Odd without git", toy.harm("no git"))
        place.until(commit, Phase.WATCHING)
        place.small.git_gate.state = "silent"
        try:
            rollout = ends(place, commit, Phase.REVERTED)
            assert place.head() == commit
            said = wait("it says so", lambda: next((s for e, s in notes.said if e == "git"), None), 60)
            assert said.startswith("Not recorded in git yet, it is tried again: ")
            assert "no answer within 10 s" in said
        finally:
            place.small.git_gate.state = "open"
        git_agrees(place, rollout)


def test_a_repository_that_is_not_there_is_named_and_read_again_when_it_is(place: Place) -> None:
    moved = place.small.repository.with_suffix(".moved")
    place.small.repository.rename(moved)
    try:
        with place.controller() as notes:
            said = wait("it says so", lambda: next((s for e, s in notes.said if e == "source"), None))
            assert "access denied or repository not exported: /repository.git" in said
            moved.rename(place.small.repository)
            commit = place.change("Back again", toy.good("back again"))
            wait("it is seen", lambda: place.rollout(commit))
            ends(place, commit, Phase.PROMOTED)
    finally:
        if moved.exists():
            moved.rename(place.small.repository)


# ---- a node, piece by piece -----------------------------------------------------------------------------------------


def weights(place: Place, node: str) -> dict[str, int]:
    described = next(n for n in place.small.platform.outputs["two"].nodes if n.name == node)
    asked = Request(described.observe_url, headers={"Authorization": f"Bearer {described.observe_token}"})
    with urlopen(asked, timeout=3) as answer:
        balancer = json.load(answer)["balancer"]
        return dict(balancer["weights"].get("toy", {})) if balancer["up"] else {}


@pytest.mark.parametrize("right", [True, False], ids=["good", "bad"])
def test_a_balancer_that_is_killed_in_mid_canary_comes_back_with_its_weights(place: Place, right: bool) -> None:
    with place.controller():
        word = f"balancer {right}"
        commit = place.change("Survive a balancer", toy.good(word) if right else toy.harm(word))
        place.until(commit, Phase.DEPLOYING)
        wait("drained", lambda: weights(place, "bos-a").get("bos-a") == 0)
        before = children(supervisor(place, "bos-a"))["haproxy"]
        os.kill(before, signal.SIGKILL)
        rollout = ends(place, commit, Phase.PROMOTED if right else Phase.REVERTED)
        assert children(supervisor(place, "bos-a"))["haproxy"] != before
        wait("base weights", lambda: weights(place, "bos-a") == dict.fromkeys(place.nodes, 100))
        if not right:
            git_agrees(place, rollout)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_node_program_that_dies_takes_the_candidate_along_and_it_is_tried_once_more(
    place: Place, number: signal.Signals
) -> None:
    with place.controller():
        commit = place.change(f"Survive {number.name}", toy.good(number.name))
        rollout = place.until(commit, Phase.WATCHING)
        os.kill(children(supervisor(place, "bos-a"))["serve"], number)
        wait("the candidate is gone", lambda: place.run(base(rollout), ["bos-a"]))
        held = place.reaches(rollout.number, Phase.HELD)
        assert held.why in (
            "bos-a went back by itself: the node program restarted.",
            "bos-a has not answered for 4 s, so nobody can say how it does.",
        )
        assert place.head() == commit
        again = ends(place, commit, Phase.PROMOTED)
        assert (again.number, again.attempt) == (rollout.number + 1, 2)


def test_a_supervisor_that_is_killed_is_a_node_gone_and_the_rest_does_not_wait_for_it(place: Place) -> None:
    with place.controller():
        commit = place.change("Survive a node", toy.good("a node"))
        rollout = place.until(commit, Phase.WATCHING)
        os.kill(supervisor(place, "bos-a"), signal.SIGKILL)
        place.small.platform.servers["two/bos-a"].process.wait()
        others = [node for node in place.nodes if node != "bos-a"]
        stuck = place.reaches(rollout.number, Phase.STUCK)
        assert stuck.why == (
            "bos-a will not come back within the budget; the others are on last good. "
            "bos-a has not answered for 4 s, so nobody can say how it does."
        )
        assert place.run(base(rollout), others)
        assert place.turnabout("status")[0] == 3
        place.small.platform.start_node("two", "bos-a")
        place.reaches(rollout.number, Phase.HELD)
        ends(place, commit, Phase.PROMOTED)


def test_a_release_that_never_serves_goes_back_when_deploying_has_used_its_budget(place: Place) -> None:
    with place.controller():
        rollout = ends(place, place.change("Warm the cache first", toy.HANGS), Phase.REVERTED)
        git_agrees(place, rollout)
    assert rollout.why == f"toy {rollout.commit[:7]} was not ready on bos-a within the 12 s of deploying."
    assert place.small.crowd.served(candidate(rollout)).requests == 0


# ---- time -----------------------------------------------------------------------------------------------------------


class MovedClock(BootClock):
    """The machine's clock, with a calendar that a test can turn on."""

    def __init__(self, calendar: datetime) -> None:
        super().__init__()
        self.ahead = calendar.timestamp() - time.time()

    def utc(self) -> float:
        return super().utc() + self.ahead


def test_a_freeze_window_ends_what_is_in_flight_and_lets_nothing_start_until_it_is_over(place: Place) -> None:
    clock = MovedClock(datetime(2026, 12, 23, 12, tzinfo=UTC))
    window = '[[freeze]]\nname = "year end"\ncron = "0 0 24 12 *"\nhours = 216\ntimezone = "UTC"\n'

    def changed(environment: Environment, parts: Parts) -> tuple[Environment, Parts]:
        return environment, replace(parts, clock=clock)

    with place.controller(changed) as notes:
        place.rules_of(place.commit("No release at year end", {}, two=f'branch = "two"\n{TOY}{window}'))
        commit = place.change("Before the year ends", toy.good("year end"))
        rollout = place.until(commit, Phase.WATCHING)
        clock.ahead += 24 * 3600
        held = place.reaches(rollout.number, Phase.HELD)
        assert held.why == "The freeze window 'year end' has begun."
        assert place.run(base(rollout))
        opens = "turnabout approve lets it begin all the same"
        said = f"toy {commit[:7]} waits: the freeze window 'year end' is open; {opens}"
        wait("it says why", lambda: ("toy", said) in notes.said)
        assert place.head() == commit
        clock.ahead += 24 * 3600 * 10
        ends(place, commit, Phase.PROMOTED)


def test_frozen_nodes_stay_past_their_deadline_without_a_controller_until_a_person_thaws_them(place: Place) -> None:
    commit = place.change("A new form", toy.ONE_WAY)
    with place.controller():
        rollout = place.until(commit, Phase.WATCHING)
    assert rollout.t0 is not None
    deadline = rollout.t0 + rollout.budget.end
    wait("the deadline", lambda: place.node("bos-a")["frozen"])
    assert boottime() >= deadline - 1, "a node's deadline is early by what its answers took, never late"
    app = place.node("bos-a")
    assert (app["running"], app["ready"]) == (candidate(rollout), True)
    with place.controller():
        stuck = place.reaches(rollout.number, Phase.STUCK)
        assert stuck.why.startswith("Frozen behind a one-way door, nothing goes back: ")
        assert place.turnabout("approve", "two", "--reason", "it is good")[0] == 0
        ends(place, commit, Phase.PROMOTED)


# ---- at the end -----------------------------------------------------------------------------------------------------


def test_after_all_of_it_the_ledger_is_whole_and_owes_nothing(place: Place) -> None:
    with place.controller():
        wait("nothing is owed", place.owes_nothing)
    code, said = place.turnabout("history", "two", "--verify")
    assert code == 0, said
    standing = place.chronicle.read().standing
    assert place.run(standing.promoted["toy"].digest)
