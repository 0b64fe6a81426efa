"""The store: what a batch becomes, what is newest, what a failed commit leaves, who may open it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from apps.mqtt.disk.layout import FILE, SCHEMA, StoreRefused
from apps.mqtt.disk.progress import DeadLetter, Progress, ProgressReader, ProgressWriter
from apps.mqtt.disk.queries import Reader
from apps.mqtt.disk.store import Arrival, Store, Tally
from apps.mqtt.readings.reading import Reading, identity, read


def arrival(payload: bytes, device: str = "d1", rts: int = 1000) -> Arrival:
    content = read(payload, "BOS")
    name = identity("BOS", device, content) if isinstance(content, Reading) else None
    return Arrival(device, f"f/BOS/{device}/t", payload, content, name, rts)


def numbered(seq: int, value: float = 1, epoch: int = 0, device: str = "d1") -> Arrival:
    return arrival(f'{{"reading": {value}, "seq": {seq}, "epoch": {epoch}}}'.encode(), device)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path, "BOS", quarantine_rows=5)
    yield opened
    opened.close()


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[Reader]:
    opened = Reader(tmp_path)
    yield opened
    opened.close()


def test_a_batch_is_told_apart(store: Store, reader: Reader) -> None:
    batch = [numbered(1), numbered(2), numbered(1), arrival(b"garbage"), arrival(b"42")]
    assert store.commit(batch) == Tally(committed=3, duplicates=1, quarantined=1)
    assert store.commit([numbered(2), numbered(3)]) == Tally(committed=1, duplicates=1)
    assert [(row.n, row.seq, row.reading) for row in reader.page(0, 10)] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, None, 42),
        (4, 3, 1),
    ]
    assert reader.snapshot(0).stored == 4


def test_one_batch_leaves_what_its_messages_would_have_left_one_by_one(tmp_path: Path) -> None:
    chance = random.Random(7)
    for round in range(8):
        bare = 0.1 if round % 2 else 0.0
        batch = [
            arrival(b"%d" % chance.randrange(9), f"d{chance.randrange(5)}", rts)
            if chance.random() < bare
            else numbered(chance.randrange(400), rts, chance.randrange(3), f"d{chance.randrange(5)}")
            for rts in range(chance.choice([1, 19, 20, 221, 437]))
        ]
        found = []
        for name, parts in (("whole", [batch]), ("apart", [[each] for each in batch])):
            with closing(Store(tmp_path / f"{name}{round}", "BOS", quarantine_rows=1000)) as each:
                for part in parts:
                    each.commit(part)
            with closing(Reader(tmp_path / f"{name}{round}")) as reader:
                found.append((reader.page(0, 1000), reader.newest(), reader.snapshot(0)))
        assert found[0] == found[1], (round, len(batch))


def test_numbers_have_no_gaps_after_duplicates_failures_and_a_restart(
    store: Store, reader: Reader, tmp_path: Path
) -> None:
    store.commit([numbered(1)])
    store.commit([numbered(1), arrival(b"garbage")])
    broken = Arrival("d1", "t", b"", Reading(1, 9, 0), b"x" * 12, 2**70)  # SQLite has no such integer
    with pytest.raises(OverflowError):
        store.commit([numbered(2), broken])
    store.commit([numbered(2)])
    store.close()
    again = Store(tmp_path, "BOS", quarantine_rows=5)
    assert again.commit([numbered(3), numbered(4)]) == Tally(committed=2)
    assert [row.n for row in reader.page(0, 10)] == [1, 2, 3, 4]
    again.close()


def test_another_reading_under_a_taken_number_is_kept_aside_not_called_a_duplicate(
    store: Store, tmp_path: Path
) -> None:
    assert store.commit([numbered(1, 20.5)]) == Tally(committed=1)
    assert store.commit([numbered(1, 99.0), numbered(1, 20.5)]) == Tally(duplicates=1, quarantined=1)
    assert store.commit([numbered(2, 1), numbered(2, 2)]) == Tally(committed=1, quarantined=1)
    with sqlite3.connect(tmp_path / FILE) as db:
        reasons = db.execute("SELECT reason, payload FROM quarantine ORDER BY n").fetchall()
    assert [reason for reason, _ in reasons] == ["another reading has this epoch and seq"] * 2
    assert b"99.0" in reasons[0][1]


def test_kinds_and_extremes_of_numbers_come_back_as_they_came(store: Store, reader: Reader) -> None:
    values = [21, 21.0, -(2**63), 2**63 - 1, 5e-324, 1.7976931348623157e308, -0.0]
    store.commit([arrival(f'{{"reading": {value!r}, "seq": {seq}}}'.encode()) for seq, value in enumerate(values)])
    back = [row.reading for row in reader.page(0, 100)]
    assert [repr(value) for value in back] == [repr(value) for value in values]


@pytest.mark.parametrize(
    ("order", "newest"),
    [
        ([numbered(1, 10), numbered(2, 20)], 20),
        ([numbered(2, 20), numbered(1, 10)], 20),  # late, so not the newest
        ([numbered(9, 90, epoch=1), numbered(1, 11, epoch=2)], 11),  # a restart counts from the beginning
        ([numbered(1, 11, epoch=2), numbered(9, 90, epoch=1)], 11),
        ([arrival(b"1"), arrival(b"2")], 2),
        ([numbered(5, 50), arrival(b"2")], 2),
        ([arrival(b"2"), numbered(5, 50)], 50),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_newest_is_what_the_device_numbered_last(
    store: Store, reader: Reader, order: list[Arrival], newest: int, together: bool
) -> None:
    for batch in [order] if together else [[one] for one in order]:
        store.commit(batch)
    latest = reader.latest("d1")
    assert latest is not None
    assert latest.reading == newest
    assert reader.latest("d2") is None


def test_pages_follow_one_device_or_all(store: Store, reader: Reader) -> None:
    store.commit([numbered(seq, device=f"d{seq % 2}") for seq in range(10)])
    assert [row.n for row in reader.page(0, 3)] == [1, 2, 3]
    assert [row.n for row in reader.page(3, 3)] == [4, 5, 6]
    assert [row.n for row in reader.page(4, 100, "d1")] == [6, 8, 10]
    assert reader.page(10, 100) == []


def test_quarantine_keeps_the_newest_and_counts_what_it_dropped(store: Store, reader: Reader, tmp_path: Path) -> None:
    for number in range(8):
        store.commit([arrival(b"bad %d" % number + b"x" * 5000)])
    with sqlite3.connect(tmp_path / FILE) as db:
        rows = db.execute("SELECT substr(payload, 1, 5), length(payload), payload_bytes FROM quarantine").fetchall()
    assert rows == [(b"bad %d" % number, 4096, 5005) for number in range(3, 8)]
    assert reader.snapshot(0).quarantine_dropped == 3


def test_a_commit_that_does_not_fit_leaves_nothing_and_later_ones_work(tmp_path: Path) -> None:
    small = Store(tmp_path, "BOS", quarantine_rows=5, max_store_bytes=30 * 4096)
    reader = Reader(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        small.commit([numbered(seq) for seq in range(5000)])
    assert reader.page(0, 10) == []
    assert small.commit([numbered(1)]) == Tally(committed=1)
    assert reader.snapshot(0).stored == 1
    reader.close()
    small.close()


def test_a_second_opener_is_refused_with_a_sentence(store: Store, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from apps.mqtt.disk.store import Store;"
        "Store(Path(sys.argv[1]), 'BOS', quarantine_rows=5)"
    )
    second = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "StoreRefused: Another process uses" in second.stderr


def test_another_zone_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()
    with pytest.raises(StoreRefused, match="belongs to zone BOS, not to DFW"):
        Store(tmp_path, "DFW", quarantine_rows=5)


def test_an_unknown_data_version_is_refused_untouched(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreRefused, match="holds data version 9 and this release reads 1"):
        Store(tmp_path, "BOS", quarantine_rows=5)
    with pytest.raises(StoreRefused, match="version 9"):  # the refusal let go of the lock
        Store(tmp_path, "BOS", quarantine_rows=5)


def test_progress_and_its_dead_letters_change_together(tmp_path: Path) -> None:
    outside = ProgressReader(tmp_path)
    assert outside.read() == Progress()
    writer = ProgressWriter(tmp_path)
    assert outside.read() == Progress()
    letter = DeadLetter(4, b"x" * 12, "{}", "121: refused")
    writer.advance(10, 9, [letter])
    writer.count_error()
    assert outside.read() == writer.now == Progress(cursor=10, forwarded=9, dead_letter=1, far_errors=1)
    with pytest.raises(sqlite3.IntegrityError):
        writer.advance(20, 9, [letter])
    assert outside.read().cursor == 10
    writer.close()
    assert ProgressWriter(tmp_path).now.cursor == 10


def test_backlog_is_counted_from_the_rows(store: Store, reader: Reader) -> None:
    store.commit([numbered(seq) for seq in range(7)])
    seen = reader.snapshot(5)
    assert (seen.stored, seen.backlog, seen.oldest_unsynced_rts) == (7, 2, 1000)
    assert reader.snapshot(7).oldest_unsynced_rts is None


FORMER_INSERT = "INSERT INTO readings (n, id, device, epoch, seq, reading, ts, rts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
FORMER_PAGE = "SELECT n, id, device, epoch, seq, reading, ts, rts FROM readings WHERE n > ? ORDER BY n LIMIT ?"


def test_a_file_goes_back_and_forth_between_this_release_and_one_from_before_subscribers(tmp_path: Path) -> None:
    """What a rollout and its revert do: a backlog of each release is read by the other."""
    with sqlite3.connect(tmp_path / FILE) as former:
        former.executescript(f"{SCHEMA} PRAGMA user_version = 1; INSERT INTO about VALUES ('BOS');")
        former.execute(FORMER_INSERT, (1, b"a" * 12, "d1", 0, 1, 20.5, 7, 1000))
        former.execute("UPDATE totals SET stored = 1")
    store = Store(tmp_path, "BOS", quarantine_rows=5)
    store.commit([numbered(2)])
    store.close()
    with sqlite3.connect(tmp_path / FILE) as former:
        assert former.execute("PRAGMA user_version").fetchone() == (1,)
        assert [row[4] for row in former.execute(FORMER_PAGE, (0, 10))] == [1, 2]
        former.execute(FORMER_INSERT, (3, b"c" * 12, "d1", 0, 3, 1, None, 1000))
        former.execute("UPDATE totals SET stored = 3")
    store, reader = Store(tmp_path, "BOS", quarantine_rows=5), Reader(tmp_path)
    assert store.commit([numbered(4)]) == Tally(committed=1)
    assert [row.seq for row in reader.page(0, 10)] == [1, 2, 3, 4]
    assert [message.payload for message in reader.published("readings", 0, 10)] == [
        b'{"reading": 20.5, "seq": 1, "epoch": 0, "ts": 7}',
        numbered(2).payload,
        b'{"reading": 1, "seq": 3, "epoch": 0}',
        numbered(4).payload,
    ]
    store.close()
