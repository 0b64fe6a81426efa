"""What a node unpacks: plain members that stay inside, with every Python that it may run on."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from controller.node.errors import Refused
from controller.node.unpack import unpack
from tests.integration.node_site import special, tar_of

OUTWARD = {
    "upward": tar_of({"apps/toy/main.py": b"", "../out": b"x"}),
    "from the root": tar_of({"apps/toy/main.py": b"", "/tmp/out": b"x"}),
    "a link to the root": tar_of({"apps/toy/main.py": b""}, {"apps/toy/etc": "/etc"}),
    "a link upward": tar_of({"apps/toy/main.py": b""}, {"apps/toy/up": "../../../.."}),
    "through a link": tar_of({"apps/toy/main.py": b"", "door/passwd": b"x"}, {"door": "apps"}),
    "a hard link to the root": special("apps/toy/passwd", tarfile.LNKTYPE, "/etc/passwd"),
    "a hard link upward": special("apps/toy/passwd", tarfile.LNKTYPE, "../../../../etc/passwd"),
    "a pipe": special("apps/toy/pipe", tarfile.FIFOTYPE),
    "a device": special("apps/toy/disk", tarfile.BLKTYPE),
}


@pytest.fixture(params=["with the filter", "before 3.11.4"], autouse=True)
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "before 3.11.4":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("This Python has no filter.")


@pytest.mark.parametrize("blob", OUTWARD.values(), ids=OUTWARD)
def test_what_leads_out_is_refused_and_nothing_is_unpacked(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "blob").write_bytes(blob)
    with pytest.raises(Refused, match="is no plain file, or leads out of its release"):
        unpack(tmp_path / "blob", tmp_path / "place")
    assert list((tmp_path / "place").iterdir()) == []


def test_what_stays_inside_is_unpacked_with_harmless_modes(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(tar_of({"apps/main.py": b"x"}, {"main.py": "apps/main.py"}))
    unpack(tmp_path / "blob", tmp_path / "place")
    assert (tmp_path / "place/main.py").read_bytes() == b"x"
    (tmp_path / "folder").write_bytes(special("open", tarfile.DIRTYPE))
    unpack(tmp_path / "folder", tmp_path / "other")
    assert stat.S_IMODE((tmp_path / "other/open").stat().st_mode) == 0o755
