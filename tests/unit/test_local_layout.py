"""Where the platform on one machine puts things: ports that nobody else takes, and what a release.toml must say."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from infra.application import App, BadApp, read_app
from infra.local.layout import SOCKET_PATH_LIMIT, run_folder
from infra.local.load import clients_addresses
from infra.local.ports import BLOCK, FIRST, LAST, Ports
from infra.outputs import NodeOutput, Outputs


def test_two_platforms_never_get_the_same_port() -> None:
    first, second = Ports(), Ports()
    try:
        taken = [ports.take() for ports in (first, second) for _ in range(BLOCK + 10)]
        assert len(set(taken)) == len(taken)
        assert all(FIRST <= port < LAST for port in taken)
    finally:
        first.close()
        second.close()


def test_a_port_that_somebody_listens_on_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Ports()
    try:
        port = ports.take()
        with socket.create_server(("127.0.0.1", port)):
            monkeypatch.setattr(ports, "_blocks", [port // BLOCK * BLOCK])
            ports.close()
            ports._free.clear()
            assert port not in {ports.take() for _ in range(BLOCK - 5)}
    finally:
        ports.close()


def test_sockets_fit_however_deep_the_platform_is() -> None:
    folder = run_folder(Path("/tmp") / ("deep/" * 60))
    assert len(str(folder / "production" / "region-a" / "balancer.sock")) <= SOCKET_PATH_LIMIT


def test_clients_come_by_the_carriers_address_of_a_node_that_has_one() -> None:
    fronts = {"http": "198.51.100.4:12001"}
    edge = NodeOutput("bos-a", "BOS", "edge", "/", "ssh", "198.51.100.4", "", "", fronts, {}, (), "203.0.113.10")
    inland = replace(edge, name="region-a", zone="region", carrier="")
    platform = Outputs("one", (edge, inland), (), "", "", (), "")
    assert clients_addresses(platform, "edge", "http") == {
        "BOS": [("203.0.113.10", 12001)],
        "region": [("198.51.100.4", 12001)],
    }


GOOD = 'ports = { mqtt = "tcp", http = "http" }\nready = "http://127.0.0.1:{port.http}/ready"\n'


def test_the_platform_reads_ports_and_readiness(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert read_app(tmp_path, "edge") == App("edge", {"mqtt": "tcp", "http": "http"}, "http", "/ready")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ports = [", "cannot be read"),
        ('ready = "http://x"', "it needs `ports` and `ready`"),
        (GOOD.replace('"tcp"', '"udp"'), 'ports.mqtt is "udp"; it must be "tcp" (MQTT) or "http".'),
        (GOOD.replace("{port.http}", "{port.mqtt}"), "it must name one port of kind http, as {port.http}."),
        (GOOD.replace("{port.http}", "80"), "it must name one port of kind http, as {port.http}."),
    ],
)
def test_a_release_toml_that_cannot_be_used_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    write(tmp_path, text)
    with pytest.raises(BadApp) as refused:
        read_app(tmp_path, "edge")
    assert sentence in str(refused.value)
    assert str(tmp_path / "edge" / "release.toml") in str(refused.value)


def write(folder: Path, text: str) -> None:
    (folder / "edge").mkdir()
    (folder / "edge" / "release.toml").write_text(text)
