"""The release loop where nodes are machines of their own, commanded by SSH through a bastion: what it promises there.

Good and bad releases, and what can happen to the ways between: the controller cut off, a bastion that dies, a link that
is cut. The whole suite of ``test_release_loop`` passes on such nodes as well, with ``FLEET=ssh`` in the surroundings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from controller.model import Phase, Rollout
from infra.local.apart.machines import Apart
from infra.local.apart.sshd import wait_until_listening
from tests.integration import toy
from tests.integration.apart import needs_a_platform
from tests.integration.small import TOY, Place, begin, discard, wait

OVERLAY = f"""
[budget]
watch_seconds = 8
{TOY}"""
"""A watch that sees enough where this machine is slow."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    needs_a_platform()
    small = begin(tmp_path_factory.mktemp("small") / "w", {"one": OVERLAY}, Apart())
    try:
        place = small.places["one"]
        place.start()
        place.approve_first(place.head())
        yield place
    finally:
        discard(small)


@pytest.fixture
def apart(place: Place) -> Apart:
    places = place.small.platform.places
    assert isinstance(places, Apart)
    return places


def candidate(rollout: Rollout) -> str:
    return rollout.lanes[0].candidate.digest


def base(rollout: Rollout) -> str:
    found = rollout.lanes[0].base
    assert found is not None
    return found.digest


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def meets_clients(place: Place, rollout: Rollout) -> None:
    wait("clients meet the candidate", lambda: place.small.crowd.served(candidate(rollout)).requests > 10)


def was_gone_in_time(place: Place, rollout: Rollout) -> None:
    """Clients, in the carrier's network, got nothing of the candidate after the limit of its budgets."""
    assert rollout.t0 is not None
    assert 0 < place.small.crowd.served(candidate(rollout)).last <= rollout.t0 + rollout.budget.limit


# ---- the ordinary day -----------------------------------------------------------------------------------------------


def test_doctor_says_by_which_way_commands_go(place: Place, apart: Apart) -> None:
    said = place.turnabout("doctor")[1]
    assert f"ok  one commands             3 obey, by ssh through {apart.bastion}\n" in said


def test_a_good_change_is_promoted(place: Place) -> None:
    rollout = place.until(place.change("Say it kindly", toy.good("kinder")), Phase.PROMOTED)
    assert rollout.why.startswith("Every node runs it. No check found harm in 8 s")
    assert place.run(candidate(rollout))
    assert place.small.crowd.served(candidate(rollout)).bad == 0


def test_a_bad_change_goes_back_within_its_limit(place: Place) -> None:
    rollout = place.until(place.change("Answer odd numbers", toy.harm("one")), Phase.REVERTED)
    assert "failed for" in rollout.why
    assert place.run(base(rollout))
    was_gone_in_time(place, rollout)
    wait("the revert commit", lambda: place.chronicle.read().git(rollout.number))


# ---- ways that break ------------------------------------------------------------------------------------------------


def ends(rollout: Rollout) -> float:
    """When nodes that hear nothing have gone back: boot time, with a second for the way."""
    assert rollout.t0 is not None
    budget = rollout.budget
    return rollout.t0 + budget.deploy + budget.watch + budget.margin + 1.0


def test_nodes_go_back_by_themselves_when_the_controller_is_cut_off(place: Place, apart: Apart) -> None:
    """Its region has no cable any more; clients, in the carrier's network, see what happens."""
    commit = place.change("Say it louder", toy.good("louder"))
    rollout = place.until(commit, Phase.WATCHING)
    meets_clients(place, rollout)
    apart.cut("region")
    try:
        wait("its time is over", lambda: boottime() > ends(rollout), 60.0)
        now = boottime()
        wait("clients are served", lambda: place.small.crowd.served(base(rollout)).last > now)
        was_gone_in_time(place, rollout)
        [before] = place.chronicle.read().attempts(commit)
        assert before.phase in (Phase.REVERTING, Phase.STUCK), "it cannot know that they are back"
    finally:
        apart.mend("region")
    assert place.until(commit, Phase.PROMOTED, after=rollout.number, seconds=60.0)
    assert place.events(rollout.number)[-2:] == ["REVERTING", "HELD"], "the first attempt harmed nobody"
    assert place.small.crowd.served(candidate(rollout)).bad == 0


def test_a_bastion_that_dies_leaves_nodes_observed_and_on_their_own_clock_until_it_is_back(
    place: Place, apart: Apart
) -> None:
    """What was seen is enough to promote; nobody can tell the nodes, so they go back, and follow when they are told."""
    commit = place.change("Say it again", toy.good("again"))
    rollout = place.until(commit, Phase.WATCHING)
    meets_clients(place, rollout)
    apart.stop_sshd("bastion")
    said = place.turnabout("doctor")[1]
    assert "ok  one nodes                3 answer\n" in said, "observation does not go through it"
    gone = f"reaching the bastion {apart.bastion}: no SSH server listens there. "
    assert f"NO  one commands             {gone}Start it, or look at the address in the outputs.\n" in said
    wait("its time is over", lambda: boottime() > ends(rollout), 60.0)
    wait("each is back on last good by itself", lambda: place.run(base(rollout)))
    server = apart.running["sshd bastion"]
    before = server.log.stat().st_size
    wait_until_listening(apart.start_sshd("bastion"), before)
    settled = place.until(commit, Phase.PROMOTED, seconds=90.0)
    assert place.run(candidate(settled))


def test_a_link_to_the_edge_that_is_cut_ends_the_attempt_and_the_next_succeeds(place: Place, apart: Apart) -> None:
    commit = place.change("Say it at once", toy.good("at once"))
    rollout = place.until(commit, Phase.WATCHING)
    meets_clients(place, rollout)
    apart.cut("one/bos-a")
    try:
        back = place.reaches(rollout.number, Phase.REVERTING)
        assert "bos-a has not answered for" in back.why
    finally:
        apart.mend("one/bos-a")
    assert place.until(commit, Phase.PROMOTED, after=rollout.number, seconds=60.0)
    assert place.events(rollout.number)[-2:] == ["REVERTING", "HELD"], "the first attempt harmed nobody"
