"""What a node says of libraries and packages: by what installed them wrote down, and by its own package manager."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.node.inspecting import packages, unrecorded


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A folder with one library, as pip installs it."""
    files = {"dependable/__init__.py": b"WORD = 1\n", "dependable/a, b.txt": b"with a comma\n"}
    record = ["../../bin/dependable,sha256=AAAA,12", "dependable-1.0.dist-info/RECORD,,"]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f'"{name}",sha256={digest},{len(content)}')
    (tmp_path / "dependable-1.0.dist-info").mkdir()
    (tmp_path / "dependable-1.0.dist-info" / "RECORD").write_text("\n".join(record))
    return tmp_path


def test_a_library_that_lies_as_it_was_installed_is_not_named(libraries: Path) -> None:
    assert unrecorded(libraries) == []


def test_a_library_that_somebody_patched_or_emptied_is_named_file_by_file(libraries: Path) -> None:
    (libraries / "dependable" / "__init__.py").write_text("WORD = 2\n")
    (libraries / "dependable" / "a, b.txt").unlink()
    assert unrecorded(libraries) == ["dependable/__init__.py", "dependable/a, b.txt"]


def test_the_systems_packages_are_as_its_package_manager_tells_them() -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("There is no dpkg here.")
    told = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Version}", "dpkg"], capture_output=True, text=True, check=True
    )
    assert packages()["dpkg"] == told.stdout


def test_of_a_package_that_is_installed_twice_both_versions_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpm = tmp_path / "rpm"
    rpm.write_text("#!/bin/sh\nprintf 'kernel 6.1.119-1\\nkernel 6.1.115-1\\nzlib 1.2.11-33\\n'\n")
    rpm.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert packages() == {"kernel": "6.1.115-1, 6.1.119-1", "zlib": "1.2.11-33"}
