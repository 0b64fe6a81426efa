"""The machines that release controllers run on, leader and standby, and what a controller may do.

The group is there even where no machine is: whoever carries it may observe and probe nodes. Nothing may come in. What
runs on the machines is the controller's own matter; builds do not run here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels
from infra.roles import MachineRole, Right, RoleArgs
from infra.slot import MachineArgs, machine
from infra.slots import OBSERVE_PORT

NODE_PORTS = (OBSERVE_PORT, OBSERVE_PORT + 99)


@dataclass(frozen=True, slots=True)
class ControllersArgs:
    labels: Labels
    region: str
    machine: MachineArgs
    count: int
    vpc: pulumi.Input[str]
    inside: str
    fronts: Sequence[int]
    subnets: Sequence[pulumi.Input[str]]


class Controllers(pulumi.ComponentResource):
    """The group first, because nodes name it; ``run`` adds the machines once it is known what they may do."""

    def __init__(self, name: str, args: ControllersArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Controllers", name, None, opts)
        self._name, self._args = name, args
        to_nodes = [
            Opening("nodes", *NODE_PORTS, cidr=args.inside),
            *(Opening(f"front-{port}", port, port, cidr=args.inside) for port in sorted({*args.fronts})),
            Opening("ssh", 22, 22, cidr=args.inside),
        ]
        self._firewall = Firewall(
            name,
            FirewallArgs(args.labels, args.vpc, "controllers", [], out=to_nodes),
            pulumi.ResourceOptions(parent=self),
        )
        self.group: pulumi.Output[str] = self._firewall.id
        self.register_outputs({"group": self.group})

    def run(
        self, bucket: pulumi.Input[str], releases: Sequence[pulumi.Input[str]], platform: pulumi.Input[str]
    ) -> MachineRole:
        """The role of a controller, and its machines. All three are ARNs: the bucket, parameters, the outputs."""
        args, under = self._args, pulumi.ResourceOptions(parent=self)
        role = MachineRole(self._name, RoleArgs(args.labels, self._rights(bucket, releases, platform)), under)
        for number in range(args.count):
            host = f"{self._name}-{number}"
            machine(
                host,
                args.machine,
                args.labels.of(host),
                pulumi.ResourceOptions(parent=self, ignore_changes=["ami"]),
                subnet=args.subnets[number % len(args.subnets)],
                groups=[self.group],
                profile=role.profile.name,
                public=True,  # its way out; nothing comes in
            )
        return role

    def _rights(
        self, bucket: pulumi.Input[str], releases: Sequence[pulumi.Input[str]], platform: pulumi.Input[str]
    ) -> list[Right]:
        args = self._args
        ours = {"StringEquals": {"ssm:resourceTag/turnabout:environment": args.labels.environment}}
        return [
            Right(["s3:GetObject", "s3:PutObject"], [pulumi.Output.concat(bucket, "/*")]),
            Right(["s3:ListBucket"], [bucket]),
            Right(["ssm:GetParameter", "ssm:PutParameter"], releases),
            Right(["ssm:GetParameter"], [platform]),
            Right(["ssm:SendCommand"], [f"arn:aws:ssm:{args.region}::document/AWS-RunShellScript"]),
            Right(["ssm:SendCommand"], [f"arn:aws:ec2:{args.region}:*:instance/*"], ours),
            Right(["ssm:CancelCommand", "ssm:GetCommandInvocation", "ssm:ListCommandInvocations"], ["*"]),
        ]
