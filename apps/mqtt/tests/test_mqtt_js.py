"""MQTT.js, in both versions, where node and npm are; its packages are pinned beside this file and go into `build/`."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apps.mqtt.disk.layout import FILE
from apps.mqtt.tests.running import ROOT, Edge, until

COUNT = 5_000
PINNED = Path(__file__).with_name("mqtt_js")


@pytest.fixture(scope="module")
def script() -> Path:
    """The script, in a folder that has what it requires. Installed once for each lock file."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not both here, so MQTT.js cannot run.")
    lock = (PINNED / "package-lock.json").read_bytes()
    folder = ROOT / "build" / f"mqtt-js-{hashlib.sha256(lock).hexdigest()[:12]}"
    shutil.copytree(PINNED, folder, dirs_exist_ok=True)
    installed = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    if not installed.exists():
        argv = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
        if done.returncode:
            pytest.skip(
                f"npm could not install MQTT.js: {(done.stderr.strip().splitlines() or ['it says nothing'])[0]}"
            )
    return folder / "round.js"


def play(script: Path, edge: Edge, version: int, count: int) -> subprocess.Popen[str]:
    argv = ["node", str(script), str(edge.mqtt), str(version), str(count)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(playing: subprocess.Popen[str]) -> Any:
    try:
        said, wrong = playing.communicate(timeout=60)
    finally:
        playing.kill()
    assert (playing.returncode, wrong) == (0, "")
    return json.loads(said)


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_mqtt_js_publishes_and_subscribes(edge: Edge, script: Path, version: int) -> None:
    assert outcome(play(script, edge, version, 100)) == {"acknowledged": 100, "heard": list(range(100))}
    assert [row["seq"] for row in edge.readings()] == list(range(100))


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_mqtt_js_sends_again_what_a_crash_left_open_and_what_it_was_told_is_safe_is_there(
    edge: Edge, script: Path, version: int
) -> None:
    playing = play(script, edge, version, COUNT)
    until(lambda: edge.metrics()["committed"] >= 50, 60)
    with closing(sqlite3.connect(edge.data / FILE, isolation_level=None, timeout=20)) as disk:
        disk.execute("BEGIN IMMEDIATE")  # it hangs: a PUBACK from now on would be of a message that the crash takes
        until(lambda: edge.metrics()["commit_errors"])
        edge.kill()
    edge.start()
    said = outcome(playing)
    assert (said["acknowledged"], sorted(said["heard"])) == (COUNT, list(range(COUNT)))
    assert [row["seq"] for row in edge.readings()] == list(range(COUNT))
    assert edge.metrics()["committed"] > 0  # of the second process: the crash came in the middle
