"""A zone of nodes in the region: private subnets, and a load balancer in front of the nodes' own balancers.

Without a certificate the load balancer is an internal one: what customers' data passes through is never open to the
internet in plain text. Weights of a rollout are set in the nodes' balancers; this one only leaves out who is not ready.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.edge import ZoneArgs, node_slot, zone_firewall, zone_subnets
from infra.firewall import Firewall, FirewallArgs, Opening
from infra.network import EVERYWHERE
from infra.slots import Slot


@dataclass(frozen=True, slots=True)
class RegionZoneArgs:
    zone: ZoneArgs
    front: int
    """The port on every node that the load balancer sends to."""
    ready_path: str
    public_subnets: Sequence[pulumi.Input[str]]
    inside: str
    """The network that may reach an internal load balancer."""
    certificate: str


class RegionZone(pulumi.ComponentResource):
    def __init__(self, name: str, args: RegionZoneArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:RegionZone", name, None, opts)
        zone, self._args, self._under = args.zone, args, pulumi.ResourceOptions(parent=self)
        self._port = 443 if args.certificate else args.front
        self.firewall = self._balancer_firewall(name)
        subnets = zone_subnets(name, zone, self)
        nodes = zone_firewall(name, zone, [Opening("balancer", args.front, args.front, group=self.firewall.id)], self)
        self.slots = {slot.name: node_slot(slot, zone, subnets, nodes, "", self) for slot in zone.slots}
        self.address = self._balance(name, zone.slots)
        self.register_outputs({"zone": zone.zone, "address": self.address})

    def _balancer_firewall(self, name: str) -> Firewall:
        args = self._args
        clients = EVERYWHERE if args.certificate else args.inside
        return Firewall(
            f"{name}-balancer",
            FirewallArgs(
                args.zone.labels,
                args.zone.vpc,
                f"load balancer of {args.zone.zone}",
                [Opening("clients", self._port, self._port, cidr=clients)],
                out=[Opening("nodes", args.front, args.front, cidr=args.inside)],
                outside=False,
            ),
            self._under,
        )

    def _balance(self, name: str, slots: Sequence[Slot]) -> pulumi.Output[str]:
        args, tags = self._args, self._args.zone.labels.of(name, zone=self._args.zone.zone)
        balancer = aws.lb.LoadBalancer(
            name,
            load_balancer_type="application",
            internal=not args.certificate,
            subnets=args.public_subnets,
            security_groups=[self.firewall.id],
            drop_invalid_header_fields=True,
            enable_deletion_protection=args.zone.machine.protect,
            tags=tags,
            opts=self._under,
        )
        targets = aws.lb.TargetGroup(
            name,
            port=args.front,
            protocol="HTTP",
            vpc_id=args.zone.vpc,
            target_type="instance",
            deregistration_delay=5,
            health_check={"path": args.ready_path, "interval": 5, "timeout": 2, "unhealthy_threshold": 2},
            tags=tags,
            opts=self._under,
        )
        aws.lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=self._port,
            protocol="HTTPS" if args.certificate else "HTTP",
            default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
            certificate_arn=args.certificate or None,
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06" if args.certificate else None,
            tags=tags,
            opts=self._under,
        )
        for slot in slots:
            aws.lb.TargetGroupAttachment(
                slot.name,
                target_group_arn=targets.arn,
                target_id=self.slots[slot.name].instance.id,
                port=args.front,
                opts=self._under,
            )
        return balancer.dns_name
