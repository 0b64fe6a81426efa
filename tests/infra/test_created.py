"""The emulated cloud of the demo: found wherever `turnabout` itself is started from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = "import sys; from pathlib import Path; from controller.demo import in_cloud; print(in_cloud(Path(sys.argv[1])))"


def test_the_checkouts_cloud_is_taken_whatever_else_is_called_tests(tmp_path: Path) -> None:
    pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()  # as some wheels leave one beside the libraries
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    argv = [sys.executable, "-c", ASK, str(ROOT)]
    said = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "tests.infra.created.Created" in said.stdout or "no pulumi on this machine" in said.stderr, said.stderr
