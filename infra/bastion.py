"""The one machine that SSH from outside reaches, where an environment names who may come. Session Manager needs none.

Keys are sent to a machine for a minute by EC2 Instance Connect; none is kept on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels
from infra.roles import MachineRole, RoleArgs
from infra.slot import MachineArgs, machine


@dataclass(frozen=True, slots=True)
class BastionArgs:
    labels: Labels
    machine: MachineArgs
    vpc: pulumi.Input[str]
    inside: str
    """The environment's own network, which SSH passes on into."""
    subnet: pulumi.Input[str]
    ssh_from: Sequence[str]


class Bastion(pulumi.ComponentResource):
    """``address`` is where SSH knocks; ``group`` is what nodes let in."""

    def __init__(self, name: str, args: BastionArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Bastion", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        knocks = [Opening(f"ssh-{number}", 22, 22, cidr=cidr) for number, cidr in enumerate(args.ssh_from)]
        onward = Opening("ssh", 22, 22, cidr=args.inside)
        firewall = Firewall(name, FirewallArgs(args.labels, args.vpc, "bastion", knocks, out=[onward]), under)
        role = MachineRole(name, RoleArgs(args.labels, []), under)
        tags = args.labels.of(name)
        instance = machine(
            name,
            args.machine,
            tags,
            pulumi.ResourceOptions(parent=self, ignore_changes=["ami"]),
            subnet=args.subnet,
            groups=[firewall.id],
            profile=role.profile.name,
        )
        address = aws.ec2.Eip(name, domain="vpc", tags=tags, opts=under)
        aws.ec2.EipAssociation(name, allocation_id=address.id, instance_id=instance.id, opts=under)
        self.group: pulumi.Output[str] = firewall.id
        self.address: pulumi.Output[str] = address.public_ip
        self.register_outputs({"address": self.address})
