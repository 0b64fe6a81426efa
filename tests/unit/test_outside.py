"""What a metrics server says of both arms: evidence, a bound, and never harm where it could not be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from controller.errors import Unreachable
from controller.judge.outside import SETTLES
from controller.judge.samples import Answer, Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.loop.querying import EVERY, Querying, queries
from controller.model import Arm, Check, Lane, Outcome, Verdict
from environments import Judge
from tests.unit.scene import lane, rollout

NODES = ("bos-a", "bos-b", "bos-c")
RAN = {"bos-a": "canary", "bos-b": "control", "bos-c": "control"}
LAG = Check("lag", "prometheus", query="max by (node) (lag_seconds)", at_most=5.0)
FAILED = Check("orders", "prometheus", query_bad="failed", query_total="all", smallest_harm=0.2)


def on(check: Check) -> Lane:
    return lane(nodes=NODES, checks=(check,))


Answering = Callable[[float], Answer | None]


def judge(check: Check, answering: Answering, seconds: int = 60, ended: bool = True) -> Verdict:
    """A watch of which the canary runs the candidate from second 0, and the server is asked every five seconds."""
    state, lane = Judgement(), on(check)
    for second in range(seconds + 1):
        answer = answering(float(second)) if second % 5 == 0 else None
        answers = {check.name: answer} if answer is not None else {}
        state = look(state, lane, Sample("mqtt", float(second), (), ran=RAN, answers=answers))
    return verdict((lane,), {"mqtt": state}, Terms(0.01, 0.0, float(seconds), ended))


def lags(a: float | None, b: float | None, c: float | None = 1.0) -> Answer:
    values = {"bos-a": a, "bos-b": b, "bos-c": c}
    return Answer({"query": {node: value for node, value in values.items() if value is not None}})


def away(said: str = "asking http://prometheus: connection refused. Look at it.") -> Answer:
    return Answer(trouble=said)


# ---- a value with a bound -------------------------------------------------------------------------------------------


def test_a_value_beyond_its_bound_on_the_candidate_alone_is_harm() -> None:
    found = judge(LAG, lambda t: lags(7.25, 1.0), seconds=25, ended=False)

    assert found.outcome is Outcome.FAIL
    assert found.why == "Lag is 7.25 on bos-a, over 5, and within it on last good after 25 s of watching."


def test_it_must_last_and_it_must_be_the_candidate_s() -> None:
    first_judged = SETTLES + 5.0
    moment = judge(LAG, lambda t: lags(9.0 if t < first_judged else 1.0, 1.0), ended=False)
    assert moment.outcome is Outcome.WAIT, "last good's process may still be told of"
    flicker = judge(LAG, lambda t: lags(9.0 if t % 10 else 1.0, 1.0))
    assert flicker.outcome is Outcome.PASS
    alike = judge(LAG, lambda t: lags(9.0, 8.0))
    assert (alike.outcome, alike.why) == (Outcome.INCIDENT, "Lag is over 5 on bos-a, bos-b alike.")


def test_a_lower_bound_is_one_too() -> None:
    seen = Check("seen", "prometheus", query="q", at_least=0.99)
    assert judge(seen, lambda t: lags(0.9, 1.0)).why.startswith("Seen is 0.9 on bos-a, under 0.99, and within it on")
    good = judge(seen, lambda t: lags(0.995, 1.0))
    assert good.findings[0].sentence == "seen is 0.995 on the candidate, at least 0.99"


@pytest.mark.parametrize(
    ("answering", "outcome", "why"),
    [
        (lambda t: lags(1.0, 1.0), Outcome.PASS, "No check found harm in 60 s."),
        (lambda t: lags(None, 1.0), Outcome.INCONCLUSIVE, "Lag: the server knows no value of bos-a."),
        (lambda t: lags(1.0, None, None), Outcome.INCONCLUSIVE, "Lag: the server knows no value of a control node."),
        (lambda t: lags(9.0, None, None), Outcome.INCONCLUSIVE, "Lag is over 5 on bos-a."),
        (lambda t: lags(9.0 if t == 60 else 1.0, 1.0), Outcome.INCONCLUSIVE, "Lag is over 5 on bos-a."),
        (
            lambda t: away(),
            Outcome.ERROR,
            "Lag could not be looked at: asking http://prometheus: connection refused. Look at it.",
        ),
        (lambda t: None, Outcome.ERROR, "Lag could not be looked at: it has not answered yet."),
        (lambda t: lags(1.0, 1.0) if t < 40 else away("gone"), Outcome.ERROR, "Lag could not be looked at: gone."),
        (lambda t: lags(1.0, 1.0) if t > 40 else away(), Outcome.PASS, "No check found harm in 60 s."),
    ],
    ids=[
        "within", "no canary", "no control", "nothing to compare with", "at the last moment", "away", "never answered",
        "away at the end", "away for a while",
    ],
)  # fmt: skip
def test_what_the_end_of_the_watch_says(answering: Answering, outcome: Outcome, why: str) -> None:
    found = judge(LAG, answering)
    assert (found.outcome, found.why) == (outcome, why)


def test_a_server_that_is_away_ends_no_watch_early() -> None:
    for check in (LAG, FAILED):
        assert judge(check, lambda t: away(), seconds=30, ended=False).outcome is Outcome.WAIT


# ---- counters -------------------------------------------------------------------------------------------------------


def counters(a: tuple[float, float], b: tuple[float, float]) -> Answer:
    """(bad, all) of canary and control."""
    return Answer({key: {"bos-a": a[i], "bos-b": b[i]} for i, key in enumerate(("query_bad", "query_total"))})


def test_counters_are_weighed_like_what_balancers_count() -> None:
    found = judge(FAILED, lambda t: counters((t, 10 * t), (0, 20 * t)), ended=False)

    assert found.outcome is Outcome.FAIL
    assert found.why.startswith(
        "What orders counts was bad for 10.0 % of events on the candidate and 0.0 % on last good (45 of 450 against 0 "
    )
    assert found.evidence >= 100


def test_counters_that_show_nothing_pass_and_say_what_they_would_have_shown() -> None:
    found = judge(FAILED, lambda t: counters((0, 10 * t), (0, 20 * t)))

    assert found.outcome is Outcome.PASS
    assert "would have been seen" in found.why


def test_counters_that_nobody_could_read_at_the_end_are_an_error() -> None:
    found = judge(FAILED, lambda t: counters((0, 10 * t), (0, 20 * t)) if t < 40 else away("gone"))
    assert (found.outcome, found.why) == (Outcome.ERROR, "Orders could not be looked at: gone.")


def test_harm_that_was_counted_is_harm_though_the_server_is_away_now() -> None:
    found = judge(FAILED, lambda t: counters((5 * t, 10 * t), (0, 20 * t)) if t < 40 else away())
    assert found.outcome is Outcome.FAIL


def test_counters_that_began_again_and_arms_that_gain_in_their_own_rhythm_lose_nothing_and_invent_nothing() -> None:
    """The canary's process begins at zero while the server still shows last good's; each arm moves every other time."""

    def rhythm(t: float) -> Answer:
        canary = 10 * (t // 10) * 10
        control = 20 * ((t + 5) // 10) * 10
        return counters((0 if t > 20 else 900, canary if t > 20 else 9_000), (0, control))

    state, lane = Judgement(), on(FAILED)
    for second in range(0, 61, 5):
        answers = {"orders": rhythm(float(second))}
        state = look(state, lane, Sample("mqtt", float(second), (), ran=RAN, answers=answers))
    evidence = state.evidence["orders"]
    assert (evidence.canary.bad, evidence.control.bad) == (0, 0)
    assert evidence.canary.total + state.told["orders"].waiting[0].total == 400, "from 200 at 25 s to 600 at 60 s"
    assert evidence.control.total + state.told["orders"].waiting[1].total == 800, "from 400 at 15 s to 1200"


def test_arms_that_never_gain_in_the_same_answer_are_compared_all_the_same() -> None:
    def in_turns(t: float) -> Answer:
        canary, control = t // 10, (t + 5) // 10
        return counters((40 * canary, 100 * canary), (0, 200 * control))

    assert judge(FAILED, in_turns, ended=False).outcome is Outcome.FAIL


def test_a_series_that_is_missing_for_a_while_brings_nothing_twice() -> None:
    """Two answers lack the counter of bad events, which stands at 50 on both nodes and does not move."""
    state, lane = Judgement(), on(FAILED)
    for second in range(0, 61, 5):
        answer = counters((50, 1000 + 10 * second), (50, 1000 + 20 * second))
        if second in (35, 40):
            answer = Answer({**answer.values, "query_bad": {}})
        state = look(state, lane, Sample("mqtt", float(second), (), ran=RAN, answers={"orders": answer}))
    assert (state.evidence["orders"].canary, state.evidence["orders"].control) == (Arm(450, 0), Arm(900, 0))


# ---- asking ---------------------------------------------------------------------------------------------------------


class Clock:
    name = "c"

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def utc(self) -> float:
        return self.at


class Known:
    """A metrics server that knows every node of a lane, and one of somebody else."""

    def __init__(self, broken: Exception | None = None) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.broken = broken

    def values(self, server: str, query: str, label: str) -> Mapping[str, float]:
        self.asked.append((server, query, label))
        if self.broken is not None:
            raise self.broken
        return {"bos-a": 1.0, "bos-b": 2.0, "elsewhere": 3.0}


def heard(metrics: Known, server: str, times: Iterable[float] = (0.0,)) -> list[tuple[int, str, str, Answer]]:
    """What is heard of a server, if the loop wants to ask it at ``times``."""
    clock, said = Clock(), list[tuple[int, str, str, Answer]]()
    one = rollout(lanes=(on(LAG),), judge=Judge(0.01, 5.0, prometheus=server))
    with ThreadPoolExecutor(1) as pool:
        querying = Querying(metrics, pool, clock, lambda *what: said.append(what))
        for clock.at in times:
            querying.ask(one)
            pool.submit(str).result()  # the only thread has come to its end with what was asked before
    return said


def test_a_check_is_asked_every_few_seconds_and_only_nodes_of_the_lane_count() -> None:
    metrics = Known()
    said = heard(metrics, "http://p:9090", (0.0, 1.0, EVERY, EVERY + 1.0))

    assert said == [(7, "mqtt", "lag", Answer({"query": {"bos-a": 1.0, "bos-b": 2.0}}))] * 2
    assert metrics.asked == [("http://p:9090", "max by (node) (lag_seconds)", "node")] * 2


def test_why_nothing_was_answered_is_kept() -> None:
    trouble = Unreachable("asking http://p", "connection refused", "Look at it.")
    assert heard(Known(trouble), "http://p")[0][3].trouble == "asking http://p: connection refused. Look at it."
    broke = heard(Known(ZeroDivisionError("by zero")), "http://p")[0][3].trouble
    assert broke == "asking for it broke: ZeroDivisionError('by zero')"
    nowhere = heard(Known(), "")[0][3].trouble
    assert nowhere == "asking a metrics server: prod names no server. Set judge.prometheus in its file."


def test_queries_say_environment_application_and_nodes() -> None:
    query = 'sum by (node) (x{env="$environment", app="$app", node=~"$nodes", path!~"^/a$"})'
    dotted = replace(on(replace(LAG, query=query)), zones={"BOS": ("a.b", "c")}, waves=(("a.b",),))

    assert dict(queries("prod", dotted, dotted.checks[0])) == {
        "query": 'sum by (node) (x{env="prod", app="mqtt", node=~"a\\\\.b|c", path!~"^/a$"})'
    }
