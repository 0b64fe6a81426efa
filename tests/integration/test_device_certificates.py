"""MQTT over TLS at a real HAProxy: who a device is says its certificate, made as the documentation says."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from infra.local.servers import ServerMissing, find_haproxy
from tests.unit.test_balancer import Zone

PAGE = Path(__file__).parents[2] / "docs" / "cloud.md"
CONNACK = b"\x20\x02\x00\x00"


def as_documented(folder: Path) -> None:
    """Run the lines of the page."""
    (lines,) = [block for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL) if "ca.pem" in block]
    folder.mkdir()
    subprocess.run(["bash", "-euc", lines], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a zone and a device; and another authority with the same names."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "foreign"):
        as_documented(folder / name)
    shutil.copy(folder / "ours" / "ca.pem", folder / "ours" / "devices.pem")
    return folder


@pytest.fixture(scope="module")
def zone(made: Path) -> Iterator[Zone]:
    try:
        haproxy = find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with TemporaryDirectory(prefix="turnabout-", dir="/tmp") as run:
        zone = Zone(Path(run), haproxy, tls=str(made / "ours"))
        try:
            yield zone
        finally:
            zone.close()


def device(made: Path, whose: str | None = "ours", name: str = "press-0001") -> ssl.SSLContext:
    """A device that believes our authority, with the certificate of an authority or none."""
    context = ssl.create_default_context(cafile=str(made / "ours" / "ca.pem"))
    if whose:
        context.load_cert_chain(made / whose / f"{name}.crt", made / whose / f"{name}.key")
    return context


def connect(zone: Zone, context: ssl.SSLContext, client: str, of: str = "bos.prod.example.com") -> bytes:
    """What comes back on CONNECT; nothing when the other side hangs up."""
    name = client.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
    with socket.create_connection(("127.0.0.1", zone.mqtt), 5) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=of) as session:
                session.sendall(bytes([0x10, len(body)]) + body)
                return session.recv(4)
        except (ssl.SSLEOFError, ConnectionError, BrokenPipeError):
            return b""


def test_a_device_comes_in_under_the_name_that_its_certificate_says(zone: Zone, made: Path) -> None:
    assert connect(zone, device(made), "press-0001") == CONNACK

    assert zone.line()[6:8] == ["press-0001", "start"]
    assert zone.line()[6:8] == ["press-0001", "end"]


def test_nobody_speaks_for_another_device(zone: Zone, made: Path) -> None:
    seen = [len(app.sessions) for app in zone.apps.values()]

    assert connect(zone, device(made), "press-0002") == b""

    assert zone.line()[5:8] == ["PR", "press-0002", "end"]
    assert [len(app.sessions) for app in zone.apps.values()] == seen


@pytest.mark.parametrize("whose", [None, "foreign"])
def test_without_a_certificate_of_ours_there_is_no_connection(zone: Zone, made: Path, whose: str | None) -> None:
    seen = [len(app.sessions) for app in zone.apps.values()]

    with pytest.raises(ssl.SSLError, match=r"(?i)certificate required|unknown ca"):
        connect(zone, device(made, whose), "press-0001")

    assert [len(app.sessions) for app in zone.apps.values()] == seen


def test_a_zone_s_certificate_is_no_device_s(zone: Zone, made: Path) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        connect(zone, device(made, name="bos"), "bos.prod.example.com")


def test_a_device_finds_out_when_it_speaks_to_somebody_else(zone: Zone, made: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"dfw\.prod\.example\.com"):
        connect(zone, device(made), "press-0001", of="dfw.prod.example.com")


def test_what_is_not_tls_is_not_heard(zone: Zone) -> None:
    with socket.create_connection(("127.0.0.1", zone.mqtt), 5) as plain:
        plain.sendall(b"\x10\x16\x00\x04MQTT\x04\x02\x00\x3c\x00\x0apress-0001")
        plain.settimeout(10)
        try:
            assert plain.recv(100) == b""
        except ConnectionError:
            return
