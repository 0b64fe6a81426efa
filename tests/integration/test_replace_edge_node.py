"""``turnabout node replace`` on a node that runs the real edge application: no reading that it took is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.assemble import open_ledger
from controller.rollout import rows
from controller.site import load_site
from infra.local.platform import Platform
from tests.integration.test_local_platform import HERE, environments, eventually, latest, platform, run, traffic

__all__ = ["environments", "platform"]  # fixtures


@pytest.fixture(scope="module")
def site(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that leads the environment; nothing has begun there yet."""
    path = tmp_path_factory.mktemp("site") / "turnabout.toml"
    path.write_text(f'environments = ["small"]\noutputs = "{platform.root}"\nkeys = "{platform.root}/keys"\n')
    ledger = open_ledger(load_site(path), "small")
    ledger.append(rows.SEEN, {"commit": "0" * 40}, 1)
    ledger.close()
    return path


def replaced(platform: Platform, site: Path, *more: str) -> tuple[int, str]:
    """The command, and meanwhile somebody who runs the platform."""
    argv = [sys.executable, "-m", "controller.cli", "--site", str(site), "node", "replace", "bos-a"]
    argv += ["--reason", "a newer image", *more]
    process = subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None:
        platform.replace_where_asked()
        time.sleep(0.1)
    return process.returncode, process.communicate()[0]


def test_its_readings_are_in_the_far_store_before_the_machine_goes(
    platform: Platform,
    site: Path,
    tmp_path: Path,
) -> None:
    outputs, far = platform.outputs["small"], platform.servers["mongod"].process
    load = traffic(platform, tmp_path, "run", "--traffic", "small=30:4:20:0")
    try:
        eventually(lambda: latest(tmp_path)["messages"]["acked"] > 100, 30)
        before = run(outputs, outputs.nodes[0], "status")["status"]["since"]
        far.send_signal(signal.SIGSTOP)
        try:
            taken = latest(tmp_path)["messages"]["acked"]
            eventually(lambda: latest(tmp_path)["messages"]["acked"] > taken + 50, 30)
            code, said = replaced(platform, site, "--drain", "6")
        finally:
            far.send_signal(signal.SIGCONT)
        assert code == 2, said
        assert said.splitlines()[-1].startswith("small/bos-a: after 6 s ")
        assert said.endswith(" of what it took are still to be handed on: nothing was replaced.\n")
        assert run(outputs, outputs.nodes[0], "status")["status"]["since"] == before

        code, said = replaced(platform, site)
        assert code == 0, said
        assert run(outputs, outputs.nodes[0], "status")["status"]["since"] > before
        taken = latest(tmp_path)["messages"]["acked"]
        eventually(lambda: latest(tmp_path)["messages"]["acked"] > taken + 100, 30)
    finally:
        load.send_signal(signal.SIGTERM)
    assert load.wait(30) == 0
    assert latest(tmp_path)["messages"]["unacked"] == 0

    verify = traffic(platform, tmp_path, "verify")
    assert verify.wait(60) == 0
    found = json.loads((tmp_path / "verify.out").read_text())["small"]
    assert (found["acked_lost"], found["in_far_store"]) == (0, found["acked"])
