"""What must be right of the bench before it measures anything: its promises, its peers, its traces and its changes."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import reduce
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest

from controller.judge.samples import Counts, plus
from tests.bench import changes, pictures
from tests.bench.judges import higher, lane, mann_whitney, ours, series, threshold
from tests.bench.result import Line, Part, high, write
from tests.bench.tick import LANE, ticks
from tests.bench.traces import SECONDS, poisson, slow_share, trace
from tests.bench.traffic import Harm, Hot, Incident, Retries, Spells, Traffic, read, shapes
from tests.bench.trials import tried

ROOT = Path(__file__).parents[2]
STEADY = Traffic("steady", "", 1, 10, 90, 0.002)
HARMLESS = replace(STEADY, bad=0.0002)
GROSS = replace(STEADY, harm=Harm(bad=0.5))
INCIDENT = replace(STEADY, bad=0.0, incident=Incident(at=20, bad=0.3))


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
    seconds = ours(gross, lane()).second
    assert seconds is not None
    assert seconds <= 5
    given = series(gross, "errors")
    assert (threshold(given), mann_whitney(given)) == (10, SECONDS)
    incident = list(trace(INCIDENT, Random(2)))
    given = series(incident, "errors")
    assert (ours(incident, lane()).second, mann_whitney(given)) == (None, None)
    assert threshold(given) == 30


@pytest.mark.parametrize(
    ("checks", "harm"),
    [(("slow",), Harm(slower=3.0)), (("silence",), Harm(lost=1.0)), (("errors", "slow", "silence"), Harm(bad=0.5))],
)
def test_every_judge_is_given_what_each_check_counts(checks: tuple[str, ...], harm: Harm) -> None:
    found = tried(replace(STEADY, checks=checks, harm=harm), 3)
    assert [found.share(judge) for judge in range(3)] == [1.0, 1.0, 1.0]
    harmless = tried(replace(STEADY, checks=checks), 3)
    assert harmless.share(0) == 0.0


def test_a_pass_says_what_it_would_have_seen() -> None:
    said = ours(trace(HARMLESS, Random(3)), lane(), passes=True)
    assert said.second is None
    assert said.sees_from is not None
    assert 0 < said.sees_from < 0.1


def test_a_revert_says_what_was_harmed_and_what_the_evidence_needs() -> None:
    said = ours(trace(GROSS, Random(4)), lane())
    assert said.needed > 0
    assert said.harmed >= said.needed


def test_harm_that_begins_late_is_timed_from_its_beginning() -> None:
    found = tried(replace(STEADY, harm=Harm(bad=1.0, since=30)), 5)
    assert found.share(0) == 1.0
    assert all(1 <= second <= 10 for second in found.seconds(0))


def test_watches_are_the_same_however_they_are_shared_out() -> None:
    with ProcessPoolExecutor(2) as pool:
        assert tried(GROSS, 130, pool) == tried(GROSS, 130)


# ---- traffic ------------------------------------------------------------------------------------------------------


def drawn(traffic: Traffic, watches: int = 60) -> Counts:
    """Everything that the canary counted."""
    return reduce(
        plus, (cell.canary for run in range(watches) for s in trace(traffic, Random(run)) for cell in s.cells)
    )


def test_steady_traffic_has_its_rate_and_its_share() -> None:
    counts = drawn(replace(STEADY, bad=0.1))
    assert counts.total / 3600 == pytest.approx(10, rel=0.05)
    assert counts.bad / counts.total == pytest.approx(0.1, rel=0.1)


def test_a_client_that_retries_is_one_client_and_many_bad_events() -> None:
    counts = drawn(replace(STEADY, bad=0.02, retries=Retries(more=3.0)))
    assert counts.bad / counts.bad_clients == pytest.approx(4, rel=0.2)


def test_a_client_that_goes_on_retrying_in_the_next_seconds_is_still_one() -> None:
    counts = drawn(replace(STEADY, bad=0.02, retries=Retries(more=0.0, spill=0.5)))
    assert counts.bad / counts.bad_clients == pytest.approx(2, rel=0.2)


def test_few_clients_make_many_events_and_are_as_many() -> None:
    counts = drawn(replace(STEADY, clients=0.5))
    assert counts.total / 3600 == pytest.approx(10, rel=0.05)
    assert counts.clients / 3600 == pytest.approx(4.3, rel=0.1)  # of five, in a second of ten events


def test_a_hot_device_makes_its_share_of_events_and_all_of_them_fail_at_once() -> None:
    counts = drawn(replace(STEADY, bad=0.05, hot=Hot(share=0.5)))
    assert counts.clients / counts.total == pytest.approx(0.6, rel=0.1)  # five others and itself, of ten events
    assert counts.bad / counts.total == pytest.approx(0.05, rel=0.3)
    assert counts.bad > 1.5 * counts.bad_clients


def test_swelling_traffic_and_a_ramp_bring_more_events() -> None:
    assert drawn(replace(STEADY, swell=Spells(every=5, seconds=5, times=5))).total > 2 * drawn(STEADY).total
    first, *_, last = trace(replace(STEADY, ramp=(0.1, 10.0)), Random(1))
    assert last.cells[0].control.total > 50 * first.cells[0].control.total


def test_latency_that_doubles_puts_four_of_ten_over_the_slowest_twentieth() -> None:
    assert slow_share(1.0) == pytest.approx(0.05, abs=1e-4)
    assert slow_share(2.0) == pytest.approx(0.40, abs=0.01)


def test_a_third_of_the_harmless_shapes_that_are_promised_is_held_out() -> None:
    harmless, harmful = shapes()
    promised = [traffic for traffic in harmless if traffic.promised]
    assert sum(traffic.held_out for traffic in promised) >= len(promised) / 3
    both = [*harmless, *harmful]
    assert len({traffic.seed for traffic in both}) == len({traffic.name for traffic in both}) == len(both)
    assert all(traffic.harm is None for traffic in harmless)
    assert all(traffic.harm is not None for traffic in harmful)


def test_a_key_that_no_shape_has_is_named_with_its_shape() -> None:
    with pytest.raises(ValueError, match=r"traffic\.toml: odd: .*'wobble'"):
        read({"name": "odd", "says": "", "seed": 1, "canary": 1, "control": 1, "bad": 0.0, "wobble": 3})


def test_the_pictures_are_drawn_from_what_was_found(tmp_path: Path) -> None:
    alarms = [(replace(STEADY, says="as ever"), (0.001, 0.5, 0.0))]
    power, limits = [(0.002, (0.0, 0.5, 0.0)), (0.2, (1.0, 1.0, 1.0))], [(2.0, 0.05, 0.97), (10.0, 0.01, 1.0)]
    pictures.draw(tmp_path, alarms, power, limits, 5000)
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(drawn) == {"judge-power.svg", "judge-alarms.svg", "judge-limits.svg"}
    for text in drawn.values():
        ElementTree.fromstring(text)
    assert "as ever" in drawn["judge-alarms.svg"]
    assert "97% found" in drawn["judge-limits.svg"]


def test_a_tick_of_a_large_fleet_is_judged_look_by_look() -> None:
    assert len(LANE.nodes) == 200
    assert len(LANE.checks) == 10
    assert len(ticks()) == 60


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
