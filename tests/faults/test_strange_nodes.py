"""Nodes that answer strangely, late or never, and commands that come twice, late and in the wrong order.

Four nodes, two of them canaries: what cannot be looked at is no proof of harm. It goes back at its own deadline, is
HELD, and the same release is tried once more when the nodes can be looked at again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.fleets.nodes import NodeFleet
from controller.loop.loop import Parts
from controller.model import Phase
from controller.ports import Ran, Transport
from environments import Environment
from tests.faults.ends import base, boottime, candidate, ends, first_promoted, git_agrees
from tests.integration import toy
from tests.integration.small import Place, wait

FOUR_NODES = """
[budget]
deploy_seconds = 6
[fleet.toy]
zones = ["BOS"]
nodes_per_zone = 4
waves = [{ BOS = 2 }]
"""
NOT_SEEN = "bos-a has not answered for 4 s, so nobody can say how it does."


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from first_promoted(tmp_path_factory.mktemp("strange") / "w", "four", FOUR_NODES)


NONSENSE = b"HTTP/1.1 200 OK\r\n\r\n<h1>It works!</h1>"
WAYS = {
    "answers garbage": ("strange", NONSENSE, "echo It works; exit 0"),
    "answers too late": ("dripping", NONSENSE, '( sleep 8; exec setsid "$@" ) > /dev/null 2>&1 & sleep 60'),
    "never answers": ("silent", b"", "sleep 60"),
}
"""How a node answers: the state of its gate, what is said there, and what happens in place of a command."""


@pytest.mark.parametrize("way", WAYS)
def test_a_node_so_strange_is_a_silent_one_which_is_no_harm(place: Place, way: str) -> None:
    observed, says, commanded = WAYS[way]
    with place.controller():
        commit = place.change(f"Bear that it {way}", toy.good(way))
        rollout = place.until(commit, Phase.WATCHING)
        with place.instead("bos-a", observed, commanded, says):
            back = place.reaches(rollout.number, Phase.REVERTING)
            assert back.why == NOT_SEEN
            wait("its own deadline brings it back", lambda: place.run(base(rollout), ["bos-a"]))
            open_one = place.chronicle.read().standing.open_rollout
            assert open_one is not None and open_one.number == rollout.number, "it is not closed until the node says so"
        held = place.reaches(rollout.number, Phase.HELD)
        assert held.why.endswith(NOT_SEEN)
        assert place.head() == commit, "git is left alone"
        again = ends(place, commit, Phase.PROMOTED)
    assert (again.number, again.attempt) == (rollout.number + 1, 2)
    assert candidate(rollout) not in place.chronicle.read().standing.quarantine


def test_of_a_split_fleet_the_far_half_goes_back_alone_and_all_are_one_again_when_it_heals(place: Place) -> None:
    with place.controller():
        commit = place.change("Survive a split", toy.good("a split"))
        rollout = place.until(commit, Phase.WATCHING)
        with ExitStack() as stack:
            for far in ("bos-a", "bos-c"):  # a canary and a control node
                stack.enter_context(place.cut(far))
            place.reaches(rollout.number, Phase.REVERTING)
            wait("the near canary is told", lambda: place.run(base(rollout), ["bos-b", "bos-d"]))
            wait("and the near control node", lambda: rollout.token in place.node("bos-d")["ended"])
            assert rollout.token not in place.node("bos-c")["ended"], "of which the far one knows nothing"
            wait("the far canary goes back alone", lambda: place.run(base(rollout), ["bos-a"]))
            assert "deadline" in place.node("bos-a")["went_back"]["reason"]
            assert rollout.t0 is not None
            assert boottime() <= rollout.t0 + rollout.budget.limit
            stuck = place.reaches(rollout.number, Phase.STUCK)
            assert (
                stuck.why
                == f"bos-a, bos-c will not come back within the budget; the others are on last good. {NOT_SEEN}"
            )
        place.reaches(rollout.number, Phase.HELD)
        again = ends(place, commit, Phase.PROMOTED)
    assert again.attempt == 2


# ---- commands that come twice, late, and in the wrong order ---------------------------------------------------------


@dataclass
class Post:
    """A way to nodes that delivers every command twice, and keeps a copy of it for later."""

    way: Transport
    sent: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Ran:
        if "--generation" in argv:
            with self.lock:
                self.sent.append((node, argv))
            self.way.run(node, argv, stdin, timeout)
        return self.way.run(node, argv, stdin, timeout)

    def again(self) -> dict[str, int]:
        """Everything once more, the newest first; how often each verb was taken."""
        taken: dict[str, int] = {}
        for node, argv in reversed(list(self.sent)):
            ran = self.way.run(node, argv, None, 10.0)
            verb = next(word for word in argv if word in ("activate", "confirm", "revert", "return", "traffic"))
            taken[verb] = taken.get(verb, 0) + (ran.code == 0)
        return taken


def promised(place: Place) -> dict[str, object]:
    """What every node has on its disk of releases and leases; not which generation was there last."""
    seen: dict[str, object] = {}
    for node in place.nodes:
        state = json.loads((Path(place.root(node)) / "state.json").read_text())["apps"]["toy"]
        seen[node] = {name: state[name] for name in ("good", "pending", "frozen", "leases", "harmful")}
    return seen


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.REVERTED])
def test_commands_that_come_twice_and_late_and_backwards_change_nothing(place: Place, phase: Phase) -> None:
    posts: list[Post] = []

    def changed(environment: Environment, parts: Parts) -> tuple[Environment, Parts]:
        fleet = parts.fleet
        assert isinstance(fleet, NodeFleet)
        posts.append(Post(fleet._transport))
        fleet._transport = posts[0]
        return environment, parts

    word = f"post {phase}"
    with place.controller(changed):
        edit = toy.good(word) if phase is Phase.PROMOTED else toy.harm(word)
        commit = place.change(f"Survive the post, {phase}", edit)
        rollout = ends(place, commit, phase)
        if phase is Phase.REVERTED:
            git_agrees(place, rollout)
    before, closed = promised(place), boottime()
    taken = posts[0].again()
    assert taken["revert"] > 0, "a token that has ended may be ended again"
    assert {verb: taken[verb] for verb in taken if verb in ("activate", "confirm", "traffic")} == {
        verb: 0 for verb in taken if verb in ("activate", "confirm", "traffic")
    }
    assert promised(place) == before
    wanted = candidate(rollout) if phase is Phase.PROMOTED else base(rollout)
    assert place.run(wanted)
    if phase is Phase.REVERTED:
        assert place.small.crowd.served(candidate(rollout)).last < closed
