"""Another machine for one node: what must be true before it begins, and when each of its steps is done. Pure.

The slot keeps its name, its address and its data volume; the machine goes. First the node is taken out of its zone's
balancers, for a leased time; then it hands on what it still has; then it gets another machine. Meanwhile the
environment is on hold, and its zone gives up no other node: that is seen by the leases, which its own balancers hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from controller.judge.samples import Telemetry
from controller.model import NodeView, Revert, Traffic
from controller.rollout.standing import Standing
from infra.outputs import NodeOutput, Outputs

PREFIX = "replace-"
"""How the tokens of such leases begin; the node's name follows."""
SUBJECT = "replace"
"""What a hold is about that belongs to a replacement."""
BACKLOG = "backlog"
"""The metric by which an application says what it still has to hand on. One without it has nothing."""

Seen = Mapping[str, Telemetry]
"""Nodes of one zone, by name; one that did not answer is missing."""


def token_of(node: str, at: float) -> str:
    return f"{PREFIX}{node}-{at:.0f}"


def zone_of(outputs: Outputs, node: NodeOutput) -> tuple[NodeOutput, ...]:
    """The nodes that serve the same clients, ``node`` among them."""
    return tuple(one for one in outputs.nodes if (one.zone, one.app) == (node.zone, node.app))


def kept_by(standing: Standing) -> str | None:
    """Why an environment cannot spare a node now, or None."""
    rollout = standing.open_rollout
    if rollout is not None:
        return f"rollout {rollout.number} is {rollout.phase} and needs every node; wait until it is closed, or abort it"
    return None


def refusal(node: NodeOutput, zone: tuple[NodeOutput, ...], seen: Seen, mine: str) -> str | None:
    """Why this node may not get another machine now, or None. ``mine`` is the token of whoever asks."""
    others = [one.name for one in zone if one.name != node.name]
    if not others:
        return f"{node.name} is the only node of {node.zone}: its clients would find nobody"
    if node.name not in seen:
        return f"{node.name} does not answer, so nobody knows what it still has to hand on"
    for other in rivals(seen, mine):
        return f"{other.removeprefix(PREFIX).rpartition('-')[0]} of {node.zone} is being replaced: one for each zone"
    promoted = seen[node.name].view.apps[node.app].good
    for name in others:
        if name not in seen:
            return f"{name} does not answer, and {node.zone} cannot spare two nodes"
        app = seen[name].view.apps[node.app]
        if not (app.ready and app.pending is None and app.good == promoted and app.running == promoted):
            return f"{name} does not serve what {node.name} has for good, and {node.zone} cannot spare two nodes"
    return None


def rivals(seen: Seen, mine: str) -> Iterator[str]:
    """Tokens of other replacements that the zone's balancers hold."""
    held = {token for one in seen.values() for token in one.view.leases}
    yield from sorted(token for token in held if token.startswith(PREFIX) and token != mine)


def take_out(node: NodeOutput, token: str, seen: Seen, until: float) -> Iterator[Traffic]:
    """No balancer of the zone sends to the node any more, until ``until`` on the controller's clock."""
    weights = tuple((f"{backend}/{node.name}", 0) for backend in node.backends)
    for name, one in seen.items():
        ends = one.view.local(until)
        yield Traffic(name, weights, token, one.view.boot, ends, ends)


def give_back(node: NodeOutput, token: str, zone: Collection[str]) -> Iterator[Revert]:
    for name in zone:
        yield Revert(name, node.app, token, "weights back to base")


def remains(node: NodeOutput, seen: Seen) -> str:
    """What still holds up the machine, in words; empty when it may go."""
    servers = [f"{backend}/{node.name}" for backend in node.backends]
    views: list[NodeView] = [one.view for one in seen.values()]
    sent = sorted(view.node for view in views if any(view.weights.get(server, 1) for server in servers))
    if sent:
        return f"the balancers of {', '.join(sent)} still send to it"
    clients = sum(view.sessions.get(server, 0) for view in views for server in servers)
    if clients:
        return f"{clients} sessions are still on it"
    if node.name not in seen:
        return "it does not answer"
    backlog = seen[node.name].metrics.get(BACKLOG, 0.0)
    return f"{backlog:.0f} of what it took are still to be handed on" if backlog else ""


def is_back(node: NodeOutput, good: str | None, seen: Seen) -> bool:
    """Whether the node serves last good."""
    if node.name not in seen:
        return False
    app = seen[node.name].view.apps.get(node.app)
    return app is not None and app.ready and app.good == good and app.running == good


def commands(outputs: Outputs, node: NodeOutput) -> tuple[str, ...]:
    """What gives a node of the cloud another machine: AWS's protection off, then the slot's machine alone replaced."""
    found = (
        f"aws ec2 describe-instances --region {outputs.region} --output text "
        f"--filters Name=tag:turnabout:environment,Values={outputs.environment} "
        f"Name=tag:turnabout:node,Values={node.name} Name=instance-state-name,Values=running "
        "--query 'Reservations[].Instances[].InstanceId'"
    )
    instance = node.address if node.transport == "ssm" else f"$({found})"
    kind = "EdgeZone" if node.carrier else "RegionZone"
    within = f"turnabout:infra:Platform$turnabout:infra:{kind}$turnabout:infra:NodeSlot$aws:ec2/instance:Instance"
    urn = f"urn:pulumi:{outputs.environment}::turnabout::{within}::{node.name}"
    return (
        f"aws ec2 modify-instance-attribute --region {outputs.region} --instance-id {instance} "
        "--no-disable-api-termination",
        f"pulumi up --stack {outputs.environment} --target-replace '{urn}' --target-dependents",
    )
