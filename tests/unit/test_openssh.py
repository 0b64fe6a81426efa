"""What is said to ssh of machines that outputs describe wrongly: nothing, and a sentence for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import Refused
from controller.transports.openssh import Machine, config
from controller.transports.ssh import SshTransport
from infra.outputs import NodeOutput, Outputs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def outputs(
    name: str = "bos-a", address: str = "198.51.100.4", host_key: str = KEY, user: str = "ec2-user",
    bastion: str = "192.0.2.74", bastion_host_key: str = KEY,
) -> Outputs:  # fmt: skip
    node = NodeOutput(name, "BOS", "toy", "/srv", "ssh", address, "", "", {}, {}, (), "", host_key)
    return Outputs("one", (node,), (), "", "", (), bastion, bastion_host_key=bastion_host_key, ssh_user=user)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (outputs(host_key=""), "of bos-a, they pin no host key"),
        (outputs(bastion_host_key=""), "of bastion, they pin no host key"),
        (outputs(host_key="AAAA"), "of bos-a, 'AAAA' is no host key (ssh-ed25519 AAAA…)"),
        (outputs(host_key=f"{KEY}\nevil {KEY}"), f"of bos-a, {KEY[:59]!r:.60} is no host key (ssh-ed25519 AAAA…)"),
        (outputs(name="-oProxyCommand=reboot"), "'-oProxyCommand=reboot' is no name for a machine"),
        (outputs(address="198.51.100.4\n  ProxyCommand reboot"), r"'198.51.100.4\n  ProxyCommand reboot' is neither"),
        (outputs(address=""), "of bos-a, '' is neither a host nor host:port"),
        (outputs(user=""), "'' is no name of a user"),
    ],
)
def test_outputs_that_name_no_way_that_can_be_used_are_refused(wrong: Outputs, said: str) -> None:
    with pytest.raises(Refused) as no:
        SshTransport(wrong, Path("ssh.key"))
    assert str(no.value).startswith("reaching the nodes of one by SSH: ")
    assert said in str(no.value)
    assert str(no.value).endswith("Bring the platform up to write its outputs.")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(
        Refused, match="of bastion, they pin no host key; of bos-a, they pin no host key; '' is no name"
    ):
        SshTransport(outputs(host_key="", bastion_host_key="", user=""), Path("ssh.key"))


def test_a_port_and_an_address_of_six_reach_the_configuration() -> None:
    machines = [Machine("bos-a", "[2001:db8::4]:2222", KEY), Machine("bos-b", "node.example", KEY)]
    told = config("/run/x", "ann", "/keys/ssh.key", machines, None)
    assert "Host bos-a\n  HostName 2001:db8::4\n  HostKeyAlias bos-a\n  Port 2222\n" in told
    assert "Host bos-b\n  HostName node.example\n  HostKeyAlias bos-b\n" in told
    assert "ProxyJump" not in told
