"""``turnabout node replace`` on a platform of this machine: real nodes, balancers, clients and a controller."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from controller import assemble
from controller.errors import Unreachable
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration import toy
from tests.integration.small import HERE, Place, begin, discard, wait

OVERLAY = """
[fleet.toy]
zones = ["BOS", "DFW"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
"""
OWES: toy.Edit = (
    "main.py",
    "counts.items())\n",
    'counts.items())\n            owed = Path(config["data"], "owed")\n'
    '            body += f"backlog {owed.read_text()}\\n" if owed.exists() else ""\n',
)
"""The application says how much it still has to hand on, as a file of its data says."""
BECAUSE = ("--reason", "a newer image")


class Attendant(threading.Thread):
    """Who runs the platform: while ``on``, a node gets another machine where that is asked for.

    One thread for all tests, because nodes die with the thread that started them.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place, self.on, self.over = place, threading.Event(), threading.Event()
        self.at_first: Callable[[], object] = lambda: None

    def run(self) -> None:
        while not self.over.wait(0.1):
            if self.on.is_set():
                self.at_first()
                self.place.small.platform.replace_where_asked()


@pytest.fixture(scope="module")
def attendant(place: Place) -> Iterator[Attendant]:
    thread = Attendant(place)
    thread.start()
    yield thread
    thread.over.set()
    thread.join(30)


@pytest.fixture
def attended(attendant: Attendant) -> Iterator[Attendant]:
    attendant.on.set()
    yield attendant
    attendant.on.clear()
    attendant.at_first = lambda: None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("small") / "w", {"one": OVERLAY})
    place = small.places["one"]
    try:
        commit = place.change("Say what is owed", OWES)
        place.start()
        place.approve_first(commit)
        yield place
    finally:
        discard(small)


def owes(place: Place, name: str, count: int | None) -> None:
    path = place.root(name) / "data" / "toy" / "owed"
    path.unlink(missing_ok=True)
    if count is not None:
        path.write_text(str(count))


def keeper(place: Place, name: str) -> int:
    return place.small.platform.servers[f"one/{name}"].process.pid


def in_order(place: Place) -> bool:
    """Nothing is held, every node serves, and every balancer sends to all of its zone, under nobody's lease."""
    fleet = assemble.fleet(place.site, "one")
    try:
        views = [fleet.observe(name).view for name in place.nodes]
    except Unreachable:
        return False
    apps = [view.apps["toy"] for view in views]
    serving = all(app.running == app.good and app.ready for app in apps)
    weights = [weight for view in views for weight in view.weights.values()]
    free = not any(view.leases for view in views) and len(weights) == 8 and min(weights) > 0
    return serving and free and place.chronicle.read().standing.hold is None


@contextmanager
def replacing(place: Place, name: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work."""
    argv = ["-m", "controller.cli", "--site", str(place.site.file), "node", "replace", name, *BECAUSE, *more]
    process = subprocess.Popen(
        [sys.executable, *argv], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def heard(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}, and said: {said}")


def test_a_node_gets_another_machine_and_no_client_of_another_one_notices(place: Place, attended: Attendant) -> None:
    before = keeper(place, "bos-a")
    (own,) = next(node for node in place.small.platform.outputs["one"].nodes if node.name == "bos-a").fronts.values()
    at = time.clock_gettime(time.CLOCK_BOOTTIME)

    code, said = place.turnabout("node", "replace", "bos-a", *BECAUSE)

    assert (code, said.splitlines()) == (
        0,
        [
            "bos-a is taken out of the balancers of BOS",
            "bos-a is drained: nobody is on it, and it has handed on what it took",
            "one/bos-a: it serves last good on another machine, with all its weights.",
        ],
    )
    assert keeper(place, "bos-a") != before
    wait("all is in order", lambda: in_order(place))
    assert [came for sent, front, came in place.small.crowd.unanswered if sent >= at and front != own] == []


def test_while_a_node_hands_on_what_it_took_its_zone_gives_up_no_other_and_another_zone_may(
    place: Place, attended: Attendant
) -> None:
    owes(place, "bos-a", 7)
    before = keeper(place, "bos-a")
    with replacing(place, "bos-a") as process:
        heard(process, "bos-a: 7 of what it took are still to be handed on")
        assert keeper(place, "bos-a") == before

        code, said = place.turnabout("node", "replace", "bos-b", *BECAUSE)
        assert (code, said) == (2, "one/bos-b: bos-a of BOS is being replaced: one for each zone.\n")
        assert place.turnabout("node", "replace", "one/dfw-a", *BECAUSE)[0] == 0
        hold = place.chronicle.read().standing.hold
        assert hold is not None and hold.reason == "replacing bos-a: a newer image"

        owes(place, "bos-a", None)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert keeper(place, "bos-a") != before
    wait("all is in order", lambda: in_order(place))


def test_what_cannot_be_handed_on_keeps_the_machine_and_everything_is_as_before(
    place: Place, attended: Attendant
) -> None:
    owes(place, "bos-b", 3)
    before = keeper(place, "bos-b")
    try:
        code, said = place.turnabout("node", "replace", "bos-b", *BECAUSE, "--drain", "2", "--json")
    finally:
        owes(place, "bos-b", None)

    assert (code, json.loads(said)) == (
        2,
        {
            "schema": "turnabout/replacement/1",
            "environment": "one",
            "node": "bos-b",
            "outcome": "refused",
            "why": "after 2 s 3 of what it took are still to be handed on: nothing was replaced",
        },
    )
    assert keeper(place, "bos-b") == before
    wait("all is in order", lambda: in_order(place))


def test_where_nobody_runs_the_platform_it_says_so_and_everything_is_as_before(place: Place) -> None:
    code, said = place.turnabout("node", "replace", "bos-a", *BECAUSE)

    assert code == 1
    assert "the platform did not take the request up. Is `python -m infra.local up` running?" in said
    assert not (place.root("bos-a") / "replace").exists()
    wait("all is in order", lambda: in_order(place))


def test_a_node_that_does_not_come_back_leaves_the_environment_on_hold(place: Place, attended: Attendant) -> None:
    asked, node = place.root("bos-a") / "replace", place.root("bos-a") / "node.json"
    facts = node.read_text()
    broken = facts.replace('"bind": "127.0.0.1"', '"bind": "192.0.2.1"')  # an address that no machine here has
    assert broken != facts
    attended.at_first = lambda: asked.exists() and node.write_text(broken)
    try:
        code, said = place.turnabout("node", "replace", "bos-a", *BECAUSE, "--within", "3")
    finally:
        attended.at_first = lambda: None
        node.write_text(facts)
        asked.touch()

    assert code == 3
    assert said.endswith(
        "one/bos-a: it has not come back within 3 s; one stays on hold until `turnabout resume one`.\n"
    )
    assert place.turnabout("resume", "one", "--reason", "it is back")[0] == 0
    wait("all is in order", lambda: in_order(place))


@pytest.mark.parametrize(
    ("slot", "code", "words"),
    [
        ("bos-z", 1, "replacing bos-z: one has no such node. one has bos-a, bos-b, dfw-a, dfw-b."),
        ("two/bos-a", 1, "There is no environment 'two'"),
    ],
)
def test_what_cannot_be_meant_is_said(place: Place, slot: str, code: int, words: str) -> None:
    done, said = place.turnabout("node", "replace", slot, *BECAUSE)

    assert done == code
    assert words in said
