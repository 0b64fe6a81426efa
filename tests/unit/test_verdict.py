"""What samples prove: FAIL at any look, PASS only at the end and only if harm would have been seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.judge.samples import Cell, Counts, Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import STALL_CAP, WARM_UP, Judgement, law_residue, look
from controller.model import Arm, Check, Lane, OnPath, Outcome, Verdict
from tests.unit.scene import lane

ERRORS = Check("errors", "share", smallest_harm=0.05)
SLOW = Check("slow", "slower_than_control_p95", smallest_harm=0.1)
LAW = Check("stored", "conservation", law="received = stored + refused")
SILENCE = Check("silence", "missing_events", events="committed", per="connected_seconds")


def cell(canary: tuple[int, int], control: tuple[int, int], path: str = "/x", slow: tuple[int, int] = (0, 0)) -> Cell:
    """(events, bad ones) of both arms; every event is a client of its own."""
    both = [Counts(total, bad, total, bad) for total, bad in (canary, control)]
    return Cell("BOS", path, both[0], both[1], *slow)


def sample(*cells: Cell, at: float = 0.0, **changes: Any) -> Sample:
    return Sample("mqtt", at, cells, **changes)


def judge(on: Lane, *looks: Sample, ended: bool = False, smallest_harm: float = 0.0, alpha: float = 0.01) -> Verdict:
    state = Judgement()
    for taken in looks:
        state = look(state, on, taken)
    return verdict((on,), {on.app: state}, Terms(alpha, smallest_harm, 60.0, ended))


def steady(
    canary: tuple[int, int], control: tuple[int, int], looks: int = 60, path: str = "/x", slow: tuple[int, int] = (0, 0)
) -> list[Sample]:
    return [sample(cell(canary, control, path, slow), at=float(second)) for second in range(looks)]


# ---- a share of bad events ----------------------------------------------------------------------------------------

SHARE = lane(checks=(ERRORS,))


def test_harm_fails_at_any_look_and_says_what_and_how_much() -> None:
    found = judge(SHARE, *steady((20, 4), (40, 0), looks=5))

    assert found.outcome is Outcome.FAIL
    assert found.why.startswith(
        "/x, an existing path, failed for 20.0 % of calls on the candidate and 0.0 % on last good "
        "(20 of 100 against 0 of 200); evidence "
    )
    assert found.why.endswith(" passed 100 after 60 s of watching.")
    assert found.short == "errors on mqtt: 20.0 % against 0.0 %"
    assert found.findings[0].worst == OnPath("/x", Arm(100, 20), Arm(200, 0))
    assert found.findings[0].evidence is not None
    assert found.evidence >= found.threshold == 100


def test_the_short_form_counts_what_the_sentence_counts_and_the_finding_keeps_both() -> None:
    looks = [sample(cell((20, 4), (40, 0)), cell((30, 0), (60, 0), "/y"), at=float(second)) for second in range(5)]
    found = judge(lane(checks=(ERRORS, SLOW)), *looks)
    errors = next(finding for finding in found.findings if finding.check == "errors")
    assert "/x, an existing path, failed for 20.0 % of calls" in found.why
    assert "(20 of 100 against 0 of 200); evidence 34,420 (the mean of 2 checks) passed 100" in found.why
    assert found.short == "errors on mqtt: 20.0 % against 0.0 %"
    assert (errors.canary, errors.control) == (Arm(250, 20), Arm(500, 0))
    assert errors.worst == OnPath("/x", Arm(100, 20), Arm(200, 0))


def test_a_new_path_is_called_new_and_clients_are_called_clients() -> None:
    new = lane(checks=(Check("errors", "share", about="new", once_per="client"),))

    assert judge(new, *steady((20, 4), (40, 0), looks=5)).why.startswith("/x, a new path, failed for 20.0 % of clients")


def test_the_path_that_carries_the_harm_is_named() -> None:
    looks = [sample(cell((20, 0), (40, 0), "/good"), cell((20, 5), (40, 0), "/bad")) for _ in range(5)]

    assert judge(SHARE, *looks).why.startswith("/bad, an existing path, failed")


def test_there_is_no_pass_before_the_end() -> None:
    harmless = steady((40, 0), (80, 0))

    assert judge(SHARE, *harmless).outcome is Outcome.WAIT
    found = judge(SHARE, *harmless, ended=True)
    assert (found.outcome, found.short) == (Outcome.PASS, "no harm found")
    limit = found.findings[0].sees_from
    assert limit is not None
    assert found.why == f"No check found harm in 60 s; harm from {limit * 100:.1f} % would have been seen."


def test_a_pass_needs_eyes_that_would_have_seen_the_smallest_harm() -> None:
    few = steady((1, 0), (2, 0))

    found = judge(SHARE, *few, ended=True)

    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.why.startswith("Errors: 60 events on the canary would have shown only a rise of ")
    assert found.why.endswith(" or more, and 5.0 % must be visible.")
    assert judge(SHARE, *few, ended=True, smallest_harm=0.5).outcome is Outcome.PASS, "an environment may ask for less"


def test_a_watch_that_was_looked_at_too_seldom_to_prove_anything_is_no_pass() -> None:
    """No look convicts alone, so two looks at the worst of candidates are no proof; a pass would be a lie."""
    bad = steady((1000, 500), (1000, 0), looks=2)
    found = judge(SHARE, *bad, ended=True)
    assert (found.outcome, found.why) == (
        Outcome.INCONCLUSIVE, "Errors: 1,000 of 2,000 against 0 of 2,000 on last good in 2 looks, and proof takes 3.",
    )  # fmt: skip
    assert judge(SHARE, *bad, *steady((0, 0), (9, 0), looks=9), ended=True).outcome is Outcome.INCONCLUSIVE
    assert judge(SHARE, *steady((100, 50), (100, 0), looks=3), ended=True).outcome is Outcome.FAIL
    assert judge(SHARE, *steady((1000, 0), (1000, 0), looks=2), ended=True).outcome is Outcome.PASS, "nothing was bad"


def test_no_events_are_no_pass() -> None:
    found = judge(SHARE, *[sample() for _ in range(60)], ended=True)

    assert found.outcome is Outcome.INCONCLUSIVE
    assert "would have shown nothing" in found.why


def test_both_arms_bad_is_an_incident_and_no_harm() -> None:
    found = judge(SHARE, *steady((20, 6), (40, 12), looks=10))

    assert found.outcome is Outcome.INCIDENT
    assert found.why == "Both arms are bad (120 of 400 on last good): something outside them is broken."
    assert found.short == "incident: errors on mqtt"


def test_harm_on_top_of_an_incident_is_still_harm() -> None:
    assert judge(SHARE, *steady((20, 18), (40, 10), looks=20)).outcome is Outcome.FAIL


def test_alpha_is_what_the_environment_says() -> None:
    looks = steady((20, 1), (40, 0), looks=4)
    value = judge(SHARE, *looks).evidence

    assert judge(SHARE, *looks, alpha=0.99 / value).outcome is Outcome.WAIT
    assert judge(SHARE, *looks, alpha=min(0.2, 1.01 / value)).outcome is Outcome.FAIL


# ---- several checks -----------------------------------------------------------------------------------------------


def test_the_mean_over_checks_decides_so_that_more_checks_raise_no_more_alarms() -> None:
    quiet = tuple(Check(f"quiet {i}", "share", paths=("/never",)) for i in range(9))
    looks = steady((20, 1), (40, 0), looks=6)
    alone, among_ten = judge(SHARE, *looks), judge(lane(checks=(ERRORS, *quiet)), *looks)

    assert among_ten.evidence == pytest.approx((alone.evidence + 9) / 10)
    assert (alone.outcome, among_ten.outcome) == (Outcome.FAIL, Outcome.WAIT)


def test_what_existed_before_is_named_before_what_is_new() -> None:
    checks = (Check("new", "share", about="new"), ERRORS)

    assert judge(lane(checks=checks), *steady((20, 5), (40, 0), looks=8)).short.startswith("errors on mqtt")


def test_one_application_s_fail_is_the_verdict_and_the_other_one_s_pass_stands() -> None:
    other = lane("c360", ("region-a", "region-b"), zones={"region": ("region-a", "region-b")}, checks=(ERRORS,))
    states = {"mqtt": Judgement(), "c360": Judgement()}
    for taken in steady((40, 20), (40, 0)):
        states["mqtt"] = look(states["mqtt"], SHARE, taken)
    for taken in steady((40, 0), (80, 0)):
        states["c360"] = look(states["c360"], other, taken)

    found = verdict((SHARE, other), states, Terms(0.01, 0.0, 60.0, True))

    assert found.outcome is Outcome.FAIL
    assert {finding.app: finding.outcome for finding in found.findings} == {"mqtt": Outcome.FAIL, "c360": Outcome.PASS}


def test_an_application_of_which_nothing_was_measured_is_no_pass() -> None:
    silent = lane("c360", ("region-a", "region-b"), zones={"region": ("region-a", "region-b")})
    states = {"mqtt": Judgement(), "c360": Judgement()}
    for taken in steady((40, 0), (80, 0)):
        states["mqtt"] = look(states["mqtt"], SHARE, taken)

    found = verdict((SHARE, silent), states, Terms(0.01, 0.0, 60.0, True))

    assert (found.outcome, found.why) == (Outcome.INCONCLUSIVE, "Nothing was measured of c360.")


# ---- slower than last good ----------------------------------------------------------------------------------------

LATENCY = lane(checks=(SLOW,), slow_above_ms=10.0)


def test_slowness_counts_after_the_warm_up_only() -> None:
    cold = [sample(cell((20, 0), (40, 0), slow=(20, 2)), at=second) for second in (0.0, 1.0, WARM_UP - 0.1)]
    assert judge(LATENCY, *cold).evidence == pytest.approx(1.0)

    found = judge(LATENCY, *steady((20, 0), (40, 0), looks=60, slow=(10, 2)))
    assert found.outcome is Outcome.FAIL
    assert "were slower than last good's slowest twentieth for" in found.why


def test_one_stall_is_no_proof() -> None:
    """Every request of one second was slow: they share one cause, and count as few."""
    stalled = [*steady((40, 0), (80, 0), looks=30, slow=(2, 4)), sample(cell((40, 0), (80, 0), slow=(40, 4)), at=30.0)]

    assert judge(LATENCY, *stalled).outcome is Outcome.WAIT
    assert judge(LATENCY, *stalled).findings[0].canary is not None
    assert judge(LATENCY, *stalled).findings[0].canary.bad <= 27 * 2 + STALL_CAP * 2  # type: ignore[union-attr]  # asserted above


# ---- events that should come --------------------------------------------------------------------------------------


def test_silence_is_harm_and_the_sentence_says_of_what() -> None:
    silent = [
        sample(
            canary_metrics={"bos-a": {"committed": 10.0, "connected_seconds": 20.0 * second}},
            control_metrics={"bos-b": {"committed": 20.0 * second, "connected_seconds": 20.0 * second}},
            at=float(second),
        )
        for second in range(12)
    ]

    found = judge(lane(checks=(SILENCE,)), *silent)

    assert found.outcome is Outcome.FAIL
    assert found.why.startswith(
        "Committed came 0.00 times per connected_seconds on the candidate and 1.00 times on last good; evidence over "
    )


def test_events_that_nobody_sent_are_no_pass() -> None:
    found = judge(lane(checks=(SILENCE,)), *[sample() for _ in range(9)], ended=True)

    assert (found.outcome, found.why) == (Outcome.INCONCLUSIVE, "No committed to compare on both arms.")


# ---- laws and probes ----------------------------------------------------------------------------------------------

LAWFUL = lane(checks=(LAW,))


def counted(received: float, stored: float, refused: float = 0.0) -> Sample:
    return sample(canary_metrics={"bos-a": {"received": received, "stored": stored, "refused": refused}})


def test_a_law_that_is_broken_in_two_looks_on_end_is_harm() -> None:
    assert judge(LAWFUL, counted(10, 9)).outcome is not Outcome.FAIL
    assert judge(LAWFUL, counted(10, 9), counted(20, 20), counted(30, 29)).outcome is not Outcome.FAIL

    found = judge(LAWFUL, counted(10, 10), counted(20, 18), counted(30, 27))
    assert found.outcome is Outcome.FAIL
    assert found.why == "Received = stored + refused does not hold on bos-a: +3 after 60 s of watching."
    assert found.short == "stored on mqtt"


def test_a_law_once_broken_stays_broken() -> None:
    assert judge(LAWFUL, counted(9, 8), counted(9, 8), counted(9, 9)).outcome is Outcome.FAIL


def test_a_law_that_holds_passes_and_one_that_nobody_could_look_at_does_not() -> None:
    assert judge(LAWFUL, counted(10, 7, 3), ended=True).outcome is Outcome.PASS

    blind = sample(canary_metrics={"bos-a": {"received": 10.0, "stored": 10.0}})
    for looks in ((), (sample(),), (blind, blind)):
        found = judge(LAWFUL, *looks, ended=True)
        assert found.outcome is Outcome.INCONCLUSIVE
        assert found.why == (
            "Received = stored + refused could not be looked at: the candidate did not export every term of it."
        )
        assert judge(LAWFUL, *looks).outcome is Outcome.WAIT


@pytest.mark.parametrize(
    ("law", "residue"),
    [
        ("a = b + c", 1.0),
        ("a + b = c", 9.0),
        ("a=b", 3.0),
        ("a = missing", None),
        ("a", None),
        ("", None),
    ],
)
def test_the_residue_of_a_law(law: str, residue: float | None) -> None:
    assert law_residue(law, {"a": 7.0, "b": 4.0, "c": 2.0}) == residue


def probed(**works: bool) -> Sample:
    return sample(probes={f"bos-{letter}": ok for letter, ok in works.items()})


@pytest.mark.parametrize(
    ("looks", "outcome", "why"),
    [
        ([{"a": False}], Outcome.WAIT, "No check has found harm so far."),
        (
            [{"a": False}, {"a": False, "b": True}],
            Outcome.FAIL,
            "The probe's round trip fails on bos-a and works on last good after 60 s of watching.",
        ),
        ([{"a": False}, {"a": True}, {"a": False}], Outcome.WAIT, "No check has found harm so far."),
        (
            [{"a": False, "b": False}, {"a": False, "b": False}],
            Outcome.INCIDENT,
            "The probe fails on bos-a, bos-b, candidate and last good alike.",
        ),
        ([{"a": True}], Outcome.PASS, "No check found harm in 60 s."),
        ([{"b": False}, {"b": False}], Outcome.INCONCLUSIVE, "Nothing was measured of mqtt."),
    ],
)
def test_what_probes_prove(looks: list[dict[str, bool]], outcome: Outcome, why: str) -> None:
    found = judge(lane(), *[probed(**works) for works in looks], ended=True)

    assert (found.outcome, found.why) == (outcome, why)


def test_a_first_release_passes_by_its_probe_alone() -> None:
    first = lane(base=None, checks=(ERRORS,))

    assert judge(first, *steady((20, 10), (0, 0)), ended=True).outcome is Outcome.WAIT
    assert judge(first, probed(a=True), ended=True).outcome is Outcome.PASS


# ---- warm-up, late onset, who counts --------------------------------------------------------------------------------


def slow_while(is_slow: Callable[[int], bool], looks: int = 60) -> list[Sample]:
    """A twentieth of last good's calls are slow; so are the candidate's, or nine in ten while ``is_slow``."""
    return [sample(cell((20, 0), (40, 0), slow=(18 if is_slow(s) else 1, 2)), at=float(s)) for s in range(looks)]


def test_a_candidate_that_is_slow_from_its_first_second_to_its_last_is_found_soon_after_the_warm_up() -> None:
    assert judge(LATENCY, *slow_while(lambda second: True, looks=12)).outcome is Outcome.FAIL


def test_a_slow_start_is_no_reason_to_go_back_and_is_told() -> None:
    start = slow_while(lambda second: second < WARM_UP)
    assert judge(LATENCY, *start[:20]).outcome is Outcome.WAIT

    found = judge(LATENCY, *start, ended=True)
    assert found.outcome is Outcome.PASS
    assert found.why.endswith(
        " would have been seen. mqtt began slowly: in its first 3 s 54 of 60 calls were slow (slow), "
        "against 6 of 120 on last good."
    )
    assert "began slowly" not in judge(LATENCY, *slow_while(lambda second: False), ended=True).why


def test_a_later_wave_is_cold_as_well() -> None:
    """bos-c follows at second 10, and the first three seconds of it are slow too."""
    waves = lane(nodes=("bos-a", "bos-b", "bos-c"), waves=(("bos-a",), ("bos-a", "bos-c")), checks=(SLOW,))
    waves = replace(waves, slow_above_ms=10.0)
    ran = {"bos-a": "canary", "bos-b": "control", "bos-c": "control"}

    def evidence(joins_at: int) -> float:
        """Just after seconds 10 to 12, in which nine in ten calls to the candidate were slow."""
        looks = []
        for second in range(13):
            slow = 180 if second < WARM_UP or second >= 10 else 10
            arms = ran if second < joins_at else {**ran, "bos-c": "canary"}
            looks.append(sample(cell((200, 0), (400, 0), slow=(slow, 20)), at=float(second), ran=arms))
        return judge(waves, *looks).evidence

    assert evidence(joins_at=10) < 1
    assert evidence(joins_at=7) > 10, "it was warm by then"


@pytest.mark.parametrize(("check", "bad"), [(ERRORS, (2, 0)), (SLOW, (10, 2))])
def test_harm_that_begins_after_forty_of_sixty_seconds_is_found(check: Check, bad: tuple[int, int]) -> None:
    late = lane(checks=(check,), slow_above_ms=10.0)

    def second(at: int) -> Sample:
        canary, control = bad if at >= 40 else (1, 2)
        if check is ERRORS:
            return sample(cell((20, canary * (at >= 40)), (40, at % 20 == 0)), at=float(at))
        return sample(cell((20, 0), (40, 0), slow=(canary, control)), at=float(at))

    assert judge(late, *map(second, range(40))).outcome is Outcome.WAIT
    assert judge(late, *map(second, range(60)), ended=True).outcome is Outcome.FAIL


def own_and_balancer(own: dict[str, float], bad: int) -> list[Sample]:
    """What the candidate says of itself each second, and how many of its 20 calls the balancers saw fail."""
    return [replace(one, canary_metrics={"bos-a": own}) for one in steady((20, bad), (40, 0), looks=60)]


PERFECT = {"received": 100.0, "stored": 100.0, "refused": 0.0}


def test_a_candidate_that_praises_itself_is_judged_by_what_the_balancers_saw() -> None:
    both = lane(checks=(ERRORS, LAW))
    found = judge(both, *own_and_balancer(PERFECT, bad=1), ended=True)

    assert found.outcome is Outcome.FAIL
    assert found.short == "errors on mqtt: 5.0 % against 0.0 %"


def test_a_candidate_that_confesses_is_believed_although_the_balancers_saw_nothing() -> None:
    both = lane(checks=(ERRORS, LAW))
    assert judge(both, *own_and_balancer(PERFECT, bad=0), ended=True).outcome is Outcome.PASS

    found = judge(both, *own_and_balancer({**PERFECT, "stored": 99.0}, bad=0), ended=True)
    assert (found.outcome, found.short) == (Outcome.FAIL, "stored on mqtt")


def test_one_client_that_hammers_is_one_client_where_the_check_says_so() -> None:
    """Of 40 clients one is broken on either arm alike, and on the candidate it asks fifty times a second."""
    hammered = [
        sample(Cell("BOS", "/x", Counts(90, 50, 40, 1), Counts(80, 2, 80, 2), 0, 0), at=float(second))
        for second in range(60)
    ]

    assert judge(SHARE, *hammered).outcome is Outcome.FAIL, "by calls"
    by_client = lane(checks=(replace(ERRORS, once_per="client"),))
    assert judge(by_client, *hammered, ended=True).outcome is Outcome.PASS


def test_a_bad_new_path_beside_a_good_existing_one_fails_and_is_called_new() -> None:
    checks = (replace(ERRORS, paths=("/old",)), Check("fresh", "share", about="new", paths=("/new",)))
    looks = [sample(cell((20, 0), (40, 0), "/old"), cell((20, 8), (40, 0), "/new")) for _ in range(20)]

    found = judge(lane(checks=checks), *looks)
    assert found.outcome is Outcome.FAIL
    assert found.why.startswith("/new, a new path, failed for 40.0 % of calls on the candidate")
    assert found.short.startswith("fresh on mqtt")


@pytest.mark.parametrize("per_look", [0, 1])
def test_a_fleet_that_stays_too_quiet_is_never_a_pass(per_look: int) -> None:
    found = judge(SHARE, *steady((per_look, 0), (per_look, 0)), ended=True)

    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.why.endswith("and 5.0 % must be visible.")
