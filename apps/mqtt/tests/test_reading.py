"""What payloads mean, and by which name a reading goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.mqtt.readings.reading import Reading, Unreadable, identity, read

READABLE = [
    (b'{"reading": 21.5, "seq": 7}', Reading(21.5, 7, 0)),
    (b'{"reading": 21, "seq": 0, "epoch": 3, "ts": 1795499692651}', Reading(21, 0, 3, 1795499692651)),
    (b'{"reading": -1e308, "seq": 9223372036854775807}', Reading(-1e308, 2**63 - 1, 0)),
    (b'{"reading": -9223372036854775808, "seq": 1}', Reading(-(2**63), 1, 0)),
    (b'{"ts": 0, "seq": 1, "reading": 0}', Reading(0, 1, 0, 0)),
    (b' \n{"reading":1,"seq":1}\n', Reading(1, 1, 0)),
    (b"42", Reading(42)),
    (b" -42\n", Reading(-42)),
    (b"+42", Reading(42)),
    (b"-9223372036854775808", Reading(-(2**63))),
]

UNREADABLE = [
    (b"", "neither a JSON object nor an integer"),
    (b"\xff\xfe", "not UTF-8"),
    (b"21.5", "neither a JSON object nor an integer"),
    (b"null", "neither a JSON object nor an integer"),
    (b"[1]", "neither a JSON object nor an integer"),
    (b'"42"', "neither a JSON object nor an integer"),
    (b'{"reading": 1, "seq": 1', "neither a JSON object nor an integer"),
    (b'{"reading": 1, "seq": 1} x', "neither a JSON object nor an integer"),
    (b"9223372036854775808", "over 64 bits"),
    (b'{"seq": 1}', "reading is missing"),
    (b'{"reading": 1}', "seq is missing"),
    (b'{"reading": "1", "seq": 1}', "reading is not a number"),
    (b'{"reading": null, "seq": 1}', "reading is not a number"),
    (b'{"reading": true, "seq": 1}', "reading is not a number"),
    (b'{"reading": NaN, "seq": 1}', "NaN is not a number"),
    (b'{"reading": -Infinity, "seq": 1}', "-Infinity is not a number"),
    (b'{"reading": 1e999, "seq": 1}', "reading is not finite"),
    (b'{"reading": 9223372036854775808, "seq": 1}', "reading is not between"),
    (b'{"reading": ' + b"9" * 5000 + b', "seq": 1}', "neither a JSON object nor an integer"),
    (b'{"reading": 1, "seq": -1}', "seq is not between"),
    (b'{"reading": 1, "seq": 9223372036854775808}', "seq is not between"),
    (b'{"reading": 1, "seq": 1.0}', "seq is not an integer"),
    (b'{"reading": 1, "seq": true}', "seq is not an integer"),
    (b'{"reading": 1, "seq": 1, "epoch": null}', "epoch is not an integer"),
    (b'{"reading": 1, "seq": 1, "ts": "now"}', "ts is not an integer"),
    (b'{"reading": 1, "seq": 1, "ts": 253402300800000}', "ts is not between"),
    (b'{"reading": 1, "seq": 1, "seq": 2}', "appears twice"),
    (b'{"reading": 1, "_pk": "BOS", "seq": 1, "s\\u0065q": 2}', "appears twice"),
    (b'{"reading": 1, "seq": 1, "_pk": "BOS", "_pk": "BOS"}', "appears twice"),
    (b'{"reading": 1, "seq": 1, "unit": "C"}', "'unit' is not known"),
]


@pytest.mark.parametrize(("payload", "reading"), READABLE)
def test_readable(payload: bytes, reading: Reading) -> None:
    found = read(payload, "BOS")
    assert found == reading
    assert isinstance(found, Reading)
    assert type(found.value) is type(reading.value)


@pytest.mark.parametrize(("payload", "reason"), UNREADABLE, ids=[str(number) for number in range(len(UNREADABLE))])
def test_unreadable_says_why(payload: bytes, reason: str) -> None:
    found = read(payload, "BOS")
    assert isinstance(found, Unreadable)
    assert reason in found.reason
    assert len(found.reason) < 120


@pytest.mark.parametrize("payload", [b"[" * 15_000, b'{"reading":' * 1400])
def test_what_is_nested_deeply_is_unreadable_by_every_python(payload: bytes) -> None:
    found = read(payload, "BOS")
    assert isinstance(found, Unreadable)  # how deep is too deep is Python's; neither is whole
    assert found.reason in ("the payload is nested too deeply", "the payload is neither a JSON object nor an integer")


@given(st.binary(max_size=200))
def test_reading_never_raises(payload: bytes) -> None:
    assert isinstance(read(payload, "BOS"), Reading | Unreadable)


def test_a_reading_has_one_name_and_every_part_of_it_matters() -> None:
    first = identity("BOS", "d1", Reading(1, 7, 0))
    assert len(first) == 12
    assert first == identity("BOS", "d1", Reading(2.5, 7, 0, 99))  # the value is not part of the name
    others = [("DFW", "d1", 7, 0), ("BOS", "d2", 7, 0), ("BOS", "d1", 8, 0), ("BOS", "d1", 7, 1), ("BOS", "d1", 0, 7)]
    names = {identity(zone, device, Reading(1, seq, epoch)) for zone, device, seq, epoch in others}
    assert len(names | {first}) == 6


def test_what_one_device_counts_has_names_side_by_side_and_none_twice() -> None:
    around = [*range(3), *range(2**24 - 2, 2**24 + 2), 2**48, 2**63 - 1]
    names = [identity("BOS", "d1", Reading(1, seq, 5)) for seq in around]
    assert len(set(names)) == len(around)
    assert len({name[:9] for name in names[:5]}) == 1
    assert names[:5] == sorted(names[:5])
    others = {identity("BOS", device, Reading(1, 1, epoch))[:9] for device in ("d1", "d2") for epoch in (5, 6)}
    assert len(others) == 4


def test_a_bare_integer_gets_a_name_of_its_own_each_time() -> None:
    assert identity("BOS", "d1", Reading(42)) != identity("BOS", "d1", Reading(42))
