"""What a new machine fetches to become a node: the node program, its balancer's configuration, its facts.

Files are objects in the bucket; the facts hold a token, so they are an encrypted parameter that only the zone's own
nodes may read. A node that runs is not changed by any of this: it fetches what its volume does not have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pulumi
import pulumi_aws as aws

from infra.balancer import START_LINE, haproxy_cfg
from infra.boot import RUN
from infra.facts import node_facts
from infra.labels import Labels
from infra.slots import OBSERVE_PORT, PROGRAM, Slot, balancer_of

HAPROXY = "/usr/sbin/haproxy"


class NoProgram(Exception):
    """The node program is not there; the message says how to make it."""


@dataclass(frozen=True, slots=True)
class EquipmentArgs:
    labels: Labels
    slots: tuple[Slot, ...]
    fronts: Mapping[str, int]
    trusted: Sequence[str]
    node_program: Path
    bucket: pulumi.Input[str]
    mongo_uri: pulumi.Input[str]
    tokens: Mapping[str, pulumi.Input[str]]
    tls: bool
    """Whether devices and zones have certificates."""


def facts_path(labels: Labels, node: str) -> str:
    """The parameter that holds a node's facts."""
    return labels.path("nodes", node)


class Equipment(pulumi.ComponentResource):
    def __init__(self, name: str, args: EquipmentArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Equipment", name, None, opts)
        self._args, self._under = args, pulumi.ResourceOptions(parent=self)
        program = args.node_program
        if not program.is_file():
            how = f"make it with `python -m controller.node.pack {program}`"
            raise NoProgram(f"The node program {program} is missing; {how}.")
        self._object("program/node.pyz", source=pulumi.FileAsset(str(program)))
        self._object("nodes/session_start.lua", content=START_LINE)
        for slot in args.slots:
            balancer = balancer_of(slot, args.slots, args.fronts, RUN, args.tls)
            config = haproxy_cfg(balancer, f"{slot.root}/session_start.lua")
            self._object(f"nodes/{slot.name}/haproxy.cfg", content=config)
            self._facts(slot)
        self.register_outputs({})

    def _object(self, key: str, content: str | None = None, source: pulumi.Asset | None = None) -> None:
        aws.s3.BucketObjectv2(
            key,
            bucket=self._args.bucket,
            key=key,
            content=content,
            source=source,
            tags=self._args.labels.of(key),
            opts=self._under,
        )

    def _facts(self, slot: Slot) -> None:
        known = pulumi.Output.all(self._args.tokens[slot.name], self._args.mongo_uri)
        aws.ssm.Parameter(
            f"facts-{slot.name}",
            name=facts_path(self._args.labels, slot.name),
            type="SecureString",
            value=known.apply(partial(self._text, slot)),
            tags=self._args.labels.of(f"facts-{slot.name}", zone=slot.zone, node=slot.name, app=slot.app.name),
            opts=self._under,
        )

    def _text(self, slot: Slot, known: Sequence[str]) -> str:
        token, mongo_uri = known
        facts = node_facts(
            node=slot.name,
            zone=slot.zone,
            environment=self._args.labels.environment,
            bind=slot.address,
            run=RUN,
            app=slot.app.name,
            ports=slot.listens,
            haproxy=HAPROXY,
            config=f"{slot.root}/haproxy.cfg",
            balancer=balancer_of(slot, self._args.slots, self._args.fronts, RUN, self._args.tls),
            observe_port=OBSERVE_PORT,
            observe_token=token,
            trusted=self._args.trusted,
            mongo_uri=mongo_uri,
            python=PROGRAM[0],
        )
        return json.dumps(facts, sort_keys=True, separators=(",", ":"))
