"""Resources compared value by value: documents by their places, lists by their names, secrets never shown."""

from __future__ import annotations

import json
from typing import Any

from controller.drift import severity
from controller.drift.finding import Severity
from controller.drift.resources import Resource, differing, read, shown


def made(inputs: dict[str, Any], name: str = "one", secret: tuple[str, ...] = ()) -> dict[str, Resource]:
    kind = "aws:ssm/parameter:Parameter"
    one = {"kind": kind, "name": name, "inputs": inputs, "options": {}, "secret": [*secret], "place": "x.py:1"}
    return read([one])


def paths(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    return [path for _, path in differing(made(left), made(right))]


def test_a_resource_is_who_it_is_by_kind_and_name() -> None:
    assert [*differing(made({}), made({}, "other"))] == [("aws.ssm.Parameter one", ""), ("aws.ssm.Parameter other", "")]


def test_a_document_in_a_text_differs_by_its_place_in_it() -> None:
    facts = {"nodes": [{"name": "a", "at": 1}, {"name": "b", "at": 2}], "token": "t"}
    more = {**facts, "nodes": [{"name": "new", "at": 3}, *facts["nodes"]]}
    assert paths({"value": json.dumps(facts)}, {"value": json.dumps(more)}) == [
        "value.nodes[new].name",
        "value.nodes[new].at",
    ]


def test_a_line_more_in_a_configuration_moves_no_other() -> None:
    text = "global\n  log a\n  nbthread 1\nbackend web\n  server a 10.0.0.1\n"
    more = text.replace("  server a 10.0.0.1\n", "  server b 10.0.0.2\n  server a 10.0.0.1\n")
    assert paths({"content": text}, {"content": more}) == ["content.backend web/server b"]


def test_true_is_not_one_and_an_empty_list_is_not_nothing() -> None:
    assert paths({"a": True, "b": []}, {"a": 1}) == ["a", "b"]


def test_a_secret_is_compared_and_never_shown() -> None:
    one = made({"value": json.dumps({"token": "left"})}, secret=("value",))["aws.ssm.Parameter one"]
    assert one.secret == {"value.token"}
    assert shown("left", secret=True) == "(secret)"


def test_the_table_of_severities_knows_what_lets_somebody_in() -> None:
    assert severity.of("aws.vpc.SecurityGroupIngressRule", "cidrIpv4") is Severity.HIGH
    assert severity.of("aws.ec2.Instance", "instanceType") is Severity.MEDIUM
    assert severity.of("aws.ec2.Instance", "tags.Name") is Severity.LOW
    assert severity.of("aws.something.New", "unheardOf") is Severity.MEDIUM
