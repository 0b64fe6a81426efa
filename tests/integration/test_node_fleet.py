"""A fleet asked through real ports and real commands: what answers in a node's place, never, or without end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.clock import BootClock
from controller.errors import Refused, Unreachable
from controller.fleets import nodes
from controller.fleets.nodes import NodeFleet
from controller.model import Confirm, Stage
from controller.transports.local import LocalTransport
from infra.outputs import NodeOutput, Outputs
from tests.unit.test_node_answers import SANE


class NoBits:
    def bundle(self, digest: str, blobs: tuple[str, ...]) -> bytes:
        return b""


def fleet(port: int = 1, says: str = "", code: int = 0) -> NodeFleet:
    """A fleet of one node, whose program prints ``says`` and whose observe is at ``port``."""
    words = ("sh", "-c", 'cat > /dev/null; printf "%s" "$1"; exit "$2"', "sh", says, str(code))
    url = f"http://127.0.0.1:{port}/observe"
    node = NodeOutput("bos-a", "BOS", "toy", "/root-of-it", "local", "", url, "open sesame", {}, {}, ("toy",))
    return NodeFleet(Outputs("one", (node,), words, "", "", (), ""), LocalTransport(), NoBits(), BootClock())


@contextmanager
def speaking(says: bytes, on_and_on: bool = False) -> Iterator[int]:
    """A port that says ``says`` to whoever asks; ``on_and_on``, then a byte at a time for ten seconds."""
    over = threading.Event()

    def speak() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(9999)
            client.sendall(says)
            for _ in range(200 if on_and_on else 0):
                if over.wait(0.05):
                    return
                client.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "observing bos-a: what came is no answer of HTTP. Look at what listens there."),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n{}", "observing bos-a: it answered 401. Compare the observe tokens."),
        (b"", "observing bos-a: what came is no answer of HTTP. Look at what listens there."),
    ],
)
def test_what_listens_in_a_node_s_place_did_not_answer(says: bytes, sentence: str) -> None:
    with speaking(says) as port, pytest.raises(Unreachable) as trouble:
        fleet(port).observe("bos-a")
    assert str(trouble.value) == sentence


def test_an_answer_that_never_ends_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "OBSERVE_SECONDS", 1.0)
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n{", on_and_on=True) as port, pytest.raises(Unreachable) as trouble:
        fleet(port).observe("bos-a")
    assert str(trouble.value) == "observing bos-a: no whole answer within 1 s. Look at the node."


def test_a_sane_answer_of_a_real_port_is_read() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + json.dumps(SANE).encode()) as port:
        assert fleet(port).observe("bos-a").view.boot == "b"


@pytest.mark.parametrize(
    ("says", "code", "sentence"),
    [
        ("it works", 0, "reading what bos-a answered: it is no JSON"),
        ("{}", 0, "reading the status of bos-a: it makes no sense (KeyError('status'))"),
        ('{"status": []}', 0, "reading the status of bos-a: it makes no sense"),
        ('{"error": "no"}', 1, "reading an error of bos-a: it makes no sense"),
        ("{}", 9, "confirm on bos-a: exit code 9."),
    ],
)
def test_nonsense_from_a_command_is_an_answer_that_did_not_come(says: str, code: int, sentence: str) -> None:
    with pytest.raises(Unreachable) as trouble:
        fleet(says=says, code=code).act(Confirm("bos-a", "toy", "t2"), 4)
    assert str(trouble.value).startswith(sentence)


def test_nonsense_from_probe_logs_and_stage_is_told_as_well() -> None:
    node = fleet(says="{}")
    with pytest.raises(Unreachable, match="reading the probe of bos-a"):
        node.probe("bos-a", "toy")
    with pytest.raises(Unreachable, match="reading the log of bos-a"):
        node.last_words("bos-a", "toy")
    with pytest.raises(Unreachable, match="reading what is staged of bos-a"):
        node.act(Stage("bos-a", "toy", "sha256:a"), 4)
    with pytest.raises(Refused, match="it still misses blobs"):
        fleet(says='{"staged": false, "missing": ["ff"]}').act(Stage("bos-a", "toy", "sha256:a"), 4)


def test_a_command_that_never_answers_is_given_up_though_a_child_of_it_keeps_the_pipe(tmp_path: Path) -> None:
    lingers = tmp_path / "pid"
    code = "import os, sys, time; os.fork() and time.sleep(60); os.setsid(); "
    code += "open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(20); os.unlink(sys.argv[1])"
    argv = (sys.executable, "-c", code, str(lingers))
    with pytest.raises(Unreachable) as trouble:
        LocalTransport().run("bos-a", argv, None, 2.0)
    assert str(trouble.value) == (
        "commanding bos-a: no answer within 2 s, so it is unknown whether it acted. It is read back."
    )
    assert lingers.exists(), "nobody waited until it was over"
    os.kill(int(lingers.read_text()), signal.SIGKILL)
