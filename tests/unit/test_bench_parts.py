"""What must be right of the bench before it measures anything: its promises, its peers, its traces and its changes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.bench import changes
from tests.bench.judges import higher, mann_whitney, ours, threshold
from tests.bench.result import Line, Part, high, write
from tests.bench.traces import SECONDS, Case, poisson, trace

ROOT = Path(__file__).parents[2]
HARMLESS = Case("", 10, 90, 0.0002)
GROSS = Case("", 10, 90, 0.002, 0.5)
INCIDENT = Case("", 10, 90, 0.0, incident=0.3)


def part(*lines: Line) -> Part:
    return Part("shape", "a part", list(lines))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (Line("a", "a", 1.0), None),
        (Line("a", "a", 1.0, at_most=1.0), True),
        (Line("a", "a", 1.01, at_most=1.0), False),
        (Line("a", "a", 1.0, at_least=1.0), True),
        (Line("a", "a", 0.9, at_least=1.0), False),
    ],
)
def test_a_promise_is_held_against_its_figure(line: Line, kept: bool | None) -> None:
    assert line.kept is kept
    assert part(line).kept is (kept is not False)


def test_a_part_that_was_not_measured_to_its_end_kept_nothing() -> None:
    broken = part(Line("a", "a", 1.0, at_most=2.0))
    broken.broken = "the machine stood still"
    assert not broken.kept
    assert "NOT MEASURED TO ITS END: the machine stood still" in broken.table()


def test_the_file_holds_every_figure_and_every_number_beside_it(tmp_path: Path) -> None:
    beside = (("socket round trip", 0.001), ("a design without", "never"))
    line = Line("off", "traffic off", 0.5, "s", beside, at_most=2)
    file = tmp_path / "build" / "bench.json"
    assert write([part(line)], file, "python -m tests.bench")
    said = json.loads(file.read_text())
    assert said["kept"] is True
    assert said["figures"] == {"shape.off": 0.5, "shape.off.socket_round_trip": 0.001}
    assert {"commit", "date", "command"} <= said.keys()


def test_the_table_says_what_was_not_kept() -> None:
    (row,) = [row for row in part(Line("off", "traffic off", 3.0, at_most=2.0)).table().splitlines() if "off" in row]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["traffic off", "3 s", "", "≤ 2 s", "NO"]


def test_a_high_value_is_one_that_was_measured() -> None:
    assert high(range(1, 101)) == 95
    assert high([7.0]) == 7.0


def test_the_ranks_say_what_is_known_of_small_samples() -> None:
    assert higher([4, 5, 6], [1, 2, 3]) == pytest.approx(0.0404, abs=1e-4)  # U = 9: normal, continuity corrected
    assert higher([1, 2, 3], [4, 5, 6]) > 0.95
    assert higher([0, 0, 0], [0, 0, 0]) == 1.0


def test_all_judges_see_gross_harm_and_only_ours_and_ranks_see_through_an_incident() -> None:
    gross = list(trace(GROSS, Random(1)))
    seconds, _ = ours(gross)
    assert seconds is not None
    assert seconds <= 5
    assert (threshold(gross), mann_whitney(gross)) == (10, SECONDS)
    incident = list(trace(INCIDENT, Random(2)))
    assert (ours(incident)[0], mann_whitney(incident)) == (None, None)
    assert threshold(incident) == 30


def test_a_pass_says_what_it_would_have_seen() -> None:
    reverted, sees_from = ours(trace(HARMLESS, Random(3)))
    assert reverted is None
    assert sees_from is not None
    assert 0 < sees_from < 0.1


def test_traces_have_the_rates_they_are_asked_for() -> None:
    random = Random(4)
    for mean in (0.05, 3.0, 59.0, 400.0):
        drawn = [poisson(mean, random) for _ in range(2000)]
        assert sum(drawn) / len(drawn) == pytest.approx(mean, abs=5 * (mean / 2000) ** 0.5)


@pytest.mark.parametrize("kind", [None, *changes.KINDS])
def test_every_change_of_the_bench_fits_the_sources_and_is_python(kind: str | None) -> None:
    change = changes.good(1) if kind is None else changes.bad(kind, 1)
    changed = change.applied((ROOT / change.path).read_text())
    compile(changed, change.path, "exec")
    other = changes.good(2) if kind is None else changes.bad(kind, 2)
    assert other.applied((ROOT / change.path).read_text()) != changed, "each number is another release"
