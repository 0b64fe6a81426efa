"""A machine's first minutes: what cloud-init is told, and what its fetching leaves on the volume.

The scripts are run by bash; only ``aws`` is another program here, which copies from a folder that stands for the cloud.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.boot import user_data
from infra.slots import ROOT

FACTS = "/turnabout/prod/nodes/bos-a"
RELEASE = "/turnabout/prod/releases/mqtt"
AWS = """\
#!/bin/bash
echo "$*" >> {cloud}/asked
case "$1" in
s3) from="{cloud}/${{6#s3://bucket/}}"; cp "$from" "$7" ;;
ssm) case "$*" in */tls/*) cat {cloud}/pem ;; *) cat {cloud}/facts ;; esac ;;
esac
"""
OBJECTS = ("program/node.pyz", "nodes/bos-a/haproxy.cfg", "nodes/session_start.lua")


def files(tls: tuple[str, str] | None = None) -> dict[str, str]:
    """What cloud-init would write, by path."""
    return written(user_data("bos-a", "us-east-1", "bucket", FACTS, RELEASE, tls))


def written(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    path = ""
    for line in text.splitlines():
        if entry := re.fullmatch(r"  - path: (\S+)", line):
            path = entry[1]
            found[path] = ""
        elif line.startswith("      ") or line == "":
            found[path] += line[6:] + "\n"
    return found


@pytest.mark.parametrize("script", [f"/usr/local/sbin/turnabout-{name}" for name in ("fetch", "join", "volume")])
def test_each_script_is_one_that_bash_understands(script: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(files()[script])

    assert subprocess.run(["bash", "-n", tmp_path / "script"], capture_output=True, timeout=10).stderr == b""


def test_the_node_is_supervised_with_all_that_it_started() -> None:
    unit = files()["/etc/systemd/system/turnabout-node.service"]

    assert "ExecStart=/usr/bin/python3.11 -I -S /srv/turnabout/node.pyz /srv/turnabout/bos-a supervise\n" in unit
    assert {"KillMode=control-group", "Restart=always", "RequiresMountsFor=/srv/turnabout"} <= set(unit.splitlines())


class Machine:
    """A volume, and the cloud beside it."""

    def __init__(self, folder: Path, tls: tuple[str, str] | None = None) -> None:
        self.volume, self.cloud = folder / "volume", folder / "cloud"
        self.node = self.volume / "bos-a"
        for name in OBJECTS:
            (self.cloud / name).parent.mkdir(parents=True, exist_ok=True)
            (self.cloud / name).write_text(f"new {name}")
        (self.cloud / "facts").write_text('{"node": "bos-a"}')
        (folder / "aws").write_text(AWS.format(cloud=self.cloud))
        (folder / "aws").chmod(0o755)
        (folder / "fetch").write_text(files(tls)["/usr/local/sbin/turnabout-fetch"].replace(ROOT, str(self.volume)))
        self.path = f"{folder}:/usr/bin:/bin"

    def fetch(self) -> int:
        script = self.volume.parent / "fetch"
        return subprocess.run(["bash", script], env={"PATH": self.path}, capture_output=True, timeout=20).returncode

    def holds(self) -> dict[str, str]:
        files = [path for path in self.volume.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.volume)): path.read_text() for path in sorted(files)}


def test_a_new_machine_fetches_what_it_needs_to_become_a_node(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    assert machine.fetch() == 0
    assert machine.holds() == {
        "bos-a/haproxy.cfg": "new nodes/bos-a/haproxy.cfg",
        "bos-a/node.json": '{"node": "bos-a"}',
        "bos-a/session_start.lua": "new nodes/session_start.lua",
        "node.pyz": "new program/node.pyz",
    }
    assert (machine.node / "node.json").stat().st_mode & 0o077 == 0


def test_a_machine_that_takes_over_a_volume_asks_nobody(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.fetch() == 0
    (machine.volume / "node.pyz").write_text("the program that ran here")
    (machine.cloud / "asked").unlink()

    assert machine.fetch() == 0

    assert machine.holds()["node.pyz"] == "the program that ran here"
    assert not (machine.cloud / "asked").exists()


@pytest.mark.parametrize(
    ("missing", "path"),
    [
        ("program/node.pyz", "node.pyz"),
        ("nodes/bos-a/haproxy.cfg", "bos-a/haproxy.cfg"),
        ("nodes/session_start.lua", "bos-a/session_start.lua"),
        ("facts", "bos-a/node.json"),
    ],
)
def test_what_could_not_be_fetched_is_not_half_there_and_tried_again(tmp_path: Path, missing: str, path: str) -> None:
    machine = Machine(tmp_path)
    kept = (machine.cloud / missing).read_text()
    (machine.cloud / missing).unlink()

    assert machine.fetch() != 0
    assert path not in machine.holds()

    (machine.cloud / missing).write_text(kept)
    assert machine.fetch() == 0
    assert machine.holds()[path] == kept
    assert not any(name.endswith(".partial") for name in machine.holds())


TLS = ("/turnabout/prod/tls/devices", "/turnabout/prod/tls/BOS")


def certificate(folder: Path, name: str, days: int) -> str:
    """A certificate that ends in so many days."""
    make = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} -subj /CN={name}"
    command = [*make.split(), "-keyout", str(folder / "key"), "-out", str(folder / "pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return (folder / "pem").read_text()


def test_certificates_are_fetched_anew_before_they_end_and_what_is_there_serves_meanwhile(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    machine = Machine(tmp_path, TLS)
    (machine.cloud / "pem").write_text("none")
    assert machine.fetch() != 0  # nobody filled the parameters yet

    ending, new, newer = (certificate(tmp_path, "bos", days) for days in (20, 300, 301))
    for there, has in ((ending, ending), (new, new), (newer, new)):
        (machine.cloud / "pem").write_text(there)
        assert machine.fetch() == 0
        assert machine.holds()["bos-a/tls/devices.pem"] == machine.holds()["bos-a/tls/server.pem"] == has
    asked = (machine.cloud / "asked").read_text()
    assert [f"--name {name} " in asked for name in TLS] == [True, True]

    for name in ("devices", "server"):
        (machine.node / "tls" / f"{name}.pem").write_text(ending)
    (machine.cloud / "pem").unlink()
    assert machine.fetch() == 0
    assert machine.holds()["bos-a/tls/server.pem"] == ending
