"""The one machine that SSH from outside reaches, where an environment names who may come. Session Manager needs none.

People's keys are sent to it for a minute by EC2 Instance Connect; the controllers' is kept on it where commands go this
way, and is good for passing on alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.boot import Ssh, bastion_data
from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels
from infra.roles import MachineRole, Right, RoleArgs
from infra.slot import MachineArgs, machine


@dataclass(frozen=True, slots=True)
class BastionArgs:
    labels: Labels
    machine: MachineArgs
    vpc: pulumi.Input[str]
    inside: str
    """The environment's own network, which SSH passes on into."""
    subnet: pulumi.Input[str]
    controllers: pulumi.Input[str]
    """The group of the machines that commands come from."""
    ssh_from: Sequence[str]
    region: str
    ssh: Ssh


class Bastion(pulumi.ComponentResource):
    """People knock at its public address, controllers at ``address``, inside; ``group`` is what nodes let in."""

    def __init__(self, name: str, args: BastionArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Bastion", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        knocks = [Opening(f"ssh-{number}", 22, 22, cidr=cidr) for number, cidr in enumerate(args.ssh_from)]
        knocks += [Opening("ssh-controllers", 22, 22, group=args.controllers)]
        onward = Opening("ssh", 22, 22, cidr=args.inside)
        firewall = Firewall(name, FirewallArgs(args.labels, args.vpc, "bastion", knocks, out=[onward]), under)
        own_key = Right(["ssm:GetParameter"], [f"arn:aws:ssm:{args.region}:*:parameter{args.ssh.host_key}"])
        role = MachineRole(name, RoleArgs(args.labels, [own_key]), under)
        tags = args.labels.of(name)
        instance = machine(
            name,
            args.machine,
            tags,
            pulumi.ResourceOptions(parent=self, ignore_changes=["ami"]),
            subnet=args.subnet,
            groups=[firewall.id],
            profile=role.profile.name,
            user_data=bastion_data(args.region, args.ssh),
        )
        address = aws.ec2.Eip(name, domain="vpc", tags=tags, opts=under)
        aws.ec2.EipAssociation(name, allocation_id=address.id, instance_id=instance.id, opts=under)
        self.group: pulumi.Output[str] = firewall.id
        self.address: pulumi.Output[str] = instance.private_ip
        self.register_outputs({"address": self.address, "public": address.public_ip})
