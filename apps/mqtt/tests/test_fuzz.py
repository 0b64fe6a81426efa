"""What must hold for any bytes, tried on those that are written down, on each that broke the codec once, and on some
thousand that atheris makes of them.

``make fuzz`` looks longer. What it finds is copied into `examples` beside this file, with the repair.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from apps.mqtt.tests.fuzz_codec import MISSING, SEEDS, tried
from apps.mqtt.tests.running import ROOT
from apps.mqtt.tests.test_decode import BAD, GOOD

WRITTEN = [bytes.fromhex(text) for text, _ in (*GOOD, *BAD)] + SEEDS
CASES = [bytes((how,)) + stream for stream in WRITTEN for how in (0, 1, 6, 7)]  # both versions; one byte each, and four
KEPT = [path.read_bytes() for path in sorted(Path(__file__).with_name("examples").glob("*"))]


@pytest.mark.parametrize("raw", CASES + KEPT, ids=bytes.hex)
def test_bytes_are_packets_or_malformed_however_they_are_cut(raw: bytes) -> None:
    tried(raw)


@pytest.mark.skipif(find_spec("atheris") is None, reason=MISSING)
def test_atheris_makes_no_bytes_that_break_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "apps.mqtt.tests.fuzz_codec", "-seed=1", "-runs=60000"]
    argv += [f"-artifact_prefix={tmp_path}/", str(corpus := tmp_path / "corpus")]
    corpus.mkdir()
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 60000 runs" in done.stderr
    assert len(list(corpus.iterdir())) > len(SEEDS)  # it did find new ways
