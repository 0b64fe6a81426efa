"""What a cloud has in an environment that no program declares, and the command that takes it away. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any

from controller.drift import severity
from controller.drift.finding import Difference, Finding, Kind, Remedy, State
from controller.drift.resources import listed, shown
from controller.drift.same import Live


def unmanaged(environment: str, one: Live, values: Mapping[str, Any]) -> Finding:
    where = f"{environment}'s project in Atlas" if one.kind.startswith("mongodbatlas.") else f"{environment}'s network"
    told = [f"{path} {shown(value)}" for path, value in values.items() if value not in (None, "")]
    return Finding(
        kind=Kind.UNMANAGED,
        about=f"{environment} {one.kind} {one.id}",
        what=f"{one.kind} {one.id} is declared by no program",
        odd=(environment,),
        severity=severity.of(one.kind, "cidrIpv4" if "Rule" in one.kind else "(there)"),
        state=State.UNEXPLAINED,
        why=f"It is in {where} or carries its tag: {listed(told, 6) or 'nothing more is known of it'}.",
        differences=tuple(Difference(path, {environment: shown(value)}) for path, value in values.items()),
        values={environment: one.id},
        remedies=(
            Remedy("remove it", REMOVAL.get(one.kind, "aws … delete").format(id=quote(one.id), **group(one))),
            Remedy("take it into the program", f"pulumi import --stack {environment} {one.kind} {one.id}"),
        ),
    )


def group(one: Live) -> dict[str, str]:
    parts = one.id.partition("|")
    of = {"group": "securityGroupId", "project": "projectId", "database": "authDatabaseName", "user": "username"}
    named = {key: quote(str(one.values.get(path, ""))) for key, path in of.items()}
    return {"first": quote(parts[0]), "second": quote(parts[2]), **named}


REMOVAL: Mapping[str, str] = {
    "aws.ec2.Subnet": "aws ec2 delete-subnet --subnet-id {id}",
    "aws.ec2.SecurityGroup": "aws ec2 delete-security-group --group-id {id}",
    "aws.vpc.SecurityGroupIngressRule": (
        "aws ec2 revoke-security-group-ingress --group-id {group} --security-group-rule-ids {id}"
    ),
    "aws.vpc.SecurityGroupEgressRule": (
        "aws ec2 revoke-security-group-egress --group-id {group} --security-group-rule-ids {id}"
    ),
    "aws.ec2.Instance": "aws ec2 terminate-instances --instance-ids {id}",
    "aws.ebs.Volume": "aws ec2 delete-volume --volume-id {id}",
    "aws.ec2.Eip": "aws ec2 release-address --allocation-id {id}",
    "aws.ec2.RouteTable": "aws ec2 delete-route-table --route-table-id {id}",
    "aws.ec2.Route": "aws ec2 delete-route --route-table-id {first} --destination-cidr-block {second}",
    "aws.ec2.VpcEndpoint": "aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}",
    "aws.ssm.Parameter": "aws ssm delete-parameter --name {id}",
    "aws.ec2.EipAssociation": "aws ec2 disassociate-address --association-id {id}",
    "aws.ec2.RouteTableAssociation": "aws ec2 disassociate-route-table --association-id {id}",
    "aws.ec2.VolumeAttachment": "aws ec2 detach-volume --volume-id {first} --instance-id {second}",
    "aws.lb.LoadBalancer": "aws elbv2 delete-load-balancer --load-balancer-arn {id}",
    "aws.lb.Listener": "aws elbv2 delete-listener --listener-arn {id}",
    "aws.lb.TargetGroup": "aws elbv2 delete-target-group --target-group-arn {id}",
    "aws.lb.TargetGroupAttachment": "aws elbv2 deregister-targets --target-group-arn {first} --targets Id={second}",
    "aws.iam.Role": "aws iam delete-role --role-name {id}",
    "aws.iam.RolePolicy": "aws iam delete-role-policy --role-name {first} --policy-name {second}",
    "aws.iam.RolePolicyAttachment": "aws iam detach-role-policy --role-name {first} --policy-arn {second}",
    "aws.s3.BucketObjectv2": "aws s3api delete-object --bucket {first} --key {second}",
    "aws.cloudwatch.MetricAlarm": "aws cloudwatch delete-alarms --alarm-names {id}",
    "mongodbatlas.ProjectIpAccessList": "atlas accessLists delete {id} --projectId {project}",
    "mongodbatlas.DatabaseUser": "atlas dbusers delete {user} --authDB {database} --projectId {project}",
    "mongodbatlas.CustomDbRole": "atlas customDbRoles delete {id} --projectId {project}",
    "mongodbatlas.AdvancedCluster": "atlas clusters delete {id} --projectId {project}",
}
"""By kind: the command that takes away what nobody declares."""
