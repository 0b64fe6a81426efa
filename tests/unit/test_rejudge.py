"""A recorded rollout judged again: from the rows alone, and the same each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from controller.errors import Refused
from controller.judge.samples import Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import Check, Lane, Outcome, Phase, Rollout, Verdict
from controller.rollout import rows
from controller.rollout.rows import Row, canonical
from controller.stories.rejudge import JUDGES, looks
from tests.unit.scene import NOW, lane, rollout
from tests.unit.test_creep import NODES, creeping, leak, level, watch
from tests.unit.test_outside import FAILED, LAG, counters, lags, on


def recorded(of: Lane, samples: Iterable[Sample]) -> tuple[list[Row], Verdict]:
    """The rows of a watch until its end, as a ledger gives them back; and what was said of the last look."""
    one = replace(rollout(Phase.WATCHING, lanes=(of,)), t0=NOW, watch_from=NOW)
    written, state, said = [row(1, rows.ROLLOUT, one)], Judgement(), None
    for sample in samples:
        state = look(state, of, sample)
        said = verdict((of,), {of.app: state}, Terms(one.judge.alpha, 0.0, sample.at, False))
        body = {
            "rollout": one.number, "t": sample.at, "looks": [rows.written(rows.SAMPLES, sample)],
            "verdict": rows.written(rows.VERDICTS, said),
        }  # fmt: skip
        written.append(Row(len(written) + 1, 0.0, 3, rows.SAMPLE, json.loads(canonical(body)), ""))
        if said.outcome is Outcome.FAIL:
            break
    assert said is not None
    return written, said


def row(n: int, kind: str, one: Rollout) -> Row:
    body = {"rollout": rows.written(rows.ROLLOUTS, one), "event": "watching"}
    return Row(n, 0.0, 3, kind, json.loads(canonical(body)), "")


def told(check: Check) -> Iterable[Sample]:
    """A metrics server's answers to either kind of question, of a candidate that does harm."""
    for second in range(61):
        answer = counters((second, 10 * second), (0, 20 * second)) if check.counts else lags(7.0, 1.0)
        answers = {check.name: answer} if second % 5 == 0 else {}
        ran = dict(zip(NODES, ("canary", "control", "control"), strict=True))
        yield Sample("mqtt", float(second), (), ran=ran, answers=answers)


CASES: dict[str, tuple[Lane, Callable[[], Iterable[Sample]]]] = {
    "creep": (creeping(), lambda: watch(leak(1.0), level(60))),
    "a bound": (on(LAG), lambda: told(LAG)),
    "counters": (on(FAILED), lambda: told(FAILED)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_check_is_judged_again_from_its_rows_as_it_was(name: str) -> None:
    of, samples = CASES[name]
    history, said = recorded(of, samples())
    assert said.outcome is Outcome.FAIL

    again = JUDGES["eprocess"](looks(history, 7), 0.01)

    assert (again.judge, again.outcome, again.why) == ("eprocess", Outcome.FAIL, said.why)
    assert again == JUDGES["eprocess"](looks(history, 7), 0.01)


def test_rows_of_before_there_were_these_kinds_are_read_all_the_same() -> None:
    history, _ = recorded(creeping(), watch(level(60), level(60)))
    for old in history:
        for sample in old.body.get("looks", ()):
            for key in ("ran", "held", "answers"):
                del sample[key]
        for part in old.body["rollout"]["lanes"] if old.kind == rows.ROLLOUT else ():
            part["checks"] = [{"name": "errors", "kind": "share"}]
    assert looks(history, 7).rollout.lanes[0].checks == (Check("errors", "share"),)
    assert JUDGES["eprocess"](looks(history, 7), 0.01).outcome is Outcome.WAIT


def test_a_rollout_that_was_never_looked_at_cannot_be_judged_again() -> None:
    with pytest.raises(Refused, match="no sample of it was recorded"):
        looks([row(1, rows.ROLLOUT, rollout(lanes=(lane(),)))], 7)
