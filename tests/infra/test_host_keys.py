"""Host keys that the program pins: SSH knows every machine before it runs, and no trust on first use is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")

from controller.errors import Unreachable
from controller.keys import ssh_key
from controller.transports.ssh import SshTransport
from infra.boot import Ssh, bastion_data, user_data
from infra.host_keys import HostKey, host_key
from infra.local.places import Wanted
from infra.outputs import Outputs, from_json
from tests.infra.conftest import CONTROLLERS
from tests.infra.test_boot import FACTS, RELEASE, written
from tests.integration.apart import apart, outputs

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Run = Callable[..., Plan]

BY_SSH = {"budget_dollars": 'transport = "ssh"\nssh_from = ["198.51.100.0/24"]\nbudget_dollars'}
SCRIPT = "/usr/local/sbin/turnabout-host-key"


def test_a_key_is_the_same_for_the_same_machine_and_another_for_any_other() -> None:
    one = host_key("the secret", "prod", "bos-a")
    others = [("another", "prod", "bos-a"), ("the secret", "dev", "bos-a"), ("the secret", "prod", "bos-b")]

    assert host_key("the secret", "prod", "bos-a") == one
    assert len({one.public, *(host_key(*other).public for other in others)}) == 4
    assert one.private not in repr(one)


def test_openssh_reads_the_private_half_and_finds_the_public_one_in_it(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    for number in range(8):
        made, file = host_key("the secret", "prod", "b" * (1 + number)), tmp_path / f"key{number}"
        file.touch(mode=0o600)
        file.write_text(made.private)
        read = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True, timeout=10)
        assert read.stdout.split()[:2] == made.public.split()


def test_the_outputs_pin_every_machine_and_only_the_machine_itself_may_read_its_private_half(run: Run) -> None:
    made = run("dev", BY_SSH)
    told = from_json(made.exports["outputs"])
    keys = {one.name.removeprefix("host-key-"): one for one in made.of(":Parameter", "host-key-")}

    pinned = {node.name: node.host_key for node in told.nodes} | {"bastion": told.bastion_host_key}
    assert pinned == {name: host_key("the stack's secret", "dev", name).public for name in pinned}
    assert keys.keys() == pinned.keys()
    assert {one.inputs["type"] for one in keys.values()} == {"SecureString"}
    assert all("value" in one.secret and "PRIVATE KEY" in one.inputs["value"] for one in keys.values())
    readers = {name: set[str]() for name in pinned}
    for policy in made.of(":RolePolicy"):
        for name in pinned:
            if f"/turnabout/dev/host-keys/{name}" in json.dumps(policy.inputs["policy"]):
                readers[name].add(policy.name)
    assert readers == {"bastion": {"bastion"}} | {node.name: {f"nodes-{node.zone}"} for node in told.nodes}


def test_no_private_half_stands_in_the_outputs_or_in_what_a_machine_is_started_with(run: Run) -> None:
    made = run("dev", BY_SSH)
    said = made.exports["outputs"] + "".join(str(one.inputs.get("userData")) for one in made.of(":Instance"))

    assert "PRIVATE KEY" not in said
    assert said.count("/turnabout/dev/host-keys/") == 1 + len(from_json(made.exports["outputs"]).nodes)


def test_where_ssh_leads_nowhere_there_is_no_key_and_nobody_may_log_in(plan: Callable[[str], Plan]) -> None:
    made = plan("prod")

    assert made.of(":Parameter", "host-key-") == []
    assert {node.host_key for node in from_json(made.exports["outputs"]).nodes} == {""}
    assert "ssh_authorized_keys" not in str(made.one(":Instance", "bos-a").inputs["userData"])


def test_controllers_log_in_on_nodes_and_are_only_passed_on_by_the_bastion(run: Run) -> None:
    made = run("dev", BY_SSH)

    node, bastion = (made.one(":Instance", name).inputs["userData"] for name in ("bos-a", "bastion"))
    assert f'ssh_authorized_keys: ["{CONTROLLERS}"]\n' in node
    assert f'ssh_authorized_keys: ["restrict,port-forwarding {CONTROLLERS}"]\n' in bastion


def test_people_who_may_reach_the_bastion_do_not_let_controllers_log_in(run: Run) -> None:
    made = run("dev", {"budget_dollars": 'ssh_from = ["198.51.100.0/24"]\nbudget_dollars'})

    assert len(made.of(":Parameter", "host-key-")) == 1 + len(from_json(made.exports["outputs"]).nodes)
    assert not any("ssh_authorized_keys" in str(one.inputs.get("userData")) for one in made.of(":Instance"))


def test_a_controller_without_a_key_is_told_before_anything_is_made(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.program import NobodyLetIn
    from tests.infra import conftest

    monkeypatch.setattr(conftest, "CONTROLLERS", "")
    with pytest.raises(NobodyLetIn, match=r"dev is commanded by SSH.*pulumi config set sshKey"):
        run("dev", BY_SSH)


class Machine:
    """A machine's folder of SSH, with what its script calls: AWS answers from a file, and restarts are counted."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.answer = folder, folder / "answer"
        (folder / "ssh").mkdir()
        (folder / "aws").write_text(f'#!/bin/bash\necho "$*" >> {folder}/asked\ncat {self.answer}\n')
        (folder / "systemctl").write_text(f'#!/bin/bash\necho "$*" >> {folder}/restarts\n')
        for name in ("aws", "systemctl"):
            (folder / name).chmod(0o755)
        (folder / "script").write_text(written(text)[SCRIPT].replace("/etc/ssh", str(folder / "ssh")))

    def run(self) -> int:
        done = subprocess.run(
            ["bash", self.folder / "script"],
            env={"PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            timeout=20,
        )
        return done.returncode

    def has(self, name: str) -> str:
        return (self.folder / "ssh" / name).read_text()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


NODE = user_data("bos-a", "us-east-1", "bucket", FACTS, RELEASE, None, Ssh("/turnabout/prod/host-keys/bos-a"))
BASTION = bastion_data("us-east-1", Ssh("/turnabout/prod/host-keys/bastion", CONTROLLERS))


@pytest.mark.parametrize(("text", "name"), [(NODE, "bos-a"), (BASTION, "bastion")], ids=["node", "bastion"])
def test_a_machine_takes_its_key_on_once_and_keeps_what_it_has_when_it_gets_none(
    tmp_path: Path, text: str, name: str
) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    machine, key = Machine(tmp_path, text), host_key("the secret", "prod", name)
    for kept, content in (("ssh_host_ed25519_key", "the one it made itself"), ("ssh_host_ed25519_key.pub", "its half")):
        (tmp_path / "ssh" / kept).write_text(content)

    machine.answer.write_text("")
    assert machine.run() != 0
    assert machine.has("ssh_host_ed25519_key") == "the one it made itself"

    machine.answer.write_text(key.private)
    assert machine.run() == machine.run() == 0
    assert machine.has("ssh_host_ed25519_key") == key.private
    assert machine.has("ssh_host_ed25519_key.pub").split()[:2] == key.public.split()
    assert (tmp_path / "ssh" / "ssh_host_ed25519_key").stat().st_mode & 0o077 == 0
    assert machine.lines("restarts") == ["try-restart sshd"]
    assert f"--name /turnabout/prod/host-keys/{name} " in machine.lines("asked")[0]


def pinned(described: Outputs, environment: str) -> Outputs:
    """The outputs with the public halves that the program would write for an environment."""
    key: Callable[[str], HostKey] = lambda name: host_key("the secret", environment, name)  # noqa: E731 - short
    nodes = tuple(replace(node, host_key=key(node.name).public) for node in described.nodes)
    return replace(described, nodes=nodes, bastion_host_key=key("bastion").public)


def test_openssh_reaches_machines_with_these_keys_and_no_others(tmp_path: Path) -> None:
    node = Wanted("one", "BOS", "bos-a")
    for name in ("bastion", "one/bos-a"):
        file = tmp_path / "ssh" / name / "host.key"
        file.parent.mkdir(parents=True)
        file.touch(mode=0o600)
        file.write_text(host_key("the secret", "prod", name.rpartition("/")[2]).private)
    with apart(tmp_path, [node]) as places:
        described = outputs(places, "one", [node])
        way = SshTransport(pinned(described, "prod"), ssh_key(places.keys))
        assert way.run("bos-a", ("echo", "reached"), None, 10.0).out == b"reached\n"
        way.close()
        strange = SshTransport(pinned(described, "dev"), ssh_key(places.keys))
        with pytest.raises(Unreachable, match="its host key is not the one in the outputs"):
            strange.run("bos-a", ("echo", "reached"), None, 10.0)
        strange.close()
