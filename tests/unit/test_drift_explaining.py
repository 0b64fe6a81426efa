"""Which setting makes a difference, tried with a small program: every way in which a value can come about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from controller.drift import alignment
from controller.drift.explaining import Ask, Explained, NotDeclared, Side, by_name, explain
from controller.drift.finding import Finding, Severity, State
from controller.drift.resources import Resources, read
from environments.settings import Written

Table = dict[str, Any]
Program = Callable[[str, Mapping[str, Any]], Iterator[tuple[str, str, Table]]]
STAGE: Table = {
    "fleet": {"mqtt": {"zones": ["BOS"], "nodes_per_zone": 1, "waves": [1]}},
    "infra": {"vpc": "10.21.0.0/16", "tier": "M10", "protect": False, "subnets": {"BOS": "a"}},
}
PROD: Table = {
    "fleet": {"mqtt": {"zones": ["BOS", "DFW"], "nodes_per_zone": 2, "waves": [1, 1]}},
    "infra": {"vpc": "10.22.0.0/16", "tier": "M30", "protect": True, "subnets": {"BOS": "a", "DFW": "b"}},
}


def plain(name: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str, Table]]:
    """A network, a store that is called after the environment, and a node for each letter of each zone."""
    fleet, infra = table["fleet"]["mqtt"], table["infra"]
    yield "aws:ec2/vpc:Vpc", "network", {"cidr": infra["vpc"], "tags": {"Name": f"turnabout-{name}-vpc"}}
    token = hashlib.sha256(name.encode()).hexdigest()
    yield "atlas:index/cluster:Cluster", "store", {"tier": infra["tier"], "name": name, "token": token}
    if set(fleet["zones"]) != set(infra["subnets"]):
        raise LookupError("a zone without a subnet, or a subnet without a zone")
    for zone in fleet["zones"]:
        for letter in "abc"[: fleet["nodes_per_zone"]]:
            yield "aws:ec2/instance:Instance", f"{zone}-{letter}", {"kept": infra["protect"]}


def by_its_name(name: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str, Table]]:
    yield from plain(name, table)
    size = "large" if name == "prod" else "small"
    yield "aws:ec2/volume:Volume", "disk", {"encrypted": name != "stage", "label": f"{name}-{size}"}


def newer(name: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str, Table]]:
    yield from plain(name, table)
    yield "aws:ec2/securityGroup:SecurityGroup", "added", {"from": "0.0.0.0/0"}


def declaring(**programs: Program) -> Callable[[Sequence[Ask]], list[Resources | str]]:
    def one(ask: Ask) -> Resources | str:
        try:
            made = [*programs[ask.checkout](ask.name, ask.table)]
        except LookupError as error:
            return str(error)
        keys = ("kind", "name", "inputs", "options", "secret", "place")
        return read(dict(zip(keys, (*each, {}, [], "infra/x.py:7"), strict=True)) for each in made)

    return lambda asks: [one(ask) for ask in asks]


def side(name: str, table: Table, checkout: str = "here") -> Side:
    places: dict[tuple[str, ...], str] = {
        ("infra", key): f"environments/{name}.toml:{n}" for n, key in enumerate(("vpc", "tier", "protect"), 9)
    }
    return Side(Written(name, table, places), checkout)


def explained(program: Program = plain) -> Explained:
    return explain(side("stage", STAGE), side("prod", PROD), declaring(here=program))


def causes(pair: Explained) -> dict[str, str]:
    return {f"{id} {path}".strip(): " with ".join(s.name for s in group) for (id, path), group in pair.causes.items()}


def test_a_difference_is_explained_by_the_setting_that_makes_it() -> None:
    found = causes(explained())
    assert found["aws.ec2.Vpc network cidr"] == "infra.vpc"
    assert found["atlas.Cluster store tier"] == "infra.tier"
    assert found["aws.ec2.Instance BOS-a kept"] == "infra.protect"
    assert found["aws.ec2.Instance BOS-b"] == "fleet.mqtt.nodes_per_zone"


def test_settings_that_mean_something_only_together_explain_together() -> None:
    assert causes(explained())["aws.ec2.Instance DFW-a"] == "fleet.mqtt.zones with infra.subnets.DFW"


def test_what_no_setting_makes_alone_is_found_by_taking_settings_out_again() -> None:
    assert causes(explained())["aws.ec2.Instance DFW-b"] == (
        "fleet.mqtt.zones with fleet.mqtt.nodes_per_zone with infra.subnets.DFW"
    )


def test_nothing_differs_because_it_carries_the_environments_name() -> None:
    pair = explained()
    assert pair.differences.keys() == pair.causes.keys()
    assert not [path for _, path in pair.differences if path in ("tags.Name", "name", "token")]


def test_settings_that_change_nothing_are_said_too() -> None:
    (idle,) = [f for f in alignment.findings(explained()) if "nothing in the cloud" in f.what]
    assert idle.what == "1 setting that changes nothing in the cloud"
    assert [one.where for one in idle.differences] == ["fleet.mqtt.waves"]


def test_what_is_intended_names_the_setting_and_its_line_on_both_sides() -> None:
    found = {one.what: one for one in alignment.findings(explained())}
    vpc = found["infra.vpc"]
    assert (vpc.state, vpc.values) == (State.EXPLAINED, {"stage": "10.21.0.0/16", "prod": "10.22.0.0/16"})
    assert vpc.causes[0].places == {"stage": "environments/stage.toml:9", "prod": "environments/prod.toml:9"}


def test_what_the_programs_of_two_branches_do_differently_no_setting_explains() -> None:
    sides = side("stage", STAGE, "old"), side("prod", PROD, "new")
    pair = explain(*sides, declaring(old=plain, new=newer))
    (one,) = [f for f in alignment.findings(pair) if f.state is State.UNEXPLAINED]
    assert one.what == "aws.ec2.SecurityGroup added is not declared in stage"
    assert (one.severity, one.removed) == (Severity.HIGH, False)
    assert "the two branches hold different programs (infra/x.py:7)" in one.why
    assert [remedy.does for remedy in one.remedies] == [
        "turnabout promote stage prod",
        "environments/base.toml: declare it, and read it at infra/x.py:7",
    ]


def dearer(name: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str, Table]]:
    for kind, one, inputs in plain(name, table):
        yield kind, one, {**inputs, "tier": f"{inputs['tier']}-dear"} if "tier" in inputs else inputs


def test_a_setting_does_not_explain_what_it_only_has_a_part_in() -> None:
    pair = explain(side("stage", STAGE, "old"), side("prod", PROD, "new"), declaring(old=plain, new=dearer))
    (one,) = [f for f in alignment.findings(pair) if f.state is State.UNEXPLAINED]
    assert one.values == {"stage": "M10", "prod": "M30-dear"}


def test_what_is_gone_on_the_later_side_is_marked_as_gone() -> None:
    pair = explain(side("stage", STAGE, "new"), side("prod", PROD, "old"), declaring(old=plain, new=newer))
    assert [f.removed for f in alignment.findings(pair) if f.state is State.UNEXPLAINED] == [True]


def chosen(name: str, table: Table, program: Program = by_its_name) -> list[Finding]:
    mine, declare = side(name, table), declaring(here=program)
    (neutral,) = declare([mine.ask()])
    assert not isinstance(neutral, str)
    return [*alignment.named(mine, neutral, by_name(mine, neutral, declare))]


def test_a_value_that_was_chosen_by_the_name_is_found_though_no_pair_of_settings_shows_it() -> None:
    (found,) = chosen("stage", STAGE)
    assert found.what == "aws.ec2.Volume disk: encrypted is chosen by the environment's name"
    assert found.values == {"stage": "false", "any other name": "true"}
    assert found.severity is Severity.HIGH


def test_a_choice_is_found_in_a_text_that_carries_the_name_as_well() -> None:
    assert [one.values for one in chosen("prod", PROD)] == [{"prod": "prod-large", "any other name": "n7q4x1-small"}]


@pytest.mark.parametrize(("name", "table"), [("stage", STAGE), ("prod", PROD)])
def test_a_name_that_is_written_down_or_worked_into_a_hash_chooses_nothing(name: str, table: Table) -> None:
    assert chosen(name, table, plain) == []


def test_an_environment_that_cannot_be_declared_is_said_by_its_name() -> None:
    broken = {**PROD, "infra": {**PROD["infra"], "subnets": {}}}
    with pytest.raises(NotDeclared, match="what prod declares cannot be seen: a zone without a subnet"):
        explain(side("stage", STAGE), side("prod", broken), declaring(here=plain))
