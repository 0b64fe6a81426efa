"""A node that loses its power in each phase of a rollout and comes up under another boot id.

Times of the earlier boot mean nothing to it, so it comes up on last good, whatever it had promised. That is no harm:
what was in flight goes back and is tried once more, what was promoted settles, what was going back goes back.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.model import Phase, Rollout
from tests.faults.breaking import no_room, power_cycle
from tests.faults.ends import base, candidate, ends, first_promoted, git_agrees, pending_because
from tests.integration import toy
from tests.integration.small import TOY, Place, wait

RESTARTED = "bos-a went back by itself: the machine restarted."
SHORT_DEPLOY = "[budget]\ndeploy_seconds = 6\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from first_promoted(tmp_path_factory.mktemp("power") / "w", "power", SHORT_DEPLOY + TOY)


def is_tried_again(place: Place, rollout: Rollout) -> None:
    """It was HELD, git knows nothing of it, and the second attempt is promoted on the whole fleet."""
    assert place.reaches(rollout.number, Phase.HELD).why == RESTARTED
    assert place.head() == rollout.commit
    again = ends(place, rollout.commit, Phase.PROMOTED)
    assert (again.number, again.attempt) == (rollout.number + 1, 2)
    assert candidate(rollout) not in place.chronicle.read().standing.quarantine


def test_pending_it_is_waited_for(place: Place) -> None:
    with place.controller():
        with no_room(place, "bos-b"):
            commit = place.change("Power while it waits", toy.good("pending"))
            rollout = pending_because(place, commit, "bos-b")
            power_cycle(place, "bos-a")
            wait("bos-a is back", lambda: place.run(base(rollout), ["bos-a"]))
        assert ends(place, commit, Phase.PROMOTED).number == rollout.number


def test_deploying_it_comes_up_on_last_good_and_the_release_is_tried_again(place: Place) -> None:
    with place.controller():
        commit = place.change("Power while it deploys", toy.good("deploying"))
        rollout = place.until(commit, Phase.DEPLOYING)
        wait("the promise", lambda: place.node("bos-a")["pending"])
        power_cycle(place, "bos-a")
        is_tried_again(place, rollout)
    assert "WATCHING" not in place.events(rollout.number)


def test_watching_a_canary_comes_up_on_last_good_and_the_release_is_tried_again(place: Place) -> None:
    with place.controller():
        commit = place.change("Power while it is watched", toy.good("watching"))
        rollout = place.until(commit, Phase.WATCHING)
        power_cycle(place, "bos-a")
        is_tried_again(place, rollout)


def test_promoted_a_node_that_had_not_confirmed_comes_along_with_the_next_attempt(place: Place) -> None:
    with place.controller():
        commit = place.change("Power while it settles", toy.good("settling"))
        rollout = place.until_promoted(commit)
        wait("bos-b is about to settle", lambda: place.node("bos-b")["pending"])
        power_cycle(place, "bos-b")
        settled = ends(place, commit, Phase.PROMOTED)
        went = place.node("bos-b")["went_back"]
    assert (went["token"], went["reason"]) == (f"{rollout.token}.settle1", "the machine restarted")
    assert (settled.number, settled.settle) == (rollout.number, 2)
    assert settled.why.startswith("Every node runs it.")


def test_reverting_it_comes_up_on_last_good_which_is_where_it_was_going(place: Place) -> None:
    with place.controller():
        commit = place.change("Power while it reverts", toy.harm("power"))
        rollout = place.until(commit, Phase.WATCHING)
        place.reaches(rollout.number, Phase.REVERTING)
        power_cycle(place, "bos-a")
        rollout = ends(place, commit, Phase.REVERTED)
        git_agrees(place, rollout)
    assert place.node("bos-a")["harmful"] == [candidate(rollout)], "it learns that it was harm"


def test_returning_it_comes_up_on_what_was_promoted_and_is_brought_back_from_there(place: Place) -> None:
    with place.controller():
        commit = place.change("Power while it returns", toy.good("returning"))
        rollout = place.until(commit, Phase.PROMOTED)
        assert place.turnabout("abort", "power", "--reason", "second thoughts")[0] == 0
        place.reaches(rollout.number, Phase.RETURNING)
        power_cycle(place, "bos-a")
        held = ends(place, commit, Phase.HELD)
    assert held.why == "ann took it back after its promotion: second thoughts"
    assert place.node("bos-a")["previous"] == candidate(rollout), "it returned from its own disk"
