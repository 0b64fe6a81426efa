"""Names that devices and customers use: one for each zone, in a hosted zone of Route 53 that exists already.

A zone at the edge is a name with the carrier addresses of all its nodes: nothing can balance MQTT in front of them, so
a device tries one after the other. Health checks of Route 53 come from the internet and would find no carrier address
alive, so there are none; a node that is out for long stays in the answer, and its neighbours take who it turns away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

SECONDS = 60  # how long a device may remember: an address stays with its slot, so that answers seldom change


@dataclass(frozen=True, slots=True)
class NamesArgs:
    hosted_zone: str
    domain: str
    carriers: Mapping[str, Sequence[pulumi.Input[str]]]
    """Zone at the edge to the carrier addresses of its nodes."""
    balancers: Mapping[str, pulumi.Input[str]]
    """Zone in the region to its load balancer's own name."""


class Names(pulumi.ComponentResource):
    def __init__(self, name: str, args: NamesArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Names", name, None, opts)
        self._args, self._under = args, pulumi.ResourceOptions(parent=self)
        for zone, addresses in args.carriers.items():
            self._record(f"{name}-{zone}", zone, "A", addresses)
        for zone, balancer in args.balancers.items():
            self._record(f"{name}-{zone}", zone, "CNAME", [balancer])
        self.register_outputs({})

    def _record(self, name: str, zone: str, kind: str, says: Sequence[pulumi.Input[str]]) -> None:
        aws.route53.Record(
            name,
            zone_id=self._args.hosted_zone,
            name=f"{zone.lower()}.{self._args.domain}",
            type=kind,
            ttl=SECONDS,
            records=list(says),
            opts=self._under,
        )
