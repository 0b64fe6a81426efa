"""What the program tells the controller: the outputs contract, filled from what AWS and Atlas answered.

The same value leaves in two ways: as the stack's output, and as a parameter that the controller reads without Pulumi.
It holds the observers' tokens, so it is a secret in both.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels
from infra.outputs import NodeOutput, Outputs, to_json
from infra.slots import OBSERVE_PORT, PROGRAM, Slot

SSH_USER = "ec2-user"
"""Who the machines' image lets in by a key; Run Command comes as root instead."""
AS_ROOT = ("/usr/bin/sudo", "-n")
BASTION = "bastion"
PARAMETER_BYTES = 8192  # the most that a parameter of the advanced tier holds


class TooLong(Exception):
    """The outputs do not fit the parameter; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What is known of a node only once its machine is there."""

    instance: pulumi.Input[str]
    carrier: pulumi.Input[str]


@dataclass(frozen=True, slots=True)
class PublishedArgs:
    labels: Labels
    region: str
    transport: str
    repository: str
    trusted: tuple[str, ...]
    slots: tuple[Slot, ...]
    fronts: Mapping[str, int]
    reached: Mapping[str, Reached]
    tokens: Mapping[str, pulumi.Input[str]]
    mongo_uri: pulumi.Input[str]
    bastion: pulumi.Input[str]
    host_keys: Mapping[str, pulumi.Input[str]]
    """Public halves by machine, the bastion's under ``bastion``; none where SSH leads nowhere."""
    bucket: pulumi.Input[str]
    releases: Mapping[str, str]


class Published(pulumi.ComponentResource):
    """``document`` is the JSON text of the contract; ``parameter`` the ARN of where it is."""

    def __init__(self, name: str, args: PublishedArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Published", name, None, opts)
        known = pulumi.Output.all(
            reached={node: {"instance": one.instance, "carrier": one.carrier} for node, one in args.reached.items()},
            tokens=dict(args.tokens),
            mongo_uri=args.mongo_uri,
            bastion=args.bastion,
            host_keys=dict(args.host_keys),
            bucket=args.bucket,
        )
        self.document: pulumi.Output[str] = pulumi.Output.secret(
            known.apply(lambda known: to_json(_value(args, known)))
        )
        parameter = aws.ssm.Parameter(
            name,
            name=args.labels.path("outputs"),
            type="SecureString",
            tier="Intelligent-Tiering",
            value=self.document.apply(_short),
            tags=args.labels.of(name),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.parameter: pulumi.Output[str] = parameter.arn
        self.register_outputs({"parameter": parameter.name})


def token(key: str, environment: str, node: str) -> str:
    """A node's observers' token: made of the stack's one secret, so that a new node needs no new one."""
    return hmac.new(key.encode(), f"{environment}/{node}".encode(), hashlib.sha256).hexdigest()


def _value(args: PublishedArgs, known: Mapping[str, object]) -> Outputs:
    reached, tokens, keys = known["reached"], known["tokens"], known["host_keys"]
    assert isinstance(reached, Mapping) and isinstance(tokens, Mapping) and isinstance(keys, Mapping)
    by_ssh = args.transport == "ssh"
    nodes = tuple(
        NodeOutput(
            name=slot.name,
            zone=slot.zone,
            app=slot.app.name,
            root=slot.root,
            transport=args.transport,
            address=slot.address if by_ssh else str(reached[slot.name]["instance"]),
            observe_url=f"http://{slot.address}:{OBSERVE_PORT}/observe",
            observe_token=str(tokens[slot.name]),
            fronts={port: f"{slot.address}:{args.fronts[port]}" for port in slot.app.modes},
            listens={port: f"{slot.address}:{number}" for port, number in slot.listens.items()},
            backends=tuple(sorted(slot.app.modes)),
            carrier=str(reached[slot.name]["carrier"]),
            host_key=str(keys.get(slot.name, "")),
        )
        for slot in args.slots
    )
    return Outputs(
        environment=args.labels.environment,
        nodes=nodes,
        program=(*AS_ROOT, *PROGRAM) if by_ssh else PROGRAM,
        mongo_uri=str(known["mongo_uri"]),
        repository=args.repository,
        trusted=args.trusted,
        bastion=str(known["bastion"]),
        bastion_host_key=str(keys.get(BASTION, "")),
        ssh_user=SSH_USER if by_ssh else "",
        region=args.region,
        artifacts=str(known["bucket"]),
        releases=dict(args.releases),
    )


def _short(document: str) -> str:
    """The document without blanks; raises TooLong."""
    text = json.dumps(json.loads(document), separators=(",", ":"), sort_keys=True)
    if len(text.encode()) > PARAMETER_BYTES:
        reason = f"the outputs are {len(text.encode())} bytes, and a parameter holds {PARAMETER_BYTES}"
        raise TooLong(f"{reason}; part the environment in two, or let the controller read the stack's output")
    return text
