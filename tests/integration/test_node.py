"""One node with real processes: what it stages, how a promise is kept and how it ends, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.node.journal import boottime
from controller.node.manifest import canonical
from tests.integration.node_site import APP, PROGRAM, Json, Made, Site, alive, eventually, tar_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the node program is for Linux")

OLD, NEW = Made("old"), Made("new")


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Site]:
    """A node whose program does not run."""
    site = Site(tmp_path / "node")
    yield site
    site.close()
    assert site.processes() == set(), "the application outlived its node program"


@pytest.fixture
def site(cold: Site) -> Site:
    """A node that runs, with OLD as last good and NEW staged."""
    cold.start()
    cold.promote(OLD, "first")
    assert cold.stage(NEW)[0] == 0
    return cold


def files_of(site: Site) -> list[str]:
    """What lies in the store, apart from its locks and empty directories."""
    store = site.root / "store"
    found = (path.relative_to(store) for path in store.rglob("*") if path.is_symlink() or path.is_file())
    return sorted(str(path) for path in found if str(path) not in (".lock", ".choice"))


def error_of(answer: tuple[int, Json]) -> tuple[int, str]:
    code, said = answer
    assert said["ok"] is False
    assert said["error"]["sentence"].endswith((".", "?", ";"))
    return code, said["error"]["kind"]


# ---- stage


def test_the_manifest_comes_first_and_names_what_is_missing(cold: Site) -> None:
    code, said = cold.stage(NEW, blobs=False)
    assert (code, said["staged"], sorted(said["missing"])) == (0, False, sorted(NEW.blobs))
    assert cold.stage(NEW)[1]["staged"] is True
    assert cold.stage(NEW, blobs=False)[1]["staged"] is True  # said again, done already
    place = cold.root / "store" / "releases" / NEW.digest[7:]
    assert (place / "manifest.json").read_bytes() == canonical(NEW.manifest)
    assert list((place / "tree/apps/toy/__pycache__").glob("main.*.pyc")), "byte-compiled at stage time"
    # Another release with the same blobs (its config differs) needs its manifest only.
    assert cold.stage(Made("new", extra=1), blobs=False)[1]["staged"] is True


def anew(site: Site, made: Made, blobs: bool = True) -> tuple[int, Json]:
    return site.verb("stage", made.digest, "--anew", stdin=made.tar(blobs))


def test_a_release_that_somebody_changed_is_laid_down_again_with_its_libraries(cold: Site) -> None:
    cold.stage(OLD)
    store, before = cold.root / "store", files_of(cold)
    _, libraries_hex = OLD.blobs
    tree, libraries = store / "releases" / OLD.digest[7:] / "tree", store / "dependencies" / libraries_hex
    (tree / "apps/toy/name").write_text("another")
    (libraries / "leaning.py").rename(libraries / "leaning.bak")
    (libraries / "leaning-0.9.dist-info").mkdir()
    (libraries / "leaning-0.9.dist-info" / "METADATA").write_text("by hand")

    assert anew(cold, OLD, blobs=False)[1]["missing"] == [libraries_hex]  # of a tree the blob is kept
    assert sorted(anew(cold, OLD)[1]["mended"]) == [
        "apps/toy/name", "leaning-0.9.dist-info/METADATA", "leaning.bak", "leaning.py",
    ]  # fmt: skip
    assert files_of(cold) == before
    assert (libraries / "leaning.py").read_text() == "VALUE = 1\n"
    assert not (libraries / "leaning-0.9.dist-info").exists()
    assert anew(cold, OLD)[1]["mended"] == []


def test_a_blob_that_is_damaged_itself_is_brought_again(cold: Site) -> None:
    cold.stage(OLD)
    tree_hex, _ = OLD.blobs
    (cold.root / "store" / "blobs" / tree_hex).write_bytes(b"not what it was")
    assert tree_hex in anew(cold, OLD, blobs=False)[1]["missing"]
    assert anew(cold, OLD)[1] | {"ok": True} == {"ok": True, "error": None, "staged": True, "mended": []}
    assert hashlib.sha256((cold.root / "store" / "blobs" / tree_hex).read_bytes()).hexdigest() == tree_hex


def test_a_release_that_is_not_here_is_staged_anew_as_any_other(cold: Site) -> None:
    assert anew(cold, OLD)[1] == {"ok": True, "error": None, "staged": True}
    assert cold.stage(OLD, blobs=False)[1]["staged"] is True


def altered(made: Made, **changes: object) -> Made:
    made.manifest |= changes
    return made


def resigned(made: Made, **changes: object) -> Made:
    altered(made, **changes).sign()
    return made


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (altered(Made("x"), commit="d" * 40), "bad signature"),
        (altered(Made("x"), signature=""), "unsigned"),
        (Made("x", key=Ed25519PrivateKey.generate()), "bad signature"),
        (resigned(Made("x"), config={"name": "y"}), "wrong digest"),
        (resigned(Made("x"), lock="sha256:" + "1" * 64), "wrong digest"),
        (resigned(Made("x"), app="other"), "other app"),
        (resigned(Made("x"), data="../x"), "other app"),
        (resigned(Made("x"), start=["python", "{port.mqtt}"]), "placeholder"),
        (resigned(Made("x"), on_deadline="whatever"), "bad manifest"),
        (resigned(Made("x"), checks=None), "bad manifest"),
        (resigned(Made("x"), blobs={"tree": {"sha256": "x", "bytes": 1}}), "bad manifest"),
    ],
)
def test_a_manifest_that_is_not_ours_or_not_whole_is_refused(cold: Site, made: Made, kind: str) -> None:
    assert error_of(cold.stage(made)) == (3, kind)
    assert files_of(cold) == []


def test_another_digest_than_the_one_asked_for_is_refused(cold: Site) -> None:
    assert error_of(cold.verb("stage", OLD.digest, stdin=NEW.tar())) == (3, "wrong digest")


def test_an_altered_blob_or_a_broken_connection_leaves_nothing(cold: Site) -> None:
    bad = Made("bad")
    name = next(reversed(bad.blobs))
    bad.blobs[name] = bad.blobs[name][:-1] + b"!"
    assert error_of(cold.stage(bad)) == (3, "wrong digest")
    whole = NEW.tar()
    for size in (0, 100, len(whole) // 2):
        assert error_of(cold.verb("stage", NEW.digest, stdin=whole[:size]))[0] == 1
    assert error_of(cold.verb("stage", NEW.digest, stdin=b"no tar at all" * 999))[0] == 1
    assert files_of(cold) == []
    assert cold.stage(NEW)[0] == 0


def test_a_tree_that_leads_out_of_its_release_is_refused(cold: Site) -> None:
    tree = tar_of({"apps/toy/main.py": b"", "../out": b"x"})
    assert error_of(cold.stage(Made("evil", tree=tree))) == (3, "unsafe tar")
    assert files_of(cold) == []


def test_a_tree_without_the_application_is_refused(cold: Site) -> None:
    assert error_of(cold.stage(Made("empty", tree=tar_of({"apps/other/main.py": b""})))) == (3, "bad tree")


def test_the_reserve_stays_free(cold: Site) -> None:
    cold.facts["reserve_bytes"] = 1 << 60
    cold.write_facts()
    assert error_of(cold.stage(NEW)) == (1, "disk")
    assert files_of(cold) == []


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="needs unshare -rm to mount a small disk",
)
def test_a_full_disk_fails_with_a_sentence_and_leaves_nothing(cold: Site) -> None:
    cold.facts["reserve_bytes"] = 0
    cold.write_facts()
    (cold.root / "store").mkdir()
    many = {f"apps/toy/f{number}": b"x" for number in range(600)}  # 1 kB each in the tar, 4 kB each on the disk
    made = Made("large", tree=tar_of({"apps/toy/main.py": APP.encode(), **many}))
    script = (
        f'mount -t tmpfs -o size=2500k tmpfs {cold.root}/store || exit 99; "$@"; code=$?; '
        f"find {cold.root}/store -type f -size +0 >&2; exit $code"
    )
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-I", "-S", PROGRAM, str(cold.root)]
    done = subprocess.run([*argv, "stage", made.digest], input=made.tar(), capture_output=True, check=False)
    if done.returncode == 99:
        pytest.skip("this machine does not let us mount a small disk")
    assert error_of((done.returncode, json.loads(done.stdout))) == (1, "disk")
    assert "takes no more (No space left on device)" in json.loads(done.stdout)["error"]["sentence"]
    assert done.stderr == b""


@pytest.mark.parametrize("there", [False, True], ids=["in a blob", "in a tree"])
def test_a_disk_that_takes_no_more_in_mid_stage_leaves_the_store_as_it_was(cold: Site, there: bool) -> None:
    """Without root: to this call the kernel gives no file of more than 20 kB."""
    tree = tar_of({"apps/toy/main.py": APP.encode(), "apps/toy/large.bin": b"x" * 30_000})
    if there:
        assert cold.stage(Made("large", tree=tree))[1]["staged"] is True
    made, before = Made("large", tree=tree, another=1), files_of(cold)
    command = [sys.executable, "-I", "-S", PROGRAM, str(cold.root), "stage", made.digest]
    limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", *command]
    done = subprocess.run(limited, input=made.tar(blobs=not there), capture_output=True, timeout=60, check=False)
    said = json.loads(done.stdout)
    assert error_of((done.returncode, said)) == (1, "disk")
    assert said["error"]["sentence"] == (
        f"The disk of {cold.root} takes no more (File too large): nothing was staged. Run gc, then stage again."
    )
    assert files_of(cold) == before
    assert cold.stage(made)[1]["staged"] is True, "with room it is staged as if nothing had been"


def test_a_stage_that_was_killed_leaves_nothing_that_counts(cold: Site) -> None:
    argv = [sys.executable, "-I", "-S", PROGRAM, str(cold.root), "stage", NEW.digest]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as staging:
        assert staging.stdin is not None
        staging.stdin.write(NEW.tar()[:-9000])
        staging.stdin.flush()
        eventually(lambda: list((cold.root / "store").rglob("*.tmp")))
        staging.kill()
    cold.start()
    assert cold.app()["staged"] == []
    assert cold.stage(NEW)[1]["staged"] is True
    assert not list((cold.root / "store").rglob("*.tmp"))


def test_a_stage_that_is_told_to_end_leaves_the_store_as_it_was(cold: Site) -> None:
    cold.stage(OLD)
    before = files_of(cold)
    argv = [sys.executable, "-I", "-S", PROGRAM, str(cold.root), "stage", NEW.digest]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as staging:
        assert staging.stdin is not None
        staging.stdin.write(NEW.tar()[:-9000])
        staging.stdin.flush()
        eventually(lambda: list((cold.root / "store").rglob("*.tmp")))
        staging.terminate()
        assert staging.wait(10) == 1
    assert files_of(cold) == before


def test_gc_keeps_what_could_be_needed(site: Site) -> None:
    made = [Made(f"r{number}") for number in range(5)]
    for one in made:
        assert site.stage(one)[0] == 0
    site.promote(NEW, "second", OLD)
    site.activate(made[0], "third", NEW)
    code, said = site.verb("gc")
    assert (code, set(said["removed"])) == (0, {made[1].digest, made[2].digest})
    kept = {one.digest for one in (OLD, NEW, made[0], made[3], made[4])}
    assert set(site.app()["staged"]) == kept
    assert len(list((site.root / "store" / "blobs").iterdir())) == len(kept)
    assert site.revert("third")[0] == 0
    site.serves(NEW)


# ---- a promise and its ends


def test_activate_ready_confirm(site: Site) -> None:
    assert site.app()["good"] == OLD.digest
    code, said = site.activate(NEW, "r1", OLD)
    assert (code, said["error"]) == (0, None)
    assert said["status"]["apps"]["toy"]["pending"]["token"] == "r1"
    app = site.serves(NEW)
    assert (app["good"], app["pending"]["base"], app["went_back"]) == (OLD.digest, OLD.digest, None)
    assert site.activate(NEW, "r1", OLD)[0] == 0  # the same word again
    with urllib.request.urlopen(f"http://127.0.0.1:{site.http}/hello", timeout=5) as answer:
        assert (answer.read(), answer.headers["X-Release"]) == (b"new", NEW.digest)
    assert site.confirm("r1")[0] == 0
    app = site.app()
    assert (app["good"], app["previous"], app["pending"], app["pid"]) == (NEW.digest, OLD.digest, None, app["pid"])
    assert error_of(site.confirm("r1")) == (3, "not pending")
    written = json.loads((site.root / "state.json").read_text())["apps"]["toy"]
    assert (written["good"], written["ended"]) == (NEW.digest, ["first", "r1"])


def test_the_application_gets_its_config_its_modules_and_its_data(site: Site) -> None:
    place = site.root / "store" / "releases" / OLD.digest[7:]
    config = json.loads((place / "config.json").read_text())
    assert config["settings"] == {"name": "old"}
    assert config["peers"] == json.loads((site.root / "node.json").read_text()).get("peers", {})
    assert (config["release"], config["ports"], config["data"]) == (
        OLD.digest,
        {"http": site.http},
        f"{site.root}/data/toy",
    )
    assert (place / "config.json").stat().st_mode & 0o777 == 0o600
    environment = Path(f"/proc/{site.app()['pid']}/environ").read_bytes().split(b"\0")
    (dependencies,) = (site.root / "store" / "dependencies").iterdir()
    assert f"PYTHONPATH={place}/tree:{dependencies}".encode() in environment
    assert Path(f"/proc/{site.app()['pid']}/cwd").resolve() == place / "tree"


def test_the_deadline_reverts_alone(site: Site) -> None:
    site.activate(NEW, "r1", OLD, seconds=2)
    site.serves(NEW)
    site.serves(OLD)
    app = site.app()
    assert (app["pending"], app["harmful"], app["went_back"]["digest"]) == (None, [], NEW.digest)
    assert error_of(site.confirm("r1")) == (3, "not pending")
    assert error_of(site.activate(NEW, "r1", OLD)) == (3, "ended token")


def test_serve_killed_in_mid_promise_leaves_no_orphan_and_goes_back(site: Site) -> None:
    forking = Made("forking", fork=True)
    site.stage(forking)
    site.activate(forking, "r1", OLD)
    site.serves(forking)
    eventually(lambda: len(site.processes()) >= 5)
    candidates = site.processes()
    os.kill(site.serve_pid(), signal.SIGKILL)
    eventually(lambda: not any(map(alive, candidates)))
    eventually(site.answers)
    site.serves(OLD)
    app = site.app()
    assert (app["pending"], app["harmful"], app["ended"]) == (None, [], ["first", "r1"])
    assert "restarted" in app["went_back"]["reason"]


def test_a_silent_serve_is_killed_by_its_supervisor(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    site.serves(NEW)
    silent, candidate = site.serve_pid(), site.app()["pid"]
    os.kill(silent, signal.SIGSTOP)
    eventually(lambda: not alive(silent) and not alive(candidate))
    eventually(site.answers)
    site.serves(OLD)
    assert site.app()["harmful"] == []


def test_when_the_supervisor_is_killed_nothing_survives(site: Site) -> None:
    forking = Made("forking", fork=True)
    site.stage(forking)
    site.activate(forking, "r1", OLD)
    site.serves(forking)
    eventually(lambda: len(site.processes()) >= 5)
    serve = site.serve_pid()
    site.stop(signal.SIGKILL)
    eventually(lambda: not alive(serve) and not site.processes())
    assert site.verb("status")[0] == 4
    site.start()
    site.serves(OLD)


def test_what_a_double_death_left_behind_is_ended_before_anything_starts(site: Site) -> None:
    forking = Made("forking", fork=True)
    site.stage(forking)
    site.activate(forking, "r1", OLD)
    site.serves(forking)
    eventually(lambda: len(site.processes()) >= 5)
    serve = site.serve_pid()
    os.kill(serve, signal.SIGSTOP)  # it cannot clean up
    site.stop(signal.SIGKILL)
    os.kill(serve, signal.SIGKILL)
    left = eventually(lambda: not alive(serve) and site.processes())
    site.start()
    assert not any(map(alive, left))
    site.serves(OLD)


def test_a_candidate_that_crashes_goes_back_at_once_and_is_harmful(site: Site) -> None:
    crashing = Made("crashing", exit=7)
    site.stage(crashing)
    assert site.activate(crashing, "r1", OLD)[0] == 0
    went = eventually(lambda: site.app()["went_back"])
    assert (went["digest"], went["harm"], went["token"], went["kind"]) == (crashing.digest, True, "r1", "exit")
    assert "code 7" in went["reason"] and "cannot go on: crashing" in went["reason"]
    site.serves(OLD)
    assert site.app()["harmful"] == [crashing.digest]


def test_a_candidate_that_goes_deaf_goes_back_and_whose_harm_it_was_is_not_said(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    site.serves(NEW)
    assert 0 < site.app()["ready_since"] <= boottime()
    (site.root / "data" / "toy" / "sick").touch()
    went = eventually(lambda: site.app()["went_back"])
    (site.root / "data" / "toy" / "sick").unlink()
    assert (went["digest"], went["harm"], went["kind"]) == (NEW.digest, False, "unready")
    site.serves(OLD)
    assert site.app()["harmful"] == []
    assert site.revert("r1", "--harm")[0] == 0  # the controller has seen both arms
    assert (site.app()["harmful"], site.app()["went_back"]["harm"]) == ([NEW.digest], True)


def test_a_candidate_that_never_gets_ready_waits_for_the_deadline(site: Site) -> None:
    slow = Made("slow", never_ready=True)
    site.stage(slow)
    site.activate(slow, "r1", OLD, seconds=2)
    eventually(lambda: site.app()["running"] == slow.digest)
    site.serves(OLD)
    assert (site.app()["harmful"], "deadline" in site.app()["went_back"]["reason"]) == ([], True)


@pytest.mark.parametrize("deaf", [True, False], ids=["ignores SIGTERM", "leaves its children behind"])
def test_all_of_a_stubborn_application_is_gone_before_the_next_opens_the_data(site: Site, deaf: bool) -> None:
    stubborn = Made("stubborn", deaf=deaf, fork=True)
    site.stage(stubborn)
    site.activate(stubborn, "r1", OLD)
    site.serves(stubborn)
    eventually(lambda: len(site.processes()) >= 5)
    stubborn_ones = site.processes()
    code, said = site.revert("r1", "--harm")
    assert (code, said["status"]["apps"]["toy"]["good"]) == (0, OLD.digest)
    eventually(lambda: site.app()["running"] in (None, OLD.digest))
    assert site.app()["running"] is None or not any(map(alive, stubborn_ones))
    app = site.serves(OLD)
    assert not any(map(alive, stubborn_ones))
    assert site.processes() == {app["pid"]}
    assert app["harmful"] == [stubborn.digest]


@pytest.mark.parametrize("dies", [None, 1.0], ids=["told to go back", "and dies"])
def test_a_port_that_a_child_keeps_open_is_free_when_last_good_needs_it(site: Site, dies: float | None) -> None:
    leaking = Made("leaking", leak=True, dies=dies)
    site.stage(leaking)
    site.activate(leaking, "r1", OLD)
    if dies is None:
        site.serves(leaking)
        eventually(lambda: len(site.processes()) == 2)
        assert site.revert("r1")[0] == 0
    app = site.serves(OLD)
    assert site.processes() == {app["pid"]}
    assert app["restarts"] == (0 if dies is None else 1), "last good found its port free at once"
    with urllib.request.urlopen(f"http://127.0.0.1:{site.http}/hello", timeout=5) as answer:
        assert answer.read() == b"old"


def test_a_child_that_forks_faster_than_one_looks_does_not_keep_last_good_from_starting(site: Site) -> None:
    hopping = Made("hopping", hop=True)
    site.stage(hopping)
    site.activate(hopping, "r1", OLD)
    site.serves(hopping)
    assert site.revert("r1")[0] == 0
    app = site.serves(OLD)
    assert site.processes() == {app["pid"]}


def test_a_candidate_that_crashes_is_started_once(site: Site) -> None:
    crashing = Made("crashing", dies=0.3)
    site.stage(crashing)
    site.activate(crashing, "r1", OLD)
    eventually(lambda: site.app()["went_back"])
    site.serves(OLD)
    assert site.root.joinpath("logs/toy.log").read_text().count("hello from crashing") == 1


def test_a_last_good_that_crashes_at_each_start_is_tried_until_it_serves_and_leaves_nothing_behind(cold: Site) -> None:
    leaking = Made("leaking", leak=True)
    cold.start()
    cold.promote(leaking, "first")
    die = cold.root / "data" / "toy" / "die"
    die.touch()
    os.kill(cold.app()["pid"], signal.SIGKILL)
    eventually(lambda: cold.app()["restarts"] >= 4)
    assert (cold.app()["good"], cold.app()["harmful"]) == (leaking.digest, [])
    die.unlink()
    cold.serves(leaking)
    eventually(lambda: len(cold.processes()) == 2)


def test_the_first_release_goes_back_to_stopped(cold: Site) -> None:
    cold.start()
    cold.stage(NEW)
    cold.activate(NEW, "r1", None)
    cold.serves(NEW)
    assert cold.revert("r1")[0] == 0
    eventually(lambda: cold.app()["running"] is None and not cold.processes())
    assert (cold.app()["good"], cold.app()["switching"]) == (None, False)


def test_a_freezing_release_stays_through_deadline_and_restart_and_its_confirm_thaws(site: Site) -> None:
    door = Made("door", on_deadline="freeze", reads=(1, 2), writes=2)
    site.stage(door)
    site.activate(door, "r1", OLD, seconds=1)
    eventually(lambda: site.app()["frozen"])
    assert error_of(site.revert("r1", "--harm")) == (3, "one-way door")
    os.kill(site.serve_pid(), signal.SIGKILL)
    eventually(lambda: not site.answers())
    eventually(site.answers)
    app = site.serves(door)
    assert (app["frozen"], app["good"], app["harmful"]) == (True, OLD.digest, [door.digest])
    assert site.confirm("r1")[0] == 0
    app = site.app()
    assert (app["frozen"], app["good"], app["pending"]) == (False, door.digest, None)
    back = site.verb("return", "--from", door.digest, "--to", OLD.digest, "--generation", 1, "--token", "x")
    assert error_of(back) == (3, "one-way door")
    assert site.app()["running"] == door.digest


def test_a_reboot_with_a_promise_pending_comes_up_on_last_good(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    site.serves(NEW)
    before = site.boot_file.read_text()
    site.stop()
    site.boot_file.write_text("another boot")
    site.start()
    site.serves(OLD)
    app = site.app()
    assert (app["pending"], app["harmful"]) == (None, [])
    assert "machine restarted" in app["went_back"]["reason"]
    assert error_of(site.activate(NEW, "r2", OLD, boot=before)) == (3, "other boot")
    assert site.activate(NEW, "r2", OLD)[0] == 0


def test_what_the_contract_forbids_is_refused_with_a_reason(site: Site) -> None:
    assert error_of(site.activate(NEW, "r1", OLD, expires=-1)) == (3, "expired")
    assert error_of(site.activate(NEW, "r1", OLD, seconds=-1)) == (3, "past")
    assert error_of(site.activate(NEW, "r1", None)) == (3, "wrong base")
    assert error_of(site.activate(Made("unknown"), "r1", OLD)) == (3, "not staged")
    two = Made("two", reads=(1, 2), writes=2)
    site.stage(two)
    assert error_of(site.activate(two, "r1", OLD)) == (3, "one-way door")
    assert site.revert("r9")[0] == 0
    assert error_of(site.activate(NEW, "r9", OLD)) == (3, "ended token")
    site.generation = 7
    assert site.revert("r8")[0] == 0
    site.generation = 6
    assert error_of(site.activate(NEW, "r2", OLD)) == (3, "stale generation")
    assert error_of(site.confirm("r2")) == (3, "stale generation")
    assert error_of(site.verb("activate", "sha256:12")) == (2, "usage")
    assert error_of(site.verb("traffic", "a/b=999", "--token", "t")) == (2, "usage")
    assert error_of(site.verb("nonsense")) == (2, "usage")
    assert (site.app()["running"], site.app()["generation"]) == (OLD.digest, 7)


def test_a_manifest_altered_in_the_store_is_no_longer_staged(site: Site) -> None:
    path = site.root / "store" / "releases" / NEW.digest[7:] / "manifest.json"
    manifest = json.loads(path.read_bytes())
    path.unlink()
    path.write_bytes(canonical(manifest | {"start": ["/bin/sh"]}))
    assert error_of(site.activate(NEW, "r1", OLD)) == (3, "not staged")


def test_return_goes_to_the_release_before(site: Site) -> None:
    site.promote(NEW, "r1", OLD)
    order = ("return", "--from", NEW.digest, "--to", OLD.digest, "--generation", 1, "--token", "r2")
    assert site.verb(*order)[0] == 0
    app = site.serves(OLD)
    assert (app["good"], app["previous"]) == (OLD.digest, NEW.digest)
    assert site.verb(*order)[0] == 0
    assert error_of(site.activate(NEW, "r2", OLD)) == (3, "ended token")


def test_a_port_taken_by_somebody_else_is_told_in_the_reason(cold: Site) -> None:
    cold.start()
    cold.stage(NEW)
    with socket.create_server(("127.0.0.1", cold.http)):
        cold.activate(NEW, "r1", None)
        went = eventually(lambda: cold.app()["went_back"])
    assert "port is taken" in went["reason"] and os.strerror(errno.EADDRINUSE) in went["reason"]


def test_last_good_that_dies_is_started_again(site: Site) -> None:
    pid, before = site.app()["pid"], site.app()["restarts"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: site.app()["pid"] not in (pid, None))
    app = site.serves(OLD)
    assert (app["restarts"], app["harmful"], app["went_back"]) == (before + 1, [], None)


def test_a_disk_that_takes_no_record_stops_what_goes_forward_but_not_what_goes_back(site: Site) -> None:
    site.activate(NEW, "r1", OLD, seconds=3)
    site.serves(NEW)
    (site.root / ".state.json.tmp").mkdir()  # from now on the state cannot be written
    assert error_of(site.confirm("r1")) == (1, "disk")
    assert (site.app()["good"], site.app()["pending"]["token"]) == (OLD.digest, "r1")
    site.serves(OLD)  # at the deadline, record or not
    assert error_of(site.revert("r1")) == (1, "disk")
    assert error_of(site.activate(NEW, "r2", OLD)) == (1, "disk")
    assert site.app()["running"] == OLD.digest
    (site.root / ".state.json.tmp").rmdir()
    eventually(lambda: "r1" in json.loads((site.root / "state.json").read_text())["apps"]["toy"]["ended"])
    assert site.revert("r1")[0] == 0


def test_a_config_that_cannot_be_renewed_keeps_no_release_from_running(site: Site) -> None:
    site.stop()
    config = site.root / "store" / "releases" / OLD.digest[7:] / "config.json"
    before = config.read_bytes()
    site.facts["secrets"] = {"mongo_uri": "mongodb://elsewhere"}
    site.write_facts()
    config.with_name(".config.json.tmp").mkdir()  # the disk does not take it
    site.start()
    site.serves(OLD)
    assert config.read_bytes() == before
    config.with_name(".config.json.tmp").rmdir()
    os.kill(site.app()["pid"], signal.SIGKILL)
    eventually(lambda: site.app()["restarts"] == 1)
    site.serves(OLD)
    assert json.loads(config.read_bytes())["secrets"] == site.facts["secrets"]


def test_sigterm_stops_the_application_first_and_then_all(site: Site) -> None:
    serve, app = site.serve_pid(), site.app()["pid"]
    site.stop(signal.SIGTERM)
    assert site.keeper is not None and site.keeper.returncode == 0
    assert not alive(serve) and not alive(app)
    log = (site.root / "supervise.log").read_text()
    assert '"event": "stopped"' in log and '"code": 0' in log


def test_whoever_ends_the_whole_group_at_once_does_no_harm_to_the_candidate(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    app = site.serves(NEW)
    assert site.keeper is not None
    serve = site.serve_pid()
    os.kill(serve, signal.SIGSTOP)  # so that it learns of everything at once
    for pid in (app["pid"], serve, site.keeper.pid):  # as a service manager does
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(app["pid"]))
    os.kill(serve, signal.SIGCONT)
    site.stop()
    site.start()
    site.serves(OLD)
    assert (site.app()["harmful"], site.app()["went_back"]["harm"]) == ([], False)


def test_only_one_node_program_serves_a_root(site: Site) -> None:
    assert error_of(site.verb("supervise")) == (1, "busy")
    assert error_of(site.verb("serve")) == (1, "busy")
    site.serves(OLD)


# ---- what is seen


def test_observe_needs_the_token_and_tells_state_counts_and_metrics_in_one_answer(site: Site) -> None:
    url = f"http://127.0.0.1:{site.facts['observe']['port']}/observe"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)
        assert refused.value.code == 401
        refused.value.close()
    request = urllib.request.Request(url, headers={"Authorization": "Bearer open sesame"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        pulled = json.load(answer)
    assert (pulled["node"], pulled["zone"], pulled["environment"]) == ("bos-a", "BOS", "test")
    assert pulled["metrics"] == 'release_named{name="old"} 1\n'
    assert (pulled["metrics_of"], pulled["apps"]["toy"]["running"]) == (OLD.digest, OLD.digest)
    assert (pulled["events"]["rows"], pulled["samples"], pulled["balancer"]) == ([], [], None)
    held = pulled["resources"]["toy"]
    assert 1 << 20 < held["rss_bytes"] < 1 << 30
    assert held["threads"] >= 1 and held["open_files"] >= held["sockets"] >= 1
    assert pulled["since"] < pulled["boottime"] <= boottime()
    code, said = site.verb("observe")
    assert code == 0 and set(said) == set(pulled) | {"ok", "error"}


def test_an_observe_port_taken_by_somebody_else_keeps_no_application_from_running(cold: Site) -> None:
    port = cold.facts["observe"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        cold.start()
        cold.promote(OLD, "first")

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET /observe HTTP/1.1\r\n\r\n")
            return b"401" in sock.recv(999)
        return False

    eventually(answers)
    assert cold.serves(OLD)["restarts"] == 0


def test_metrics_of_a_hanging_application_are_missing_and_hold_up_nothing(site: Site) -> None:
    pid = site.app()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        code, said = site.verb("observe")
        assert (code, said["metrics"], said["metrics_of"]) == (0, None, None)
        eventually(lambda: site.app()["ready"] is False)
    finally:
        os.kill(pid, signal.SIGCONT)
    site.serves(OLD)


def test_the_command_line_speaks_json_and_exits_as_documented(site: Site) -> None:
    argv = [sys.executable, "-I", "-S", PROGRAM, str(site.root)]
    done = subprocess.run([*argv, "status"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["status"]["apps"]["toy"]["running"] == OLD.digest
    done = subprocess.run([*argv, "confirm", "nobody", "--generation", "1"], capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (3, "not pending")
    done = subprocess.run([*argv[:-1], "/nowhere", "status"], capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (2, "usage")


def test_a_caller_that_closes_its_half_still_gets_its_answer(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.facts["observe"]["port"])) as sock:
        sock.settimeout(5)
        sock.sendall(b"GET /observe HTTP/1.1\r\nauthorization: Bearer open sesame\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 200 OK")


def test_the_log_is_rotated_by_size(site: Site) -> None:
    with site.root.joinpath("logs/toy.log").open("ab") as log:
        log.write(b"much\n" * (2 << 20))
    eventually(lambda: site.root.joinpath("logs/toy.log").stat().st_size == 0)
    assert site.root.joinpath("logs/toy.log.1").stat().st_size > 8 << 20
    assert site.verb("logs", "--lines", 1)[1]["lines"] == ["much"]
    site.serves(OLD)


def test_logs_tell_the_last_lines(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    site.serves(NEW)
    assert site.verb("logs", "--lines", 2)[1]["lines"] == ["hello from old", "hello from new"]


def test_logs_of_a_release_begin_with_its_own_start_and_end_with_the_next_one(site: Site) -> None:
    site.activate(NEW, "r1", OLD)
    site.serves(NEW)
    assert site.verb("logs", "--of", NEW.digest)[1]["lines"] == ["hello from new"]
    site.revert("r1")
    site.serves(OLD)
    assert site.verb("logs", "--of", NEW.digest)[1]["lines"] == ["hello from new"]
    assert site.verb("logs", "--of", OLD.digest)[1]["lines"] == ["hello from old"]
    assert site.verb("logs", "--of", "sha256:" + "0" * 64)[1]["lines"] == []


def test_garbage_on_the_sockets_stops_nothing(site: Site) -> None:
    control = str(site.run / "control.sock")
    for words in (b"\n", b"[]\n", b'{"verb": "explode"}\n', b'{"verb": "confirm", "what": 1}\n', b"\xff\xfe\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(control)
            sock.sendall(words)
            assert json.loads(sock.makefile("rb").read())["error"]["kind"] == "usage"
    with socket.create_connection(("127.0.0.1", site.facts["observe"]["port"])) as sock:
        sock.sendall(b"\xff GET\r\n\r\n")
        assert b"401" in sock.recv(999)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(site.run / "log.sock"))
        sock.sendall(b"garbage|\xff\nand what is no line, for it never ends")
    eventually(lambda: site.verb("observe")[1]["events"]["unread"] == 1)
    assert site.serves(OLD)["restarts"] == 0
