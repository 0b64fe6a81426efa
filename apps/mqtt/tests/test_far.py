"""What the far store's answers mean: there, refused for what it is, or nobody knows. And how eagerly to ask again."""

from __future__ import annotations

from typing import Any

import pytest

from apps.mqtt.disk.queries import Row
from apps.mqtt.syncing.far import UNKNOWN_TRIES, Far, Unreachable
from apps.mqtt.syncing.sync import BackOff
from apps.mqtt.syncing.up import Batch

ROWS = [Row(n, bytes([n]) * 12, "d1", 0, n, 1, None, 1000) for n in range(1, 6)]


@pytest.fixture
def far() -> Far:
    return Far("mongodb://127.0.0.1:1/", "BOS")  # connects only when it is asked to write


def failed(index: int, code: int, **more: Any) -> dict[str, Any]:
    return {"index": index, "code": code, "errmsg": "the server's words", **more}


def test_what_is_there_already_is_settled(far: Far) -> None:
    errors = [failed(0, 11000), failed(3, 11000, keyPattern={"_id": 1})]
    assert far.refusals(ROWS, {"writeErrors": errors}) == {}


def test_a_duplicate_of_another_key_is_a_refusal(far: Far) -> None:
    assert list(far.refusals(ROWS, {"writeErrors": [failed(2, 11000, keyPattern={"device": 1})]})) == [2]


def test_what_the_validator_refuses_is_named(far: Far) -> None:
    errors = [failed(0, 11000), failed(1, 121), failed(4, 10334)]
    assert far.refusals(ROWS, {"writeErrors": errors}) == {1: "121: the server's words", 4: "10334: the server's words"}


@pytest.mark.parametrize("code", [13, 91, 189, 8000, 10107, 14031])
def test_what_is_about_the_server_refuses_nothing_however_often(far: Far, code: int) -> None:
    for _ in range(UNKNOWN_TRIES * 2):
        with pytest.raises(Unreachable):
            far.refusals(ROWS, {"writeErrors": [failed(1, 121), failed(2, code)]})


def test_a_majority_that_did_not_answer_settles_nothing(far: Far) -> None:
    with pytest.raises(Unreachable, match="majority"):
        far.refusals(ROWS, {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timed out"}]})


def test_an_answer_nobody_knows_blocks_the_queue_only_for_some_tries(far: Far) -> None:
    for _ in range(UNKNOWN_TRIES - 1):
        with pytest.raises(Unreachable):
            far.refusals(ROWS, {"writeErrors": [failed(2, 99_999)]})
    assert list(far.refusals(ROWS, {"writeErrors": [failed(2, 99_999)]})) == [2]
    with pytest.raises(Unreachable):  # of another reading, it has to be said as often again
        far.refusals(ROWS, {"writeErrors": [failed(3, 99_999)]})


def test_a_batch_grows_while_it_is_answered_quickly_and_shrinks_when_it_fails() -> None:
    batch = Batch(2000)
    sizes = []
    for _ in range(4):
        batch.answered(batch.size, 0.1)
        sizes.append(batch.size)
    assert sizes == [1000, 2000, 2000, 2000]
    batch.answered(batch.size, 5.0)
    batch.answered(10, 0.1)
    assert batch.size == 2000
    for _ in range(9):
        batch.failed()
    assert batch.size == 50
    assert Batch(20).size == 20


def test_waits_double_up_to_five_seconds_and_begin_anew() -> None:
    back_off = BackOff()
    waits = [back_off.next() for _ in range(20)]
    assert 0.02 <= waits[0] <= 0.05
    assert 2.5 <= waits[-1] <= 5.0
    back_off.reset()
    assert back_off.next() <= 0.05
