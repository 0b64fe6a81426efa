"""Commands by SSH through a bastion, with real OpenSSH on both sides, each machine in a network of its own.

First what the networks let through, then what the transport promises, then what it says of everything that can be wrong
with a way. The release loop over such ways is in ``test_apart``.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import Unreachable
from controller.keys import ssh_key
from controller.transports import openssh
from controller.transports.ssh import SshTransport
from infra.local.apart.machines import Apart
from infra.local.apart.sshd import wait_until_listening
from infra.local.places import Wanted
from infra.outputs import Outputs
from tests.integration.apart import apart, outputs
from tests.integration.small import wait

NODES = (Wanted("one", "BOS", "bos-a"), Wanted("one", "BOS", "bos-b"), Wanted("one", "DFW", "dfw-a"),
         Wanted("one", "region", "region-a"))  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with apart(tmp_path_factory.mktemp("apart"), NODES) as made:
        yield made


@pytest.fixture
def described(places: Apart) -> Outputs:
    return outputs(places, "one", NODES)


@pytest.fixture
def way(described: Outputs, places: Apart) -> Iterator[SshTransport]:
    transport = SshTransport(described, ssh_key(places.keys))
    yield transport
    transport.close()


def ran(way: SshTransport, *argv: str, node: str = "bos-a", stdin: bytes | None = None, seconds: float = 10.0) -> str:
    answer = way.run(node, argv, stdin, seconds)
    assert answer.code == 0
    return answer.out.decode()


def sentence(way: SshTransport, node: str = "bos-a", *argv: str, seconds: float = 10.0) -> str:
    with pytest.raises(Unreachable) as trouble:
        way.run(node, argv or ("true",), None, seconds)
    return str(trouble.value)


def restarted(places: Apart, name: str) -> None:
    server = places.running[f"sshd {name}"]
    before = server.log.stat().st_size
    wait_until_listening(places.start_sshd(name), before)


# ---- the networks ---------------------------------------------------------------------------------------------------


def taken(places: Apart, within: str, host: str, port: int) -> bool:
    """Whether a connection from ``within`` gets to ``host``, which takes it or, where nobody listens, refuses it."""
    answer: list[bool] = []

    def knock() -> None:
        places.network(within).enter()
        with socket.socket() as sock:
            sock.settimeout(1.0)
            try:
                sock.connect((host, port))
                answer.append(True)
            except ConnectionRefusedError:
                answer.append(True)
            except OSError:
                answer.append(False)

    thread = threading.Thread(target=knock)
    thread.start()
    thread.join()
    return answer[0]


def test_the_networks_let_through_what_the_topology_says_and_nothing_else(places: Apart) -> None:
    bos_a, bos_b, dfw, inland = (places.spot("one", node.name) for node in NODES)
    observe, front = 21000, 8080
    for node in (bos_a, dfw, inland):
        assert taken(places, "region", node.host, observe), "the controller observes by private addresses"
        assert not taken(places, "region", node.host, 22), "and comes by SSH through the bastion only"
        assert taken(places, "bastion", node.host, 22)
    assert taken(places, "one/bos-a", bos_b.host, front), "the nodes of a zone balance over each other"
    assert not taken(places, "one/bos-a", dfw.host, front), "zones at the edge do not reach each other"
    assert taken(places, "carrier", bos_a.carrier, front), "devices come by the carrier's address"
    assert not taken(places, "carrier", bos_a.host, front), "and by no other"
    assert not taken(places, "region", bos_a.carrier, front), "the region has no way to the carrier's network"
    assert inland.carrier == ""
    assert taken(places, "carrier", inland.host, front), "customers come to the region by the internet"
    assert not taken(places, "carrier", inland.host, 22)


# ---- what the transport promises ------------------------------------------------------------------------------------


def test_a_command_runs_on_its_node_word_by_word_and_ends_with_its_own_code(way: SshTransport, places: Apart) -> None:
    for node in NODES:
        addresses = ran(way, "ip", "-brief", "address", node=node.name)
        assert places.spot("one", node.name).host in addresses
    words = ("it's", 'a "b"', "$HOME", "two  blanks", "semi;colon", "", "new\nline")
    assert ran(way, "printf", "<%s>", *words) == "".join(f"<{word}>" for word in words)
    assert way.run("bos-a", ("sh", "-c", "echo no; exit 3"), None, 10.0).code == 3


def test_what_a_command_is_given_arrives_whole(way: SshTransport) -> None:
    payload = os.urandom(6 << 20)
    assert ran(way, "sha256sum", stdin=payload).split()[0] == hashlib.sha256(payload).hexdigest()


def test_many_commands_to_many_nodes_share_one_connection_to_each(way: SshTransport, places: Apart) -> None:
    def logins(name: str) -> int:
        return places.running[f"sshd {name}"].log.read_text().count("Accepted publickey")

    names = ("bastion", *(f"one/{node.name}" for node in NODES))
    before = {name: logins(name) for name in names}
    for node in NODES:
        ran(way, "true", node=node.name)
    threads = [threading.Thread(target=ran, args=(way, "true"), kwargs={"node": n.name}) for n in NODES * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: logins(name) - before[name] for name in names} == dict.fromkeys(names, 1)


def test_openssh_itself_says_how_careful_it_is_told_to_be(way: SshTransport) -> None:
    asked = ["ssh", "-F", str(way.config), "-G", "bos-a"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in (
        "batchmode yes", "forwardagent no", "identityagent none", "identitiesonly yes", "stricthostkeychecking true",
        "globalknownhostsfile /dev/null", "updatehostkeys false", "connecttimeout 3",
        "serveraliveinterval 1", "serveralivecountmax 3", "controlmaster auto", "proxyjump _bastion",
        "preferredauthentications publickey", "permitlocalcommand no", "hostkeyalias bos-a",
    ):  # fmt: skip
        assert line in said, line
    assert "SSH_AUTH_SOCK" not in ran(way, "env")


def test_closing_ends_every_connection_and_leaves_no_file(described: Outputs, places: Apart) -> None:
    transport = SshTransport(described, ssh_key(places.keys))
    ran(transport, "true")
    folder = transport.config.parent
    assert len(connections(folder)) >= 2
    transport.close()
    wait("every ssh has ended", lambda: not connections(folder))
    assert not folder.exists()


def test_what_a_killed_controller_could_not_remove_is_removed_by_the_next(described: Outputs, places: Apart) -> None:
    with subprocess.Popen(["sleep", "60"]) as lives:
        kept, left = (Path(f"/tmp/turnabout-ssh-{pid}-test") for pid in (lives.pid, 1 << 30))
        for folder in (kept, left):
            folder.mkdir(exist_ok=True)
        try:
            SshTransport(described, ssh_key(places.keys)).close()
            assert (kept.exists(), left.exists()) == (True, False)
        finally:
            kept.rmdir()
            lives.kill()


def connections(folder: Path) -> list[int]:
    """Every living process that was told of this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


# ---- what is unknown ------------------------------------------------------------------------------------------------


def test_a_command_that_takes_too_long_is_unknown(way: SshTransport) -> None:
    said = "commanding bos-a: no answer within 1 s, so it is unknown whether it acted. It is read back."
    assert sentence(way, "bos-a", "sleep", "30", seconds=1.0) == said
    assert ran(way, "echo", "on") == "on\n"


def test_a_command_that_was_killed_is_unknown(way: SshTransport) -> None:
    said = "the command was cut off, so it is unknown whether it acted. It is read back."
    assert sentence(way, "bos-a", "sh", "-c", "kill -9 $$").endswith(said)


def test_a_client_that_is_ended_is_not_waited_for_though_its_command_runs_on(way: SshTransport, tmp_path: Path) -> None:
    """Its connection goes on, and holds what the command would say."""

    def end() -> None:
        mine = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        for pid in {int(word) for file in mine for word in file.read_text().split()}:
            if b"sleep 30" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)

    ran(way, "true")
    said = interrupted(way, tmp_path / "mark", end, seconds=600.0)
    assert not (tmp_path / "mark.done").exists()
    assert "it is unknown whether it acted" in said


def interrupted(way: SshTransport, mark: Path, act: Callable[[], None], seconds: float = 25.0) -> str:
    """What is said of a command that is under way on its node when ``act`` happens."""
    heard: list[str] = []
    command = ("sh", "-c", f"touch {mark}; sleep 30; touch {mark}.done")
    thread = threading.Thread(target=lambda: heard.append(sentence(way, "bos-a", *command, seconds=seconds)))
    thread.start()
    wait("the command is under way", mark.exists)
    act()
    thread.join()
    return heard[0]


def test_a_bastion_that_dies_under_a_command_makes_it_unknown_and_is_named_until_it_is_back(
    way: SshTransport, places: Apart, tmp_path: Path
) -> None:
    said = interrupted(way, tmp_path / "mark", lambda: places.stop_sshd("bastion"))
    assert said.startswith(f"reaching bos-a through the bastion {places.bastion}: ")
    assert "it is unknown whether it acted" in said
    refused = f"reaching the bastion {places.bastion}: no SSH server listens there. "
    assert sentence(way) == sentence(way, "dfw-a") == refused + "Start it, or look at the address in the outputs."
    restarted(places, "bastion")
    assert ran(way, "echo", "back") == "back\n"


def test_a_connection_whose_process_was_killed_is_made_anew(way: SshTransport) -> None:
    ran(way, "true")
    asked = ["ssh", "-F", str(way.config), "-O", "check", openssh.BASTION]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
    found = re.search(r"pid=(\d+)", said)
    assert found is not None, said
    os.kill(int(found[1]), signal.SIGKILL)
    assert (way.config.parent / "bastion").exists(), "nobody was left to remove its socket"
    wait("a command arrives", lambda: arrives(way))


def arrives(way: SshTransport) -> bool:
    try:
        return ran(way, "echo", "on") == "on\n"
    except Unreachable:
        return False


def test_a_link_that_is_cut_under_a_command_is_noticed_soon_and_used_again_when_it_is_whole(
    way: SshTransport, places: Apart, tmp_path: Path
) -> None:
    ran(way, "true", node="bos-b")
    said = interrupted(way, tmp_path / "mark", lambda: places.cut("one/bos-a"))
    assert said.startswith(f"reaching bos-a through the bastion {places.bastion}: ")
    late = "no connection within 3 s. Look whether its machine runs and the network lets SSH through."
    assert sentence(way).endswith(late)
    assert ran(way, "echo", "not cut", node="bos-b") == "not cut\n"
    places.mend("one/bos-a")
    assert ran(way, "echo", "whole") == "whole\n"


# ---- what is wrong with a way ---------------------------------------------------------------------------------------


def test_a_bastion_that_does_not_answer_is_waited_for_once_by_all(way: SshTransport, places: Apart) -> None:
    troubles: list[Unreachable] = []
    together = threading.Barrier(12)

    def command(node: str) -> None:
        together.wait()
        with pytest.raises(Unreachable) as trouble:
            way.run(node, ("true",), None, 10.0)
        troubles.append(trouble.value)

    places.cut("bastion")
    try:
        threads = [threading.Thread(target=command, args=(node.name,)) for node in NODES * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        places.mend("bastion")
    remedy = "Look whether its machine runs and the network lets SSH through."
    assert {str(one) for one in troubles} == {
        f"reaching the bastion {places.bastion}: no connection within 3 s. {remedy}"
    }
    assert len(troubles) == 12
    assert len({id(one) for one in troubles}) == 1, "one attempt, whose failure all of them share"


def test_a_node_without_an_ssh_server(way: SshTransport, places: Apart) -> None:
    places.stop_sshd("one/bos-b")
    try:
        taken = "the connection to it was not taken. Look whether its machine and its SSH server run."
        assert sentence(way, "bos-b") == f"reaching bos-b through the bastion {places.bastion}: {taken}"
    finally:
        restarted(places, "one/bos-b")


@pytest.mark.parametrize("which", ["bos-b", "bastion"])
def test_another_host_key_than_the_outputs_pin_is_never_believed(described: Outputs, places: Apart, which: str) -> None:
    other = next(node.host_key for node in described.nodes if node.name == "dfw-a")
    if which == "bastion":
        described = replace(described, bastion_host_key=other)
    nodes = tuple(replace(n, host_key=other) if n.name == which else n for n in described.nodes)
    transport = SshTransport(replace(described, nodes=nodes), ssh_key(places.keys))
    where = f"the bastion {places.bastion}" if which == "bastion" else f"bos-b through the bastion {places.bastion}"
    pinned = "If its machine is new, bring the platform up to pin the new key; if not, somebody answers in its place."
    assert sentence(transport, "bos-b") == f"reaching {where}: its host key is not the one in the outputs. {pinned}"
    transport.close()


def test_a_key_that_is_not_let_in_is_named(described: Outputs, places: Apart, tmp_path: Path) -> None:
    stranger = ssh_key(tmp_path)
    transport = SshTransport(described, stranger)
    assert sentence(transport) == (
        f"reaching the bastion {places.bastion}: it refuses the controller's key {stranger}. "
        f"Let {described.ssh_user} come with the public half of that key."
    )
    transport.close()


def test_without_a_bastion_nodes_are_reached_from_where_the_network_allows_it(
    described: Outputs, places: Apart
) -> None:
    direct = SshTransport(replace(described, bastion="", bastion_host_key=""), ssh_key(places.keys))
    said = "reaching bos-a: no way leads to it. Look at the network, and whether it may be reached from here."
    assert sentence(direct) == said
    heard: list[str] = []

    def beside_it() -> None:
        places.network("bastion").enter()
        heard.append(ran(direct, "echo", "direct"))

    thread = threading.Thread(target=beside_it)
    thread.start()
    thread.join()
    assert heard == ["direct\n"]
    direct.close()


def test_an_unknown_complaint_is_passed_on() -> None:
    said = openssh.trouble("reaching bos-a", b"\nBad packet length 7.\r\n\n", "ann", "k")
    assert str(said) == "reaching bos-a: ssh: Bad packet length 7. It is read back."
    assert re.search("unknown whether it acted", str(openssh.trouble("reaching bos-a", b"", "ann", "k")))
