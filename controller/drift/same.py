"""Which resource of a cloud is which declared one, and how values name others: what both sides must agree on first.

Pure. A declared resource and a live one are the same when they carry the same name tag; what carries none (a rule, a
route, an attachment) is who it is by what it joins. Live values name others by the cloud's own ids, declared ones by
those that the program's monitor made up: both are read back as one logical id before anything is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.drift.resources import Resource

JOINS: Mapping[str, tuple[str, ...]] = {
    "aws.ec2.Route": ("routeTableId", "destinationCidrBlock"),
    "aws.ec2.RouteTableAssociation": ("subnetId", "routeTableId"),
    "aws.ec2.VolumeAttachment": ("volumeId", "instanceId"),
    "aws.ec2.EipAssociation": ("allocationId", "instanceId"),
    "aws.vpc.SecurityGroupIngressRule": (
        "securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId",
    ),
    "aws.vpc.SecurityGroupEgressRule": (
        "securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "referencedSecurityGroupId",
    ),
    "aws.ssm.Parameter": ("name",),
    "mongodbatlas.Project": ("name",),
    "mongodbatlas.AdvancedCluster": ("name",),
    "mongodbatlas.DatabaseUser": ("username",),
    "mongodbatlas.CustomDbRole": ("roleName",),
    "mongodbatlas.ProjectIpAccessList": ("comment", "cidrBlock"),
    "mongodbatlas.MaintenanceWindow": (),
    "mongodbatlas.CloudBackupSchedule": ("clusterName",),
    "aws.lb.Listener": ("loadBalancerArn", "port"),
    "aws.lb.TargetGroupAttachment": ("targetGroupArn", "targetId", "port"),
    "aws.iam.RolePolicy": ("role",),
    "aws.iam.RolePolicyAttachment": ("role", "policyArn"),
    "aws.iam.InstanceProfile": ("role",),
    "aws.s3.BucketVersioning": ("bucket",),
    "aws.s3.BucketPublicAccessBlock": ("bucket",),
    "aws.s3.BucketLifecycleConfiguration": ("bucket",),
    "aws.s3.BucketPolicy": ("bucket",),
    "aws.s3.BucketObjectv2": ("bucket", "key"),
    "aws.cloudwatch.MetricAlarm": ("metricName", "dimensions.InstanceId"),
    "aws.budgets.Budget": (),
}  # fmt: skip
"""Kinds that are known by some of their values; the others are known by their name tag."""
NAME = ("tags.Name",)
REFERS = re.compile(
    r"(?:Ids?|Arns?|^role|^username|^bucket|^subnets|^securityGroups|Resource|^alarmActions)(?:\[\d+\])?$"
)
"""Where a value names another resource."""
PARAMETER = ":parameter"
OF_AN_ACCOUNT = re.compile(r"arn:aws:ssm:[a-z0-9-]+:[0-9]{12}(:parameter/.*)")
"""An ARN with a parameter's name, by which it is known though it may be gone."""
ROLE_ARN = re.compile(r"arn:aws:iam::\d+:role/(.+)-[0-9a-f]{6,8}")
"""A role whose name ends with what the engine made up."""
A_SET = re.compile(
    r"((?:^|.*\.)(?:Action|NotAction|Resource|NotResource)"
    r"|^(?:subnets|securityGroups|vpcSecurityGroupIds))(?:\[\d+\])?$"
)
"""Lists whose order means nothing, and which a single value may stand for."""


@dataclass(frozen=True, slots=True)
class Live:
    """One resource as a cloud describes it; ``values`` are flat and spelled as the program spells them."""

    kind: str
    id: str
    values: Mapping[str, Any]
    arn: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What a cloud has of one environment. ``blind`` has kinds that could not be looked at, and why."""

    found: Sequence[Live]
    kinds: frozenset[str]
    blind: Mapping[str, str]
    calls: int = 0


def logical(one: Resource) -> str:
    """The id that the program's monitor gave a resource, by which others name it."""
    return f"{one.kind.rpartition('.')[2].lower()}-{one.name}"


def aliases(one: Resource) -> Iterator[str]:
    """What else the program's monitor lets others call a resource by."""
    kind = one.kind.rpartition(".")[2].lower()
    yield f"arn:aws:{kind}:{one.name}"
    if kind == "parameter":
        yield f"{PARAMETER}{one.values.get('name')}"
    if kind == "role":
        yield one.name
    if kind == "bucket":
        yield f"{one.name}-0f1e2d"


def key(kind: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(path) for path in JOINS.get(kind, NAME))


def alike(asked: Mapping[str, Any], has: Mapping[str, Any]) -> int:
    return sum(has.get(path) == value for path, value in asked.items())


def known(values: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """Values in which others are named as the program knows them; of an ARN what follows it stays."""

    def named(value: Any) -> Any:
        if not isinstance(value, str) or value in ids:
            return ids.get(value, value) if isinstance(value, str) else value
        if found := OF_AN_ACCOUNT.match(value):
            return ids.get(found[1], value)
        if (found := ROLE_ARN.fullmatch(value)) and not any(id.startswith("arn:aws:iam::") for id in ids):
            return f"role-{found[1]}"  # nobody looked at roles, so that their names must do
        whole, slash, rest = value.partition("/")
        return f"{ids[whole]}{slash}{rest}" if slash and whole in ids else value

    return {path: named(value) if REFERS.search(path) else value for path, value in values.items()}


def settled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in which lists without an order have one, and a single value is a list of one."""
    plain: dict[str, Any] = {}
    sets: dict[str, list[Any]] = {}
    for path, value in values.items():
        if (found := A_SET.match(path)) and value != []:
            sets.setdefault(found[1], []).append(value)
        else:
            plain[path] = value
    return plain | {
        f"{path}[{n}]": value for path, those in sets.items() for n, value in enumerate(sorted(those, key=str))
    }
