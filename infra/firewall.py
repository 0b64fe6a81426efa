"""What may reach a machine and what it may reach: security groups as a list of openings.

Each opening is a rule of its own, so that drift names the one that somebody changed by hand. Machines reach HTTPS and
the far store, and nothing else outside; a group without openings lets nothing in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels
from infra.network import EVERYWHERE

FAR_STORE = (27015, 27017)


@dataclass(frozen=True, slots=True)
class Opening:
    """Ports ``first`` to ``last`` by TCP, for a network or for the machines of a group; ``own`` is the group itself."""

    name: str
    first: int
    last: int
    cidr: str | None = None
    group: pulumi.Input[str] | None = None
    own: bool = False


@dataclass(frozen=True, slots=True)
class FirewallArgs:
    labels: Labels
    vpc: pulumi.Input[str]
    about: str
    openings: Sequence[Opening]
    out: Sequence[Opening] = ()
    """What the machines may reach beside HTTPS and the far store; a balancer reaches its targets alone."""
    outside: bool = True


class Firewall(pulumi.ComponentResource):
    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Firewall", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        self.group = aws.ec2.SecurityGroup(
            name, vpc_id=args.vpc, description=args.about, tags=args.labels.of(name), opts=under
        )
        for opening in args.openings:
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-in-{opening.name}",
                security_group_id=self.group.id,
                ip_protocol="tcp",
                from_port=opening.first,
                to_port=opening.last,
                cidr_ipv4=opening.cidr,
                referenced_security_group_id=self.group.id if opening.own else opening.group,
                description=opening.name,
                tags=args.labels.of(name),
                opts=under,
            )
        outside = [
            Opening("https", 443, 443, cidr=EVERYWHERE),
            Opening("far-store", *FAR_STORE, cidr=EVERYWHERE),
        ]
        for opening in [*args.out, *(outside if args.outside else ())]:
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-out-{opening.name}",
                security_group_id=self.group.id,
                ip_protocol="tcp",
                from_port=opening.first,
                to_port=opening.last,
                cidr_ipv4=opening.cidr,
                referenced_security_group_id=self.group.id if opening.own else opening.group,
                description=opening.name,
                tags=args.labels.of(name),
                opts=under,
            )
        self.id = self.group.id
        self.register_outputs({"group": self.group.id})
