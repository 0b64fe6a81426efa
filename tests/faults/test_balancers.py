"""Balancers that die, or do not listen, in mid-canary, as clients and people see it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.model import Phase
from tests.faults.breaking import children, supervisor
from tests.faults.ends import base, candidate, ends, first_promoted
from tests.integration import toy
from tests.integration.node_site import alive
from tests.integration.small import TOY, Place, wait


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    overlay = "[budget]\ndeploy_seconds = 6\n" + TOY
    yield from first_promoted(tmp_path_factory.mktemp("balancers") / "w", "balancers", overlay)


@contextmanager
def deaf_balancer(place: Place, node: str) -> Iterator[None]:
    """It goes on balancing, and nobody can tell it anything."""
    listens = Path(json.loads((place.root(node) / "node.json").read_text())["balancer"]["socket"])
    away = listens.with_suffix(".away")
    listens.rename(away)
    try:
        yield
    finally:
        away.rename(listens)


@pytest.mark.parametrize(
    ("phase", "node"), [(Phase.DEPLOYING, "bos-a"), (Phase.WATCHING, "bos-b")], ids=["deploying", "watching"]
)
def test_a_balancer_that_listens_to_nobody_ends_the_attempt_and_is_waited_for(
    place: Place, phase: Phase, node: str
) -> None:
    with place.controller():
        commit = place.change("Survive a deaf balancer", toy.good(f"deaf {phase}"))
        rollout = place.until(commit, phase)
        with deaf_balancer(place, node):
            held = place.reaches(rollout.number, Phase.HELD)
            assert held.why == f"The balancer of {node} has not answered for 4 s, so nobody can move its traffic."
            assert place.run(base(rollout)), "traffic that cannot be moved keeps no node from going back"
            said = f"Waits for the balancer of {node}, which does not answer."
            wait("it is waited for", lambda: (again := place.rollout(commit)) and again.why == said)
        again = ends(place, commit, Phase.PROMOTED)
    assert (again.number, again.attempt) == (rollout.number + 1, 2)


@contextmanager
def asking(address: str) -> Iterator[list[str]]:
    """What answers at a front, one request after the other: releases, and "" where none does."""
    heard: list[str] = []
    over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(address, timeout=2)
        while not over.wait(0.01):
            try:
                connection.request("GET", f"/items/{len(heard)}")
                answer = connection.getresponse()
                answer.read()
                heard.append(answer.getheader("X-Release") or "")
            except (OSError, http.client.HTTPException):
                connection.close()
                heard.append("")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join(5)


def test_a_balancer_that_is_killed_in_mid_canary_never_gives_the_candidate_everything(place: Place) -> None:
    with place.controller():
        commit = place.change("Survive a killed balancer", toy.good("killed"))
        rollout = place.until(commit, Phase.WATCHING)
        front = next(n.fronts["toy"] for n in place.small.platform.outputs[place.name].nodes if n.name == "bos-b")
        before = children(supervisor(place, "bos-b"))["haproxy"]
        with asking(front) as heard:
            wait("it is asked", lambda: len(heard) > 30)
            os.kill(before, signal.SIGKILL)
            wait("it is gone", lambda: not alive(before))
            died = len(heard)
            wait("it is asked again", lambda: len([one for one in heard[died:] if one]) > 60)
            answered = [one for one in heard if one]
        ends(place, commit, Phase.PROMOTED)
    new, old = answered.count(candidate(rollout)), answered.count(base(rollout))
    assert new + old == len(answered)
    assert 0 < new < old, "one of three nodes has the candidate"
    for first in range(len(answered) - 9):
        assert base(rollout) in answered[first : first + 9], "for three rounds the candidate took everything"
