"""Who may do what in AWS: one role for the nodes of each zone, one for controllers, one for the bastion.

A statement names its actions and its resources one by one. What Session Manager's agent does cannot be bound to a
resource; Amazon's own policy for it would let every machine read every parameter, so its actions are listed here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels

AGENT = (
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)


@dataclass(frozen=True, slots=True)
class Right:
    """What may be done to what; ``given`` are the conditions, as IAM writes them."""

    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]]
    given: Mapping[str, Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class RoleArgs:
    labels: Labels
    rights: Sequence[Right]


class MachineRole(pulumi.ComponentResource):
    """A role that machines take, with its instance profile; every one may be reached by Session Manager."""

    def __init__(self, name: str, args: RoleArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:MachineRole", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        self.role = aws.iam.Role(
            name,
            assume_role_policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "sts:AssumeRole",
                            "Principal": {"Service": "ec2.amazonaws.com"},
                        }
                    ],
                }
            ),
            tags=args.labels.of(name),
            opts=under,
        )
        rights = [Right(AGENT, ["*"]), *args.rights]
        aws.iam.RolePolicy(name, role=self.role.name, policy=pulumi.Output.json_dumps(_policy(rights)), opts=under)
        self.profile = aws.iam.InstanceProfile(name, role=self.role.name, tags=args.labels.of(name), opts=under)
        self.arn: pulumi.Output[str] = self.role.arn
        self.register_outputs({"role": self.role.arn})


def _policy(rights: Sequence[Right]) -> dict[str, object]:
    statements = [
        {
            "Effect": "Allow",
            "Action": list(right.actions),
            "Resource": list(right.resources),
            **({"Condition": right.given} if right.given else {}),
        }
        for right in rights
    ]
    return {"Version": "2012-10-17", "Statement": statements}
