"""A controller that looks at drift by itself: real nodes, its own process for each look, every news told once."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.glass import glancing
from controller.model import IN_FLIGHT, Phase
from controller.site import load_site
from infra.local.servers import ServerMissing, find_haproxy
from tests.integration import toy
from tests.integration.small import TOY, Notes, Place, Small, begin, discard, wait

DRIFT = ("drift", "drift changed", "drift ended", "drift unseen", "drift seen")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    try:
        find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("glances") / "w", {"prod": f"drift_every_seconds = 1\n{TOY}"})
    try:
        yield small
    finally:
        discard(small)


@pytest.fixture(scope="module")
def prod(small: Small) -> Place:
    """An environment that looks every second, with a release that was promoted."""
    place = small.places["prod"]
    place.start()
    place.approve_first(place.head())
    return place


def looks(place: Place) -> int:
    """How many looks were made."""
    record = place.site.state / "drift.json"
    return len(json.loads(record.read_bytes())["trend"]) if record.exists() else 0


def looked_again(place: Place, times: int = 2) -> None:
    """Wait until what is there now was looked at from beginning to end."""
    before = looks(place)
    wait("it looks again", lambda: looks(place) >= before + times, 90)


def tried_again(log: Path) -> None:
    last = log.stat().st_mtime_ns if log.exists() else 0
    wait("it tries again", lambda: log.exists() and log.stat().st_mtime_ns != last, 60)


def under_way(place: Place) -> list[int]:
    """The looks that run now, by process."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            argv = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if b"--in-force" in argv and str(place.site.file).encode() in argv:
                found.append(int(folder.name))
    return found


def test_a_patched_file_is_told_once_and_its_end_once(prod: Place) -> None:
    looked_again(prod)
    assert not [said for said in prod.told("drift") if "bos-b" in said]
    release = prod.node("bos-b")["running"].removeprefix("sha256:")
    patched = prod.root("bos-b") / "store" / "releases" / release / "tree" / "apps" / "toy" / "answer.py"
    before = patched.read_bytes()
    patched.write_bytes(before + b"\n# quick fix\n")
    looked_again(prod, 3)
    (said,) = [said for said in prod.told("drift") if "bos-b" in said]
    assert said.startswith("1 file of bos-b's release is not as staged (high): Somebody changed apps/toy/answer.py")
    assert said.endswith("See: turnabout drift --env prod")
    patched.write_bytes(before)
    looked_again(prod, 3)
    assert prod.told("drift ended") == ["1 file of bos-b's release is not as staged: ended"]
    assert [said for said in prod.told("drift") if "bos-b" in said] == [said]


def test_status_and_watch_say_how_old_the_newest_look_is(prod: Place) -> None:
    looked_again(prod, 1)
    assert "drift: nothing open, looked at" in prod.turnabout("status")[1]
    assert "drift: nothing open, looked at" in prod.turnabout("watch", "prod", "--once")[1]
    assert (prod.site.state / "drift.html").read_text().startswith("<!doctype html>")


def test_no_look_runs_while_a_rollout_does(prod: Place) -> None:
    wait("a look runs", lambda: under_way(prod), 60)
    commit = prod.change("Go on", toy.good("while somebody looks"))
    seen = 0
    while (rollout := prod.rollout(commit)) is None or rollout.phase is not Phase.PROMOTED:
        t0 = rollout.t0 if rollout is not None and rollout.phase in IN_FLIGHT else None
        if t0 is not None and time.clock_gettime(time.CLOCK_BOOTTIME) - t0 > 2.0:  # one that ran may need a second
            seen += 1
            assert under_way(prod) == []
        time.sleep(0.05)
    assert seen > 10
    prod.until(commit, Phase.PROMOTED)
    looked_again(prod)


def test_a_look_that_fails_is_told_once_and_once_that_it_works_again(prod: Place) -> None:
    looked_again(prod, 1)
    before = len(prod.told("drift unseen"))
    again = len(prod.told("drift seen"))
    mirror = prod.site.state / "mirror.git"
    aside = mirror.with_name("aside.git")
    mirror.rename(aside)
    try:
        wait("it is told", lambda: prod.told("drift unseen")[before:], 60)
        for _ in range(3):  # more looks fail the same way
            tried_again(prod.site.state / "drift-look.log")
    finally:
        with contextlib.suppress(OSError):
            mirror.rename(mirror.with_name("new.git"))  # what the controller may have begun anew
        aside.rename(mirror)
    (said,) = prod.told("drift unseen")[before:]
    assert said.startswith("Drift could not be looked at: reading ")
    wait("it works again", lambda: prod.told("drift seen")[again:], 90)
    looked_again(prod)
    assert len(prod.told("drift seen")) == again + 1


def test_a_controller_that_is_stopped_leaves_no_look_behind(prod: Place) -> None:
    wait("a look runs", lambda: under_way(prod), 60)
    assert prod.stop() == 0
    assert under_way(prod) == []


def test_a_look_that_takes_its_time_is_ended_when_a_rollout_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "turnabout.toml").write_text('environments = ["prod"]\nstate = "."\n')
    began, notes, stop = tmp_path / "began", Notes(), threading.Event()
    slow = f"import os, pathlib, time; pathlib.Path({str(began)!r}).write_text(str(os.getpid())); time.sleep(15)"
    monkeypatch.setattr(glancing, "argv", lambda site, names: [sys.executable, "-c", slow])

    def busy() -> bool:
        return began.exists() and began.read_text() != ""

    glances = glancing.Glances(
        load_site(tmp_path / "turnabout.toml"), lambda: {"prod": 1.0}, busy, notes, patience=0.05
    )
    assert glances.look(stop) is None
    assert not Path(f"/proc/{began.read_text()}").exists()
    assert notes.said == []
