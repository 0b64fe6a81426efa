"""A release that mends a bad last good must get through: the control's failures are no proof against it."""

from __future__ import annotations

from controller.judge.samples import Cell, Counts, Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import AppRelease, Check, Lane, Outcome, Verdict

ERRORS = Check("errors", "share", paths=("/items/*",), smallest_harm=0.02)


def release(letter: str) -> AppRelease:
    digest = f"sha256:{letter * 64}"
    return AppRelease("toy", digest, digest, digest, letter * 40)


LANE = Lane("toy", release("c"), release("b"), {"BOS": ("bos-a", "bos-b")}, (("bos-a",),), ("toy",), (ERRORS,))


def judged(canary_bad: int, control_bad: int, of: int = 20, looks: int = 5, ended: bool = True) -> Verdict:
    """The verdict on looks that each count so many bad events among ``of`` on both arms."""
    state = Judgement()
    for second in range(looks):
        cell = Cell("BOS", "/items/*", Counts(of, canary_bad), Counts(of, control_bad), 0, 0)
        state = look(state, LANE, Sample("toy", float(second), (cell,)))
    return verdict((LANE,), {"toy": state}, Terms(0.01, 0.0, float(looks), ended))


def test_both_arms_bad_is_an_incident() -> None:
    said = judged(10, 10)
    assert said.outcome is Outcome.INCIDENT
    assert said.why == "Both arms are bad (50 of 100 on last good): something outside them is broken."


def test_a_candidate_that_does_not_fail_where_last_good_does_is_watched_to_the_end() -> None:
    assert judged(0, 10, ended=False).outcome is Outcome.WAIT


def test_and_it_passes_though_no_small_harm_could_have_been_seen_beside_so_many_failures() -> None:
    said = judged(0, 10)
    assert said.outcome is Outcome.PASS
    assert said.findings[0].sentence == "0 of 100 against 50 of 100: it fails less often than last good"


def test_a_little_better_is_not_proof() -> None:
    assert judged(0, 1, looks=2).outcome is Outcome.INCONCLUSIVE
