"""A plan that was reviewed is what is done, or nothing is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from infra.engine.reviewed import digest, from_json, hold, to_json
from infra.engine.steps import NotAllowed, Step
from infra.engine.trouble import Failed
from tests.unit.test_engine_words import MACHINE, USER, VOLUME

CHANGE = Step("update", MACHINE, ("instanceType",), becomes=digest({"instanceType": "t3.xlarge"}))
STAYS = Step("same", USER)
GOES = Step("delete", VOLUME, protected=True)


def reviewed(*steps: Step) -> list[Step]:
    """What is read back of a plan that was written down."""
    return from_json(to_json("prod", steps), "prod", "plan.json")


def refusal(*steps: Step, meant: list[Step]) -> str:
    with pytest.raises(NotAllowed) as no:
        hold("prod", steps, meant)
    return str(no.value)


def test_what_was_reviewed_goes_on_whatever_stays_as_it_is() -> None:
    meant = reviewed(CHANGE, GOES, STAYS)

    hold("prod", [STAYS, GOES, CHANGE], meant)
    hold("prod", [GOES, CHANGE], meant)


def test_what_nobody_reviewed_is_refused_with_its_name() -> None:
    assert refusal(CHANGE, GOES, meant=reviewed(CHANGE)) == (
        "prod: what would be done is not what was reviewed: nobody reviewed bos-a-data (ebs Volume). Nothing was "
        "changed. Look at it again: `turnabout infra preview prod`."
    )


def test_the_same_property_with_another_value_is_another_plan() -> None:
    other = replace(CHANGE, becomes=digest({"instanceType": "r5.2xlarge"}))

    assert "nobody reviewed bos-a (ec2 Instance)" in refusal(other, meant=reviewed(CHANGE))


def test_another_deed_or_another_property_is_another_plan() -> None:
    for other in (replace(CHANGE, deed="replace"), replace(CHANGE, paths=("ami", "instanceType"))):
        assert "nobody reviewed bos-a (ec2 Instance)" in refusal(other, meant=reviewed(CHANGE))


def test_what_was_reviewed_and_is_done_already_is_told() -> None:
    assert refusal(replace(CHANGE, deed="same"), meant=reviewed(CHANGE, GOES)) == (
        "prod: what would be done is not what was reviewed: there is nothing left to do about bos-a (ec2 Instance), "
        "bos-a-data (ebs Volume). Nothing was changed. Look at it again: `turnabout infra preview prod`."
    )


def test_a_plan_names_no_value() -> None:
    text = to_json("prod", [CHANGE, STAYS])

    assert "t3.xlarge" not in text
    assert [step["urn"] for step in json.loads(text)["steps"]] == [MACHINE]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "turnabout/infra-plan/0"}', '{"schema": 1, "steps": {}}'])
def test_what_is_no_plan_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Failed) as no:
        from_json(text, "prod", "plan.json")
    assert str(no.value) == (
        "plan.json: it is no plan that this version reads; `turnabout infra preview prod --plan plan.json` writes one. "
        "Nothing was changed."
    )


def test_a_plan_of_another_environment_is_refused() -> None:
    with pytest.raises(Failed, match=r"^plan\.json: it is a plan of prod, and not of stage\. Nothing was changed\.$"):
        from_json(to_json("prod", [CHANGE]), "stage", "plan.json")
