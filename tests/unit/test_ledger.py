"""An append-only, hash-chained ledger: the real one in SQLite, and the model's, held to the same sentences."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from controller.errors import Conflict, Unreachable
from controller.ledgers.sqlite import Leadership, SqliteLedger
from controller.ports import Ledger
from controller.rollout import rows
from tests.model.ledgers import MemoryLedger


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return SqliteLedger(tmp_path / "ledger.db", lambda: 1.5) if request.param == "sqlite" else MemoryLedger()


# ---- what every ledger keeps --------------------------------------------------------------------------------------


def test_rows_come_back_in_their_order(ledger: Ledger) -> None:
    for word in ("one", "two", "three"):
        ledger.append(rows.MOMENT, {"text": word}, 1)

    assert [(row.n, row.body["text"]) for row in ledger.rows()] == [(1, "one"), (2, "two"), (3, "three")]
    assert [row.n for row in ledger.rows(after=1)] == [2, 3]
    assert [row.n for row in ledger.rows(after=0, kind=rows.SEEN)] == []


def test_a_row_follows_the_row_that_its_writer_read(ledger: Ledger) -> None:
    first = ledger.append(rows.LEAD, {}, 1, rows.GENESIS)
    ledger.append(rows.ORDER, {"verb": "abort"}, 0)

    with pytest.raises(Conflict):
        ledger.append(rows.ROLLOUT, {}, 1, first.hash)

    newest = ledger.rows()[-1].hash
    assert ledger.append(rows.ROLLOUT, {}, 1, newest).n == 3


def test_an_older_generation_is_refused(ledger: Ledger) -> None:
    ledger.append(rows.LEAD, {}, 2, rows.GENESIS)

    with pytest.raises(Conflict, match="generation 2 leads now"):
        ledger.append(rows.ROLLOUT, {}, 1, ledger.rows()[-1].hash)


def test_an_order_begun_before_a_take_over_hides_it_from_nobody(ledger: Ledger) -> None:
    """Its writer read generation 1, and then generation 2 led: the order must not let the old leader in again."""
    ledger.append(rows.LEAD, {}, 2, rows.GENESIS)
    ledger.append(rows.ORDER, {"verb": "hold"}, 1)

    with pytest.raises(Conflict, match="generation 2 leads now"):
        ledger.append(rows.ROLLOUT, {}, 1, ledger.rows()[-1].hash)
    assert ledger.rows()[-1].generation == 2


# ---- on disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


def filled(path: Path, count: int = 4) -> SqliteLedger:
    made = SqliteLedger(path, lambda: 1700000000.25)
    for i in range(count):
        made.append(rows.MOMENT, {"text": f"ö {i}", "t": i / 3}, 1)
    return made


def test_another_process_reads_what_one_wrote(path: Path) -> None:
    written = filled(path).rows()

    assert SqliteLedger(path, lambda: 0.0).rows() == written
    assert written[0].at == 1700000000.25


def test_a_whole_chain_is_whole(path: Path) -> None:
    assert filled(path).broken_at() is None
    assert filled(path, 0).rows()[-1].n == 4


@pytest.mark.parametrize(
    ("change", "n"),
    [
        ('UPDATE rows SET body = \'{"text":"better"}\' WHERE n = 2', 2),
        ("UPDATE rows SET at = at + 1 WHERE n = 1", 1),
        ("UPDATE rows SET generation = 9 WHERE n = 3", 3),
        ("DELETE FROM rows WHERE n = 2", 3),
    ],
)
def test_a_changed_or_missing_row_is_found(path: Path, change: str, n: int) -> None:
    ledger = filled(path)
    with sqlite3.connect(path) as forger:
        forger.execute("DROP TRIGGER append_only_update")
        forger.execute("DROP TRIGGER append_only_delete")
        forger.execute(change)

    assert ledger.broken_at() == n


@pytest.mark.parametrize("change", ["UPDATE rows SET body = '{}' WHERE n = 1", "DELETE FROM rows WHERE n = 1"])
def test_the_file_itself_refuses_to_forget(path: Path, change: str) -> None:
    filled(path)
    with sqlite3.connect(path) as someone, pytest.raises(sqlite3.IntegrityError, match="a ledger is append-only"):
        someone.execute(change)


def test_a_full_disk_is_a_sentence_and_half_a_row_is_never_kept(path: Path) -> None:
    ledger = filled(path)
    ledger._db.execute(f"PRAGMA max_page_count = {ledger._db.execute('PRAGMA page_count').fetchone()[0]}")

    with pytest.raises(Unreachable) as full:
        for _ in range(50):
            ledger.append(rows.MOMENT, {"text": "x" * 5000}, 1)

    assert str(full.value) == (
        f"writing the ledger {path}: database or disk is full. Check the disk; actions toward last good go on."
    )
    assert ledger.broken_at() is None
    ledger._db.execute("PRAGMA max_page_count = 100000")
    assert ledger.append(rows.MOMENT, {"text": "room again"}, 1).n == len(ledger.rows())


def test_a_ledger_that_cannot_be_opened_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")

    with pytest.raises(Unreachable, match=r"Check the disk and who owns the file\.$"):
        SqliteLedger(tmp_path / "state" / "ledger.db", lambda: 0.0)


def test_a_file_that_is_no_ledger_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else entirely" * 100)

    with pytest.raises(Unreachable, match="not a database"):
        SqliteLedger(path, lambda: 0.0)
    assert path.read_bytes() == b"something else entirely" * 100


def append_orders(path: Path, count: int) -> None:
    ledger = SqliteLedger(path, lambda: 0.0)
    for _ in range(count):
        ledger.append(rows.ORDER, {"verb": "hold"}, 0)


def test_orders_of_several_processes_are_all_kept_in_one_chain(path: Path) -> None:
    ledger = filled(path, 1)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_orders, args=(path, 10)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [row.n for row in ledger.rows()] == list(range(1, 32))
    assert ledger.broken_at() is None


# ---- leading ------------------------------------------------------------------------------------------------------


def test_a_second_leader_is_refused_with_the_first_one_s_pid(tmp_path: Path) -> None:
    with Leadership(tmp_path / "prod" / "leader.lock"):
        with pytest.raises(Conflict) as refused, Leadership(tmp_path / "prod" / "leader.lock"):
            pass
        assert str(refused.value) == (
            f"{tmp_path / 'prod'}: the controller with pid {os.getpid()} leads it. Stop that one first, or use it."
        )


def test_leading_ends_when_it_is_left(tmp_path: Path) -> None:
    with Leadership(tmp_path / "leader.lock"):
        pass
    with Leadership(tmp_path / "leader.lock"):
        pass
    assert (tmp_path / "leader.lock").read_text() == f"{os.getpid()}\n"


def test_leaving_what_was_never_led_does_no_harm(tmp_path: Path) -> None:
    Leadership(tmp_path / "leader.lock").__exit__(None, None, None)
