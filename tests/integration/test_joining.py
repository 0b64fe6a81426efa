"""A new machine joins: what its unit does before and after, with the real node program and a folder for the cloud.

Nobody plays systemd but the few lines of ``Machine``: what stands before the start must have gone well, and is tried
again until it does.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.slots import PROGRAM as THERE
from infra.slots import ROOT
from tests.infra.test_boot import RELEASE, files
from tests.integration.node_site import PROGRAM, Made, Site

AWS = """\
#!/bin/bash
set -euo pipefail
case "$1" in
s3) from="{cloud}/${{6#s3://bucket/}}"; [ "$7" = - ] && exec cat "$from"; cp "$from" "$7" ;;
ssm) for word; do [ "${{last:-}}" = --name ] && name=$word; last=$word; done; cat "{cloud}/parameters$name" ;;
esac
"""
FACTS = "/turnabout/prod/nodes/bos-a"
UNIT = "/etc/systemd/system/turnabout-node.service"


class Machine:
    """A machine with an empty volume, the cloud beside it, and the unit that cloud-init wrote."""

    def __init__(self, folder: Path) -> None:
        self.volume, self.cloud, self.bin = folder / "volume", folder / "cloud", folder / "bin"
        self.site = Site(self.volume / "bos-a")
        (self.site.root / "node.json").unlink()
        self.put(f"parameters{FACTS}", json.dumps(self.site.facts).encode())
        self.put("program/node.pyz", Path(PROGRAM).read_bytes())
        for name in ("nodes/bos-a/haproxy.cfg", "nodes/session_start.lua"):
            self.put(name, b"nobody reads this here")
        self.bin.mkdir()
        for path, text in {**files(), "/aws": AWS.format(cloud=self.cloud)}.items():
            here = text.replace(ROOT, str(self.volume)).replace(THERE[0], sys.executable)
            (self.bin / Path(path).name).write_text(here)
            (self.bin / Path(path).name).chmod(0o755)

    def put(self, name: str, content: bytes) -> None:
        (self.cloud / name).parent.mkdir(parents=True, exist_ok=True)
        (self.cloud / name).write_bytes(content)

    def promoted(self, *releases: Made | None) -> None:
        self.put(f"parameters{RELEASE}", " ".join(made.digest if made else "none" for made in releases).encode())

    def holds(self, made: Made, content: bytes | None = None) -> None:
        self.put(f"releases/{made.digest.removeprefix('sha256:')}.tar", made.tar() if content is None else content)

    def unit(self, key: str) -> list[str]:
        lines = (self.bin / Path(UNIT).name).read_text().splitlines()
        return [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]

    def start(self) -> subprocess.CompletedProcess[bytes] | None:
        """As the unit says: what comes before first; None when all of it went well and the node is started."""
        for before in self.unit("ExecStartPre"):
            path = {"PATH": f"{self.bin}:/usr/bin:/bin"}
            done = subprocess.run(["bash", self.bin / Path(before).name], env=path, capture_output=True, timeout=60)
            if done.returncode:
                return done
        (argv,) = self.unit("ExecStart")
        assert argv.split() == [sys.executable, "-I", "-S", f"{self.volume}/node.pyz", str(self.site.root), "supervise"]
        self.site.start()
        return None

    def serves(self) -> bool:
        """Whether anything of the node listens: its application, or what its observers ask."""
        for port in (self.site.http, self.site.facts["observe"]["port"]):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    return True
        return False

    def refused(self) -> dict[str, Any]:
        """What the node program said to a start that did not come about."""
        done = self.start()
        assert done is not None
        assert not self.serves()
        error: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["error"]
        return error


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.site.close()


OLD, NEW = Made("old"), Made("new")


def test_a_new_node_serves_what_is_promoted_from_its_first_answer_on(machine: Machine) -> None:
    machine.promoted(NEW, OLD)
    for made in (OLD, NEW):
        machine.holds(made)

    assert machine.start() is None

    app = machine.site.serves(NEW)
    assert (app["good"], app["previous"], app["pending"]) == (NEW.digest, OLD.digest, None)
    assert set(app["staged"]) == {NEW.digest, OLD.digest}


def test_a_node_that_could_not_fetch_does_not_serve_until_it_can(machine: Machine) -> None:
    machine.promoted(NEW, OLD)
    machine.holds(NEW)

    assert machine.refused()["kind"] == "cut off"
    machine.holds(OLD, OLD.tar()[: len(OLD.tar()) // 2])
    assert machine.refused()["kind"] == "cut off"
    assert not (machine.site.root / "state.json").exists()

    machine.holds(OLD)
    assert machine.start() is None
    machine.site.serves(NEW)


def test_what_nobody_trusted_has_signed_is_not_served(machine: Machine) -> None:
    foreign = Made("foreign", key=Ed25519PrivateKey.generate())
    machine.promoted(foreign, None)
    machine.holds(foreign)

    assert machine.refused()["kind"] == "bad signature"


def test_another_release_than_the_promoted_one_is_not_served(machine: Machine) -> None:
    machine.promoted(NEW, None)
    machine.holds(NEW, OLD.tar())

    assert machine.refused()["kind"] in ("bad manifest", "wrong digest")


def test_where_nothing_was_ever_promoted_a_node_waits_for_a_controller(machine: Machine) -> None:
    machine.promoted(None)

    assert machine.start() is None

    assert (machine.site.app()["running"], machine.site.app()["good"]) == (None, None)


def test_a_node_that_has_a_release_comes_back_without_asking_anybody(machine: Machine) -> None:
    machine.promoted(OLD, None)
    machine.holds(OLD)
    assert machine.start() is None
    machine.site.serves(OLD)
    machine.site.stop()
    (machine.bin / "aws").write_text("#!/bin/bash\nexit 1\n")

    assert machine.start() is None

    machine.site.serves(OLD)


def adopt(site: Site, good: Made, previous: Made | None = None) -> tuple[int, dict[str, Any]]:
    return site.verb("adopt", good.digest, "--previous", previous.digest if previous else "none")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "bos-a")
    yield site
    site.close()


def test_adopting_the_same_again_changes_nothing_and_another_is_refused(site: Site) -> None:
    for made in (OLD, NEW):
        assert site.stage(made)[0] == 0

    assert adopt(site, NEW, OLD)[1]["adopted"] is True
    assert adopt(site, NEW, OLD)[1]["adopted"] is False
    code, said = adopt(site, OLD)
    assert (code, said["error"]["kind"]) == (3, "already good")
    assert said["error"]["sentence"].endswith("adopt is for a node that never had a release.")


def test_only_what_is_staged_can_be_adopted(site: Site) -> None:
    assert site.stage(NEW)[0] == 0

    code, said = adopt(site, NEW, OLD)

    assert (code, said["error"]["kind"]) == (3, "not staged")
    assert not (site.root / "state.json").exists()


def test_a_node_that_runs_is_told_by_orders_only(site: Site) -> None:
    assert site.stage(NEW)[0] == 0
    site.start()

    code, said = adopt(site, NEW)

    assert (code, said["error"]["kind"]) == (1, "busy")
