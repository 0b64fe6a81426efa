"""What is promoted stands where a new node looks for it: a controller, nodes that are instances, and an emulated AWS.

Real controllers and real node programs; a new machine does what its unit does before it starts. One environment is led
through the whole file, each test from what the one before left promoted.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from controller.model import Phase, Rollout
from infra.boot import user_data
from infra.local.servers import ServerMissing, find_git_daemon, find_haproxy
from infra.slots import PROGRAM, ROOT
from tests.infra.emulated.instances import BUCKET, Instances
from tests.infra.test_boot import written
from tests.integration import toy
from tests.integration.small import TOY, Place, begin, discard, wait

pytestmark = pytest.mark.timeout(240)
FETCHED = ("node.json", "haproxy.cfg", "session_start.lua")
NAME = "/turnabout/one/releases/toy"


@pytest.fixture(scope="module")
def instances() -> Instances:
    return Instances(("toy",))


@pytest.fixture(scope="module")
def place(instances: Instances, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("small") / "w", {"one": TOY}, instances)
    try:
        place = small.places["one"]
        place.start()
        place.approve_first(place.head())
        yield place
    finally:
        discard(small)


@pytest.fixture
def systems(place: Place, instances: Instances) -> Any:
    return instances.cloud.client("ssm")


def named(systems: Any) -> list[str]:
    """The two digests that a new node reads."""
    return str(systems.get_parameter(Name=NAME)["Parameter"]["Value"]).split()[:2]


def candidate(rollout: Rollout) -> str:
    return rollout.lanes[0].candidate.digest


def join(place: Place, instances: Instances, name: str) -> int:
    """What a machine with an empty volume does before its node program starts; its code."""
    root = place.root(name)
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in FETCHED:
            path.unlink()
    text = user_data(name, instances.cloud.region, BUCKET, "", NAME)
    script = written(text)["/usr/local/sbin/turnabout-join"]
    program = place.small.platform.outputs["one"].program
    script = script.replace(" ".join(PROGRAM), " ".join(program)).replace(ROOT, str(root.parent))
    done = subprocess.run(["bash", "-c", script], env=dict(instances.surroundings), capture_output=True, timeout=60)
    return done.returncode


def test_a_new_node_runs_the_promoted_release_before_it_joins(place: Place, instances: Instances, systems: Any) -> None:
    first = wait("it is promoted", lambda: place.rollout(place.head()))
    wait("it is on the shelf", lambda: named(systems) == [candidate(first), "none"])
    second = place.until(place.change("Greet", toy.good("kinder")), Phase.PROMOTED)
    wait("both are on the shelf", lambda: named(systems) == [candidate(second), candidate(first)])

    place.small.platform.servers["one/bos-c"].stop()
    assert join(place, instances, "bos-c") == 0

    state = (place.root("bos-c") / "state.json").read_text()
    assert candidate(second) in state and candidate(first) in state
    place.small.platform.start_node("one", "bos-c")
    app = wait("it answers", lambda: answer(place, "bos-c"))
    assert (app["good"], app["previous"]) == (candidate(second), candidate(first))
    wait("it serves", lambda: place.run(candidate(second)))
    rollouts = [row.body["rollout"]["number"] for row in place.chronicle.read().rows if row.kind == "rollout"]
    assert max(rollouts) == second.number  # it took no rollout to get there


def answer(place: Place, name: str) -> Any:
    try:
        return place.node(name)
    except OSError:
        return None


def test_a_promotion_stands_while_the_shelf_cannot_be_written_and_is_on_it_later(place: Place, systems: Any) -> None:
    before = named(systems)
    systems.delete_parameter(Name=NAME)
    third = place.until(place.change("Greet again", toy.good("kinder still")), Phase.PROMOTED)
    told = wait("it is told", lambda: [said for said in place.told("shelf") if third.commit[:7] in said])
    assert told == [
        f"A new node of toy does not start with {third.commit[:7]} yet, it is tried again: "
        f"reading the parameter {NAME}: there is none. Bring the platform up again, which makes it."
    ]
    assert place.run(candidate(third))

    place.process.kill()  # type: ignore[union-attr]  # it runs
    place.process.wait()  # type: ignore[union-attr]
    systems.put_parameter(Name=NAME, Value="none", Type="String")
    place.start()

    wait("the next controller sees it", lambda: named(systems) == [candidate(third), before[0]])


def test_what_is_taken_back_after_its_promotion_is_on_the_shelf_no_more(place: Place, systems: Any) -> None:
    newest = wait("it is there", lambda: place.rollout(place.head()))
    _, last_good = named(systems)
    assert place.turnabout("abort", "one", "--reason", "customers complain")[0] == 0

    wait("it is taken off", lambda: named(systems) == [last_good, "none"])
    assert candidate(newest) not in named(systems)
