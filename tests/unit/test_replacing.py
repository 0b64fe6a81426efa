"""When a node may get another machine, and when each step is done: values in, sentences out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.judge.samples import Telemetry
from controller.model import AppView, NodeView, Promise
from controller.rollout import replacing
from infra.outputs import NodeOutput, Outputs

GOOD = "sha256:" + "a" * 64
MINE = "replace-bos-a-100"


def output(name: str, transport: str = "local", carrier: str = "") -> NodeOutput:
    zone = name.partition("-")[0].upper()
    address = "i-0123456789abcdef0" if transport == "ssm" else "10.0.0.4"
    where = f"/nodes/{name}", transport, address, "", ""
    return NodeOutput(name, zone, "mqtt", *where, fronts={}, listens={}, backends=("http", "mqtt"), carrier=carrier)


BOS = tuple(output(f"bos-{letter}") for letter in "abc")
BACK = AppView(running=GOOD, good=GOOD, ready=True)
WEIGHTS = {f"{backend}/bos-{letter}": 1 for backend in ("http", "mqtt") for letter in "abc"}


def seen(**changed: dict[str, object]) -> dict[str, Telemetry]:
    """The zone in order, but for what is ``changed`` of a node: its view, its application or its metrics."""
    zone = {}
    for letter in "abc":
        change = dict(changed.get(letter, {}))
        metrics = change.pop("metrics", {})
        app = replace(BACK, **change.pop("app", {}))  # type: ignore[arg-type]  # a test's own keywords
        view = NodeView(f"bos-{letter}", 50.0, "boot", 1000.0, {"mqtt": app}, WEIGHTS)
        zone[view.node] = Telemetry(replace(view, **change), 0.0, (), {}, metrics=metrics)  # type: ignore[arg-type]  # a test's own keywords
    return zone


def test_a_node_of_a_zone_in_order_may_go() -> None:
    assert replacing.refusal(BOS[0], BOS, seen(), MINE) is None
    assert replacing.refusal(BOS[0], BOS, seen(a={"leases": frozenset({MINE})}), MINE) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"b": {"leases": frozenset({"replace-bos-c-90"})}}, "bos-c of BOS is being replaced: one for each zone"),
        (
            {"b": {"app": {"ready": False}}},
            "bos-b does not serve what bos-a has for good, and BOS cannot spare two nodes",
        ),
        (
            {"c": {"app": {"pending": Promise("t", GOOD, None, 9.0, 1)}}},
            "bos-c does not serve what bos-a has for good, and BOS cannot spare two nodes",
        ),
        (
            {"c": {"app": {"good": "sha256:" + "b" * 64}}},
            "bos-c does not serve what bos-a has for good, and BOS cannot spare two nodes",
        ),
    ],
)
def test_a_zone_that_misses_somebody_gives_up_no_other(changed: dict[str, dict[str, object]], sentence: str) -> None:
    assert replacing.refusal(BOS[0], BOS, seen(**changed), MINE) == sentence


def test_who_does_not_answer_is_known_by_name() -> None:
    for silent, sentence in (
        ("bos-a", "bos-a does not answer, so nobody knows what it still has to hand on"),
        ("bos-b", "bos-b does not answer, and BOS cannot spare two nodes"),
    ):
        assert replacing.refusal(BOS[0], BOS, {k: v for k, v in seen().items() if k != silent}, MINE) == sentence


def test_the_only_node_of_a_zone_stays() -> None:
    alone = replacing.refusal(BOS[0], BOS[:1], seen(), MINE)

    assert alone == "bos-a is the only node of BOS: its clients would find nobody"


def test_every_balancer_of_the_zone_is_told_in_its_own_time() -> None:
    zone = seen(b={"boottime": 2000.0})

    orders = {order.node: order for order in replacing.take_out(BOS[0], MINE, zone, until=80.0)}

    assert orders.keys() == {"bos-a", "bos-b", "bos-c"}
    assert {order.weights for order in orders.values()} == {(("http/bos-a", 0), ("mqtt/bos-a", 0))}
    assert (orders["bos-a"].until, orders["bos-b"].until) == (1030.0, 2030.0)


OUT = WEIGHTS | {"http/bos-a": 0, "mqtt/bos-a": 0}


@pytest.mark.parametrize(
    ("a", "rest", "words"),
    [
        ({"weights": OUT}, {}, "the balancers of bos-b, bos-c still send to it"),
        ({"weights": OUT}, {"weights": OUT, "sessions": {"mqtt/bos-a": 3}}, "6 sessions are still on it"),
        (
            {"weights": OUT, "metrics": {"backlog": 12.0}},
            {"weights": OUT},
            "12 of what it took are still to be handed on",
        ),
        ({"weights": OUT, "metrics": {"backlog": 0.0}}, {"weights": OUT, "sessions": {"mqtt/bos-b": 9}}, ""),
        ({"weights": OUT}, {"weights": OUT}, ""),
    ],
)
def test_a_machine_goes_when_nobody_is_on_it_and_nothing_is_left(
    a: dict[str, object], rest: dict[str, object], words: str
) -> None:
    assert replacing.remains(BOS[0], seen(a=a, b=rest, c=rest)) == words


def test_a_node_is_back_when_it_serves_what_it_had_for_good() -> None:
    assert replacing.is_back(BOS[0], GOOD, seen())
    assert not replacing.is_back(BOS[0], GOOD, seen(a={"app": {"ready": False}}))
    assert not replacing.is_back(BOS[0], GOOD, seen(a={"app": {"running": None}}))
    assert not replacing.is_back(BOS[0], GOOD, {})


def test_in_the_cloud_the_commands_name_one_machine_and_what_hangs_on_it() -> None:
    node = output("bos-a", "ssm", carrier="203.0.113.7")
    outputs = Outputs("prod", (node,), (), "", "", (), "", region="us-east-1")

    unprotect, up = replacing.commands(outputs, node)

    assert unprotect == (
        "aws ec2 modify-instance-attribute --region us-east-1 --instance-id i-0123456789abcdef0 "
        "--no-disable-api-termination"
    )
    assert up == (
        "pulumi up --stack prod --target-replace 'urn:pulumi:prod::turnabout::turnabout:infra:Platform$turnabout:infra:"
        "EdgeZone$turnabout:infra:NodeSlot$aws:ec2/instance:Instance::bos-a' --target-dependents"
    )


def test_a_node_that_is_reached_by_ssh_is_found_by_its_tags() -> None:
    node = output("bos-a", "ssh")

    unprotect, _ = replacing.commands(Outputs("prod", (node,), (), "", "", (), "", region="us-east-1"), node)

    assert "Name=tag:turnabout:node,Values=bos-a" in unprotect
    assert "Name=tag:turnabout:environment,Values=prod" in unprotect
