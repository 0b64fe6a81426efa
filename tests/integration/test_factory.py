"""The devices of a factory, against the real edge application: what they say they sent is what it took."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from apps.mqtt.tests.running import ROOT, Edge, free_port, until
from infra.local.behaviour import (
    FAULTS,
    MACHINES,
    MIXED,
    SCHEDULES,
    BadFaults,
    Mishaps,
    machine,
    parse_faults,
    schedule,
)  # fmt: skip
from infra.local.factory import main
from infra.local.factory_view import Look, line, spark, summary

TAKEN = "all,-trespass,-oversize,-malformed,-reboot,-cut,-silence"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(tmp_path).start()
    yield edge
    edge.kill()


def factory(*words: str, rc: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "infra.local.factory", *words, "--json"], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == rc, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_devices_say_they_sent_is_what_the_edge_took(edge: Edge) -> None:
    at = f"127.0.0.1:{edge.mqtt}"
    said = factory("--at", at, "--devices", "40", "--rate", "20", "--seconds", "3", "--faults", TAKEN, "--share", "0.2")
    assert (said["waiting"], said["forgotten"], said["lost_sessions"]) == (0, 0, 0)
    assert said["published"] == said["acked"] > 500
    assert set(said["faults"]) == set(parse_faults(TAKEN))
    counted = edge.metrics()
    assert counted["publishes_received"] == said["published"]
    assert counted["duplicates"] == said["faults"]["repeated"]
    assert counted["quarantined"] == said["faults"]["garbage"] + said["faults"]["renumbered"]


def test_nothing_that_was_acknowledged_is_missing_whatever_went_wrong(edge: Edge) -> None:
    at = f"127.0.0.1:{edge.mqtt}"
    said = factory("--at", at, "--devices", "40", "--rate", "20", "--seconds", "4", "--faults", "all", "--share", "0.1")
    assert set(said["faults"]) == set(FAULTS)
    assert said["waiting"] == 0
    offences = sum(said["faults"][name] for name in ("trespass", "oversize", "malformed"))
    assert 0 < said["closed"] <= offences
    counted = edge.metrics()
    stored = counted["committed"] + counted["duplicates"] + counted["quarantined"]
    assert said["acked"] <= stored <= said["acked"] + said["forgotten"] + said["resent"]
    assert counted["refused"] > 0 and counted["protocol_errors"] > 0


def test_nobody_there_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["--at", f"127.0.0.1:{port}", "--devices", "2", "--rate", "9", "--seconds", "0.6", "--plain"]) == 1
    told = capsys.readouterr()
    assert f"Nothing was acknowledged by 127.0.0.1:{port}; is an MQTT server there" in told.err
    assert re.search(r"acknowledged +0 ", told.out)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--at", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--at", "h:1", "--faults", "fire"], "'fire' is no fault; there are all, none, garbage"),
        (["--at", "h:1", "--devices", "0"], "0 is not a number from 1 to 60000"),
        (["--at", "h:1", "--share", "2"], "2 is not a number from 0 to 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_1(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert sentence in capsys.readouterr().err


def test_certificates_that_are_not_there_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--at", "127.0.0.1:1", "--seconds", "1", "--certificates", str(tmp_path)]) == 1
    assert f"The certificates in {tmp_path} cannot be used: No such file" in capsys.readouterr().err


def test_a_seed_does_the_same_again_and_a_share_is_kept() -> None:
    def told(seed: int) -> list[str | None]:
        random, mishaps = Random(f"{seed}/press-0001"), Mishaps(tuple(FAULTS), 0.1)
        return [mishaps.next(random) for _ in range(5_000)]

    assert told(7) == told(7) != told(8)
    counts = Counter(told(7))
    assert 4_400 < counts.pop(None) < 4_600
    assert set(counts) == set(FAULTS)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_keeps_the_mean_that_was_asked_for(name: str) -> None:
    random, due = Random(1), schedule(name, 0)
    delays = [due(2.0, made, random) for made in range(1, 40_001)]
    assert sum(delays) / len(delays) == pytest.approx(2.0, rel=0.02)
    assert {schedule(MIXED, number) for number in range(4)} == set(SCHEDULES.values())


def test_a_spike_is_outside_of_what_a_machine_measures() -> None:
    for kind in MACHINES:
        random = Random(1)
        usual = [kind.value(at, random) for at in range(2_000)]
        assert all(not min(usual) <= kind.spike(random) <= max(usual) for _ in range(200))
    assert [machine(number).name for number in range(5)] == ["press", "saw", "oven", "pump", "press"]


def test_faults_are_chosen_by_name_and_by_exception() -> None:
    assert parse_faults("all") == tuple(FAULTS) and parse_faults("none") == ()
    assert parse_faults("cut, spike,cut") == ("cut", "spike")
    assert "reboot" not in parse_faults("all,-reboot")
    with pytest.raises(BadFaults):
        parse_faults("all,-fire")


def test_the_faces_say_the_same_numbers() -> None:
    look = Look("done", 9, 5, 4, 1234, 1200, 30, 4, 2, 1, 7, 3, 0.51, 8.25, {"cut": 3, "garbage": 2})
    told = summary(look)
    for words in ("5 devices", "1,234", "1,200", "30 ", "p50 0.5 ms, p99 8.2 ms", "fault garbage", "after 3 lost"):
        assert words in told
    assert told.index("garbage") < told.index("cut")
    assert "4/5 connected" in line(look, 50, 40) and "5 faults" in line(look, 50, 40)
    assert spark([0, 1, 2]) == " ▄█"


def test_the_image_holds_all_that_the_command_needs(tmp_path: Path) -> None:
    """The files that the Dockerfile copies, alone, and no library."""
    copied = re.findall(r"infra/[\w/]+\.py", (ROOT / "infra" / "local" / "Dockerfile").read_text())
    for name in copied:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    argv = [sys.executable, "-S", "-m", "infra.local.factory", "--at", f"127.0.0.1:{free_port()}", "--seconds", "0.3"]
    done = subprocess.run(
        [*argv, "--devices", "1", "--rate", "9"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Nothing was acknowledged" in done.stderr, done.stderr


def test_a_terminal_gets_the_live_view_and_its_summary(edge: Edge) -> None:
    if shutil.which("script") is None:
        pytest.skip("script(1) is not here")
    words = f"-m infra.local.factory --at 127.0.0.1:{edge.mqtt} --devices 9 --rate 9 --seconds 1.5 --faults spike"
    done = subprocess.run(
        ["script", "-qec", f"{sys.executable} {words} --share 0.5", "/dev/null"], cwd=ROOT, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}, capture_output=True, check=True,
    )  # fmt: skip
    assert "9 devices, seed 7" in done.stdout and "╭" in done.stdout
    assert "a reading far outside of what the device measures" in done.stdout
    until(lambda: edge.metrics()["pending"] == 0)
