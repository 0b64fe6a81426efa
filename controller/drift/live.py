"""What is declared against what a cloud says it has, and what it has that no program declares.

Pure. A declared resource and a live one are the same when they carry the same name tag; what carries none (a rule, a
route, an attachment) is who it is by what it joins. Live values name others by the cloud's own ids: those are read back
as the logical ids that the program has for them before anything is compared. What a kind's description does not say is
not compared, and what a program asks to be left alone is not either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.drift import severity
from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State, counted
from controller.drift.resources import Resource, Resources, listed, shown

MOST_SHARE = 0.3
"""If more than this share of an environment is not as declared, no command to mend it is printed."""
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
    "mongodbatlas.DatabaseUser": ("roles[0].roleName",),
    "mongodbatlas.CustomDbRole": ("roleName",),
    "mongodbatlas.ProjectIpAccessList": ("comment",),
    "mongodbatlas.MaintenanceWindow": (),
    "mongodbatlas.CloudBackupSchedule": ("clusterName",),
}  # fmt: skip
"""Kinds that are known by some of their values; the others are known by their name tag."""
NAME = ("tags.Name",)
REFERS = re.compile(r"Ids?(?:\[\d+\])?$")
"""Where a value names another resource."""


@dataclass(frozen=True, slots=True)
class Live:
    """One resource as a cloud describes it; ``values`` are flat and spelled as the program spells them."""

    kind: str
    id: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """What a cloud has of one environment. ``blind`` has kinds that could not be looked at, and why."""

    found: Sequence[Live]
    kinds: frozenset[str]
    blind: Mapping[str, str]
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """The findings of both kinds, and how much of what is there is declared."""

    findings: tuple[Finding, ...]
    live: int
    managed: int


def compare(environment: str, declared: Resources, account: Account) -> Compared:
    mine = [one for one in declared.values() if one.kind in account.kinds]
    ids: dict[str, str] = {}
    pairs: dict[str, Live] = {}
    for joined in (False, True):  # what is joined is known by the ids of what joins it
        for one in account.found:
            if (one.kind in JOINS) is joined:
                own = key(one.kind, known(one, ids))
                same = (each for each in mine if each.kind == one.kind and key(each.kind, each.values) == own)
                match = next((each for each in same if each.id not in pairs), None)
                if match is not None:
                    pairs[match.id] = one
                    ids[one.id] = logical(match)
    if mine and not pairs:
        return Compared((nothing_there(environment, len(mine)),), len(account.found), 0)
    found = list(drifted(environment, mine, pairs, ids))
    too_many = len({one.about for one in found}) > MOST_SHARE * len(mine)
    extra = [one for one in account.found if one not in pairs.values()]
    found = [careful(one) for one in found] if too_many else found
    found += [unmanaged(environment, one, known(one, ids)) for one in extra]
    return Compared(tuple(found), len(account.found), len(pairs))


def logical(one: Resource) -> str:
    """The id that the program's monitor gave a resource, by which others name it."""
    return f"{one.kind.rpartition('.')[2].lower()}-{one.name}"


def key(kind: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(path) for path in JOINS.get(kind, NAME))


def known(one: Live, ids: Mapping[str, str]) -> dict[str, Any]:
    """A live resource's values, with the ids of others as the program knows them."""
    return {
        path: ids.get(value, value) if isinstance(value, str) and REFERS.search(path) else value
        for path, value in one.values.items()
    }


def drifted(
    environment: str, declared: Sequence[Resource], pairs: Mapping[str, Live], ids: Mapping[str, str]
) -> Iterator[Finding]:
    for one in declared:
        live = pairs.get(one.id)
        if live is None:
            yield gone(environment, one)
            continue
        values = known(live, ids)
        told = any(path.partition(".")[0] == "tags" for path in values)  # not every description says them
        tags = {path for path in (*one.values, *values) if path.startswith("tags.")} if told else set()
        for path in sorted((values.keys() & one.values.keys()) | tags):
            asked, has = one.values.get(path), values.get(path)
            if asked != has and not ignored(one, path):
                yield changed(environment, one, path, asked, has, live.id)


def ignored(one: Resource, path: str) -> bool:
    left_alone = [str(value) for where, value in one.values.items() if where.startswith("(ignoreChanges)")]
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in left_alone)


def gone(environment: str, one: Resource) -> Finding:
    return finding(
        environment, one, "", f"{one.id} is gone", "declared", ABSENT,
        "The program declares it, and the cloud does not have it.", removed=True,
    )  # fmt: skip


def changed(environment: str, one: Resource, path: str, asked: Any, has: Any, id: str) -> Finding:
    hidden = path in one.secret
    return finding(
        environment, one, path, f"{one.id}: {path} is not as declared",
        ABSENT if asked is None else shown(asked, hidden), ABSENT if has is None else shown(has, hidden),
        f"Somebody changed {id} without the program.",
    )  # fmt: skip


def finding(
    environment: str, one: Resource, path: str, what: str, asked: str, has: str, why: str, removed: bool = False
) -> Finding:
    return Finding(
        kind=Kind.LIVE,
        about=f"{environment} {one.id} {path}".rstrip(),
        what=what,
        odd=(environment,),
        severity=severity.of(one.kind, path),
        state=State.UNEXPLAINED,
        why=why,
        differences=(Difference(f"{one.id} {path}".rstrip(), {"declared": asked, environment: has}, one.place),),
        values={environment: has},
        remedies=(
            Remedy("make live follow code", f"pulumi up --stack {environment} --refresh"),
            Remedy("make code follow live", f"{one.place}: write what the cloud has"),
        ),
        removed=removed,
    )


def careful(one: Finding) -> Finding:
    """The finding without commands: where much is wrong at once the account or the checkout is the wrong one."""
    said = f"More than {MOST_SHARE:.0%} is not as declared: look whether this is the right account, before mending."
    return replace(one, why=f"{one.why} {said}", remedies=())


def nothing_there(environment: str, many: int) -> Finding:
    return Finding(
        kind=Kind.LIVE,
        about=f"{environment} everything",
        what=f"nothing of {environment} is in the cloud",
        odd=(environment,),
        severity=Severity.HIGH,
        state=State.UNEXPLAINED,
        why=f"None of {counted(many, 'declared resource')} is there: never brought up, or another account.",
        values={environment: ABSENT},
        remedies=(Remedy("see which account this is", "aws sts get-caller-identity"),),
        removed=True,
    )


def unmanaged(environment: str, one: Live, values: Mapping[str, Any]) -> Finding:
    told = [f"{path} {shown(value)}" for path, value in values.items() if value not in (None, "")]
    return Finding(
        kind=Kind.UNMANAGED,
        about=f"{environment} {one.kind} {one.id}",
        what=f"{one.kind} {one.id} is declared by no program",
        odd=(environment,),
        severity=severity.of(one.kind, "cidrIpv4" if "Rule" in one.kind else "(there)"),
        state=State.UNEXPLAINED,
        why=f"It is in {environment}'s network or carries its tag: {listed(told, 6) or 'nothing more is known of it'}.",
        differences=tuple(Difference(path, {environment: shown(value)}) for path, value in values.items()),
        values={environment: one.id},
        remedies=(
            Remedy("remove it", REMOVAL.get(one.kind, "aws … delete").format(id=one.id, **group(one))),
            Remedy("take it into the program", f"pulumi import --stack {environment} {one.kind} {one.id}"),
        ),
    )


def group(one: Live) -> dict[str, str]:
    parts = one.id.partition("|")
    return {"first": parts[0], "second": parts[2], "group": str(one.values.get("securityGroupId", ""))}


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
}
"""By kind: the command that takes away what nobody declares."""
