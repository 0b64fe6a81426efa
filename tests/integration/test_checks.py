"""Checks that need a whole watch, on real parts: a process that leaks, a metrics server that is asked over HTTP, and
fleets that nobody uses.

Three environments, each with its own branch and its own `release.toml`; what a rollout comes to otherwise is in
``test_release_loop``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from controller.model import Phase, Rollout
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from tests.integration import toy
from tests.integration.metrics_server import MetricsServer, vector
from tests.integration.small import Place, Small, begin, discard, wait

THREE = '[fleet.toy]\nzones = ["BOS"]\nnodes_per_zone = 3\nwaves = [{ BOS = 1 }]\n'
TWO = THREE.replace("3", "2")
LEAKS = f"[budget]\nwatch_seconds = 55\n{THREE}"
HELPED = f"{TWO}synthetic_per_second = 40\n"
RAISED = f"[budget]\nwatch_seconds = 14\n{TWO}synthetic_at_most_per_second = 60\n"
FEW = "synthetic_at_most_per_second = 0.2\n"
"""So few that not even all of them show anything."""

CREEP: toy.Edit = ("release.toml", 'name = "counted"', 'name = "creep"\nkind = "creep"\n\n[[checks]]\nname = "counted"')
TIMELY: toy.Edit = (
    "release.toml",
    'name = "counted"',
    'name = "slow"\nkind = "slower_than_control_p95"\n\n[[checks]]\nname = "counted"',
)
HEARD: toy.Edit = (
    "release.toml",
    'name = "counted"',
    'name = "silence"\nkind = "missing_events"\nevents = "answered"\nper = "asked"\n\n[[checks]]\nname = "counted"',
)
LAG: toy.Edit = (
    "release.toml",
    'name = "counted"',
    'name = "lag"\nkind = "prometheus"\nquery = \'max by (node) (lag_seconds{node=~"$nodes"})\'\nat_most = 5\n'
    'lasting_seconds = 0\n\n[[checks]]\nname = "counted"',
)
ANYBODY: toy.Edit = ("release.toml", 'data = "toy"', 'data = "toy"\nsynthetic = ["/items/7", "/items/8"]')
SLOW: toy.Edit = ("answer.py", "def answer(", "import time\n\n\ndef answer(")
WAITING: toy.Edit = ("answer.py", "    return f", "    time.sleep(0.15)\n    return f")
MUTE: toy.Edit = ("answer.py", 'counts["answered"] += 1', 'counts["failed"] += 1')
"""Whoever asks gets an answer, the books balance, and nothing of it arrives where it should."""
LEAKING: toy.Edit = (
    "answer.py", "def answer(number, settings):\n",
    "kept = []\n\n\ndef answer(number, settings):\n    kept.append(b'x' * 150_000)\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def metrics() -> Iterator[MetricsServer]:
    made = MetricsServer()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, metrics: MetricsServer) -> Iterator[Small]:
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    asks = f'[budget]\nwatch_seconds = 24\n[judge]\nprometheus = "{metrics.address}/"\n{TWO}{FEW}'
    made = begin(
        tmp_path_factory.mktemp("checks") / "w", {"leaks": LEAKS, "asks": asks, "helped": HELPED, "raised": RAISED}
    )
    try:
        begun = {"leaks": (CREEP, TIMELY, HEARD), "asks": (LAG, ANYBODY), "helped": (ANYBODY,), "raised": (ANYBODY,)}
        firsts = [(made.places[name], first_release(made.places[name], *edits)) for name, edits in begun.items()]
        for place, first in firsts:
            place.until(first, Phase.PROMOTED, seconds=90)
        yield made
    finally:
        discard(made)


def first_release(place: Place, *edits: toy.Edit) -> str:
    """With what is asked of it, and approved: there is nothing to compare it with."""
    first = place.change("Say what is asked of it", *edits)
    place.start()
    wait("it asks for an approval", lambda: (seen := place.rollout(first)) and "approval" in seen.why, 90)
    assert place.turnabout("approve", place.name, "--reason", "the first one")[0] == 0
    return first


def back(place: Place, rollout: Rollout) -> bool:
    """Every node runs the release that there was before."""
    lane = rollout.lanes[0]
    return place.run(lane.base_digest, lane.nodes)


def test_a_process_that_leaks_goes_back_before_its_memory_is_full(small: Small) -> None:
    place = small.places["leaks"]
    rollout = place.until(place.change("Keep every item at hand", LEAKING), Phase.REVERTED, seconds=90)
    said = re.fullmatch(
        r"Memory on bos-a grew by (\d\.\d) MB a second and did not slow down, on last good by at most (\d\.\d); at "
        r"this pace it is at the limit of 1,024 MB in \d+ minutes after \d\d s of watching\.",
        rollout.why,
    )
    assert said, rollout.why
    assert 1.0 < float(said[1]) < 9.0
    assert float(said[2]) < 0.5
    assert back(place, rollout)
    again = [place.turnabout("replay", f"leaks/{rollout.number}", "--json") for _ in range(2)]
    assert again[0] == again[1]
    assert (again[0][0], rollout.why in again[0][1]) == (2, True)


def test_what_does_not_leak_is_promoted_after_a_watch_that_would_have_seen_it(small: Small) -> None:
    place = small.places["leaks"]
    rollout = place.until(place.change("Be kind", toy.good("kind")), Phase.PROMOTED, seconds=90)
    code, shown = place.turnabout("show", f"leaks/{rollout.number}", "--json")
    assert code == 0
    assert "nothing that its processes hold grows toward a limit faster than on last good" in shown


def test_a_release_that_answers_later_than_last_good_did_goes_back(small: Small) -> None:
    place = small.places["leaks"]
    rollout = place.until(place.change("Think twice", SLOW, WAITING), Phase.REVERTED, seconds=90)
    said = re.match(
        r"Requests were slower than last good's slowest twentieth for (\d+\.\d) % of calls on the candidate and "
        r"(\d+\.\d) % on last good \(",
        rollout.why,
    )
    assert said, rollout.why
    assert float(said[1]) > 2 * float(said[2])
    assert back(place, rollout)


def test_a_release_whose_events_do_not_come_goes_back_although_every_call_is_answered(small: Small) -> None:
    place = small.places["leaks"]
    rollout = place.until(place.change("Keep it to itself", MUTE), Phase.REVERTED, seconds=90)
    assert re.match(
        r"Answered came 0\.\d\d times per asked on the candidate and (1\.00|0\.9\d) times on last good; evidence ",
        rollout.why,
    ), rollout.why
    assert back(place, rollout)


def lags(of_canary: str) -> str:
    return vector(({"node": "bos-a"}, of_canary), ({"node": "bos-b"}, "0.5"))


def test_a_metrics_server_that_saw_harm_is_believed(small: Small, metrics: MetricsServer) -> None:
    place, metrics.body = small.places["asks"], lags("7.5")
    rollout = place.until(place.change("Answer later", toy.good("later")), Phase.REVERTED, seconds=60)
    assert re.fullmatch(
        r"Lag is 7\.5 on bos-a, over 5, and within it on last good after \d+ s of watching\.", rollout.why
    ), rollout.why
    assert metrics.asked[-1] == (
        "/api/v1/query", {"query": ['max by (node) (lag_seconds{node=~"bos-a|bos-b"})'], "timeout": ["3s"]},
    )  # fmt: skip
    assert back(place, rollout)


def test_a_metrics_server_that_is_broken_has_measured_no_harm_and_the_next_try_is_judged(
    small: Small, metrics: MetricsServer
) -> None:
    place = small.places["asks"]
    before = place.chronicle.read().standing.rollout
    assert before is not None
    wait("git has the revert", place.owes_nothing)
    metrics.status, metrics.body = 502, "<html>Bad Gateway</html>"
    place.change("Answer sooner", toy.good("sooner"))
    held = place.reaches(before.number + 1, Phase.HELD, seconds=60)
    assert held.why.startswith(f"Lag could not be looked at: asking {metrics.address}: it answered 502, and nothing")
    assert place.chronicle.read().standing.quarantine.keys() == {before.lanes[0].candidate.digest}, "nothing new"
    metrics.status, metrics.body = 200, lags("0.7")
    rollout = place.reaches(before.number + 2, Phase.PROMOTED, seconds=60)
    assert rollout.attempt == 2


def test_a_fleet_that_nobody_uses_is_no_pass_and_synthetic_users_make_it_one(small: Small) -> None:
    small.crowd.stop()
    helped, asks = small.places["helped"], small.places["asks"]
    promoted = helped.until(helped.change("Be brief", toy.good("brief")), Phase.PROMOTED, seconds=60)
    assert promoted.why.startswith("Every node runs it. No check found harm in 4 s; harm from ")

    quiet = held_twice(asks, asks.change("Be briefer", toy.good("briefer")))
    assert re.fullmatch(
        r"The watch ended without a clear PASS\. Errors: \d events on the canary would have shown nothing, "
        r"and 40\.0 % must be visible\.",
        quiet.why,
    ), quiet.why
    assert asks.turnabout("status", "asks")[0] == 3, "it was tried once more, and now a person is asked"
    assert quiet.lanes[0].candidate.digest not in asks.chronicle.read().standing.quarantine
    assert told(asks, quiet) == [
        "Toy is asked 0.2 times a second by the controller: what came so far would show nothing in errors by the end "
        "of the watch, and 40.0 % must be visible; even so it would show nothing."
    ]


def held_twice(place: Place, commit: str) -> Rollout:
    def look() -> Rollout | None:
        seen = place.rollout(commit)
        return seen if seen is not None and (seen.phase, seen.attempt) == (Phase.HELD, 2) else None

    return wait(f"{commit[:7]} is held a second time", look, 120)


def told(place: Place, rollout: Rollout) -> list[str]:
    """What the record of a rollout says of synthetic users."""
    code, shown = place.turnabout("show", f"{place.name}/{rollout.number}", "--json")
    assert code in (0, 2, 3)
    return [m["text"] for m in json.loads(shown)["moments"] if m["kind"].startswith("synthetic")]


def test_the_controller_asks_a_fleet_that_nobody_uses_itself_until_the_harm_could_be_seen(small: Small) -> None:
    """Nothing steady is made there: only while a candidate is watched, as much as is missing, and it is told."""
    small.crowd.stop()
    place = small.places["raised"]
    rollout = place.until(place.change("Be brief", toy.good("brief")), Phase.PROMOTED, seconds=60)
    assert rollout.why.startswith("Every node runs it. No check found harm in 14 s; harm from ")
    said, *_ = told(place, rollout)
    assert re.fullmatch(
        r"Toy is asked \d+ times a second by the controller: what came so far would show nothing in errors by the end "
        r"of the watch, and 40\.0 % must be visible\.",
        said,
    ), said
    harmed = place.until(place.change("Be wrong", toy.harm("wrong")), Phase.REVERTED, seconds=60)
    assert harmed.why.startswith("/items/*, an existing path, failed for ")
