"""What must hold for any bytes, tried on those that are written down and on each that broke the codec once.

Who looks for new ones is ``make fuzz``. What it finds is copied into `examples` beside this file, with the repair.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.mqtt.tests.fuzz_codec import SEEDS, tried
from apps.mqtt.tests.test_decode import BAD, GOOD

WRITTEN = [bytes.fromhex(text) for text, _ in (*GOOD, *BAD)] + SEEDS
CASES = [bytes((how,)) + stream for stream in WRITTEN for how in (0, 1, 6, 7)]  # both versions; one byte each, and four
KEPT = [path.read_bytes() for path in sorted(Path(__file__).with_name("examples").glob("*"))]


@pytest.mark.parametrize("raw", CASES + KEPT, ids=bytes.hex)
def test_bytes_are_packets_or_malformed_however_they_are_cut(raw: bytes) -> None:
    tried(raw)
