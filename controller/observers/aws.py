"""What AWS says it has of one environment, by describe calls alone: counted, bounded, paged, patient when throttled.

Each kind has its call, whom to ask for, and how its answer is spelled as the program spells it. A call that the account
may not make leaves its kinds blind; the others are still looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.drift.live import Account, Live
from controller.drift.resources import flat
from controller.errors import Refused, Unreachable

MOST_CALLS, TRIES, SECONDS = 400, 6, 20
"""Calls for one environment; tries of each, with growing pauses between; seconds for an answer."""
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure")
Json = dict[str, Any]
Clients = Callable[[str], Any]
"""A boto3 client of a service."""


@dataclass(frozen=True, slots=True)
class Described:
    """A kind and the call that describes it. ``by`` is what limits the answer to one environment: network or tag."""

    kind: str
    call: str
    many: str
    by: str
    told: Callable[[Json], Iterator[tuple[str, Json]]]


def one(id: str, *plain: str, **spelled: Callable[[Json], Any]) -> Callable[[Json], Iterator[tuple[str, Json]]]:
    """What most kinds say: an id, values under their own names, values that are dug out, and tags.

    None is kept: that a description has a place for a value and leaves it empty is something that it says.
    """

    def told(found: Json) -> Iterator[tuple[str, Json]]:
        values = {name[0].lower() + name[1:]: found.get(name) for name in plain}
        values |= {name: dig(found) for name, dig in spelled.items()}
        yield found[id], values | {"tags": tags_of(found)}

    return told


def tags_of(found: Json) -> Json:
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags") or [] if not tag["Key"].startswith("aws:")}


def routes(table: Json) -> Iterator[tuple[str, Json]]:
    for route in table["Routes"]:
        to = route.get("DestinationCidrBlock")
        if to is None or route.get("GatewayId") == "local":
            continue  # of the network itself, or of an endpoint
        names = {"gatewayId": "GatewayId", "carrierGatewayId": "CarrierGatewayId", "natGatewayId": "NatGatewayId"}
        ways = {ours: route.get(theirs) for ours, theirs in names.items()}
        yield (
            f"{table['RouteTableId']}|{to}",
            {"routeTableId": table["RouteTableId"], "destinationCidrBlock": to, **ways},
        )


def associations(table: Json) -> Iterator[tuple[str, Json]]:
    for joined in table.get("Associations", ()):
        if not joined.get("Main") and joined.get("SubnetId"):
            values = {"routeTableId": table["RouteTableId"], "subnetId": joined["SubnetId"]}
            yield joined["RouteTableAssociationId"], values


def tables(table: Json) -> Iterator[tuple[str, Json]]:
    if not any(joined.get("Main") for joined in table.get("Associations", ())):
        yield from one("RouteTableId", "VpcId")(table)


def groups(group: Json) -> Iterator[tuple[str, Json]]:
    if group["GroupName"] != "default":
        yield from one("GroupId", "VpcId", "Description")(group)


def rules(egress: bool) -> Callable[[Json], Iterator[tuple[str, Json]]]:
    def told(rule: Json) -> Iterator[tuple[str, Json]]:
        if rule["IsEgress"] is egress:
            other = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
            values = {
                "securityGroupId": rule["GroupId"], "ipProtocol": rule["IpProtocol"], "fromPort": rule["FromPort"],
                "toPort": rule["ToPort"], "cidrIpv4": rule.get("CidrIpv4"), "referencedSecurityGroupId": other,
            }  # fmt: skip
            yield rule["SecurityGroupRuleId"], values | {"tags": tags_of(rule)}

    return told


def machines(reservation: Json) -> Iterator[tuple[str, Json]]:
    for machine in reservation["Instances"]:
        if machine["State"]["Name"] not in ("terminated", "shutting-down"):
            yield from one(
                "InstanceId",
                "InstanceType",
                "SubnetId",
                privateIp=lambda found: found.get("PrivateIpAddress"),
                vpcSecurityGroupIds=lambda found: [group["GroupId"] for group in found["SecurityGroups"]],
                metadataOptions=lambda found: {"httpTokens": (found.get("MetadataOptions") or {}).get("HttpTokens")},
            )(machine)


def own_disks(reservation: Json) -> Iterator[str]:
    """The volumes that machines started from: parts of the machines, which no program declares by themselves."""
    for machine in reservation["Instances"]:
        for disk in machine.get("BlockDeviceMappings", ()):
            if disk["DeviceName"] == machine.get("RootDeviceName"):
                yield disk["Ebs"]["VolumeId"]


def attachments(volume: Json) -> Iterator[tuple[str, Json]]:
    for joined in volume.get("Attachments", ()):
        values = {"volumeId": joined["VolumeId"], "instanceId": joined["InstanceId"], "deviceName": joined["Device"]}
        yield f"{joined['VolumeId']}|{joined['InstanceId']}", values


def joined_addresses(address: Json) -> Iterator[tuple[str, Json]]:
    if address.get("AssociationId") and address.get("InstanceId"):
        values = {"allocationId": address["AllocationId"], "instanceId": address["InstanceId"]}
        yield address["AssociationId"], values


def attached(found: Json) -> Any:
    return next((one["VpcId"] for one in found.get("Attachments", ())), None)


KINDS = (
    Described("aws.ec2.Vpc", "describe_vpcs", "Vpcs", "tag", one("VpcId", "CidrBlock")),
    Described("aws.ec2.Subnet", "describe_subnets", "Subnets", "vpc-id", one(
        "SubnetId", "VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch")),
    Described("aws.ec2.InternetGateway", "describe_internet_gateways", "InternetGateways", "tag",
              one("InternetGatewayId", vpcId=attached)),
    Described("aws.ec2.CarrierGateway", "describe_carrier_gateways", "CarrierGateways", "vpc-id",
              one("CarrierGatewayId", "VpcId")),
    Described("aws.ec2.NatGateway", "describe_nat_gateways", "NatGateways", "vpc-id", one(
        "NatGatewayId", "SubnetId", allocationId=lambda n: n["NatGatewayAddresses"][0].get("AllocationId"))),
    Described("aws.ec2.RouteTable", "describe_route_tables", "RouteTables", "vpc-id", tables),
    Described("aws.ec2.Route", "describe_route_tables", "RouteTables", "vpc-id", routes),
    Described("aws.ec2.RouteTableAssociation", "describe_route_tables", "RouteTables", "vpc-id", associations),
    Described("aws.ec2.VpcEndpoint", "describe_vpc_endpoints", "VpcEndpoints", "vpc-id", one(
        "VpcEndpointId", "VpcId", "ServiceName", "VpcEndpointType")),
    Described("aws.ec2.SecurityGroup", "describe_security_groups", "SecurityGroups", "vpc-id", groups),
    Described("aws.vpc.SecurityGroupIngressRule", "describe_security_group_rules", "SecurityGroupRules", "group-id",
              rules(egress=False)),
    Described("aws.vpc.SecurityGroupEgressRule", "describe_security_group_rules", "SecurityGroupRules", "group-id",
              rules(egress=True)),
    Described("aws.ec2.Instance", "describe_instances", "Reservations", "vpc-id", machines),
    Described("aws.ebs.Volume", "describe_volumes", "Volumes", "tag", one(
        "VolumeId", "Size", "Encrypted", "AvailabilityZone", type=lambda v: v.get("VolumeType"))),
    Described("aws.ec2.VolumeAttachment", "describe_volumes", "Volumes", "tag", attachments),
    Described("aws.ec2.Eip", "describe_addresses", "Addresses", "tag", one(
        "AllocationId", "Domain", networkBorderGroup=lambda a: a.get("NetworkBorderGroup"))),
    Described("aws.ec2.EipAssociation", "describe_addresses", "Addresses", "tag", joined_addresses),
)  # fmt: skip
PARAMETERS = "aws.ssm.Parameter"
EVERY = frozenset({kind.kind for kind in KINDS} | {PARAMETERS})


class AwsAccount:
    """One account in one region, asked about one environment at a time."""

    def __init__(self, clients: Clients, most_calls: int = MOST_CALLS) -> None:
        self._clients, self._most = clients, most_calls
        self._answers: dict[tuple[str, str], list[Json] | str] = {}
        self.calls = 0

    def look(self, environment: str) -> Account:
        """Everything that AWS has of it. Raises Unreachable, Refused (no credentials, too many calls)."""
        networks = [net["VpcId"] for net in self._asked("describe_vpcs", "Vpcs", tag(environment))]
        found: list[Live] = []
        parts: set[str] = set()
        blind: dict[str, str] = {}
        for kind in KINDS:
            limit: list[Json] = tag(environment) if kind.by == "tag" else [{"Name": kind.by, "Values": networks}]
            if kind.by == "group-id":
                limit = [
                    {"Name": "group-id", "Values": [one.id for one in found if one.kind == "aws.ec2.SecurityGroup"]}
                ]
            if not limit[0]["Values"]:
                continue
            try:
                answers = self._asked(kind.call, kind.many, limit)
            except Refused as no:
                blind[kind.kind] = no.said
                continue
            if kind.kind == "aws.ec2.Instance":
                parts = {id for each in answers for id in own_disks(each)}
            told = [Live(kind.kind, id, dict(flat(values))) for each in answers for id, values in kind.told(each)]
            found += [each for each in told if each.id.partition("|")[0] not in parts]
        try:
            found += self._parameters(environment)
        except Refused as no:
            blind[PARAMETERS] = no.said
        return Account(tuple(found), EVERY - blind.keys(), blind, self.calls)

    def _parameters(self, environment: str) -> list[Live]:
        under = [{"Key": "Path", "Option": "Recursive", "Values": [f"/turnabout/{environment}"]}]
        listed = self._paged("ssm", "describe_parameters", "Parameters", ParameterFilters=under)
        return [Live(PARAMETERS, one["Name"], {"name": one["Name"], "type": one["Type"]}) for one in listed]

    def _asked(self, call: str, many: str, limit: list[Json]) -> list[Json]:
        """One call's answers, asked once however many kinds need them. Raises what it raised, each time."""
        key = call, str(limit)
        if key not in self._answers:
            try:
                self._answers[key] = self._paged("ec2", call, many, Filters=limit)
            except Refused as no:
                self._answers[key] = no.said
        known = self._answers[key]
        if isinstance(known, str):
            raise Refused(
                f"asking AWS to {call}", known, "Give whoever looks ec2:Describe* and ssm:DescribeParameters."
            )
        return known

    def _paged(self, service: str, call: str, many: str, **asked: Any) -> list[Json]:
        from botocore.exceptions import BotoCoreError, ClientError

        client, attempt = self._clients(service), f"asking AWS to {call}"
        found: list[Json] = []
        more: Json = {}
        try:
            while True:
                self.calls += 1
                if self.calls > self._most:
                    raise Unreachable(attempt, f"that would be more than {self._most} calls", "Look at the account.")
                page = getattr(client, call)(**asked, **more)
                found += page[many]
                if not page.get("NextToken"):
                    return found
                more = {"NextToken": page["NextToken"]}
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code in DENIED:
                raise Refused(attempt, f"{code}: {said}", "Give whoever looks this right.") from error
            raise Unreachable(attempt, f"{code}: {said}", "Try again later.") from error
        except BotoCoreError as error:
            raise Unreachable(attempt, str(error), "Look at the credentials and at the way to AWS.") from error


def tag(environment: str) -> list[Json]:
    return [{"Name": "tag:turnabout:environment", "Values": [environment]}]


def clients(region: str) -> Clients:
    """boto3's, as the surroundings say whose; throttling is waited out. Raises Refused without credentials or boto3."""
    attempt = "asking AWS"
    try:
        import boto3
        from botocore.config import Config
    except ImportError as missing:
        raise Refused(attempt, "boto3 is not installed", "Install it: make cloud") from missing
    session = boto3.session.Session(region_name=region)
    if session.get_credentials() is None:
        raise Refused(attempt, "there are no credentials", "Set AWS_PROFILE, or log in as AWS describes it.")
    patient = Config(
        retries={"mode": "standard", "total_max_attempts": TRIES}, connect_timeout=SECONDS, read_timeout=SECONDS
    )
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        return made.setdefault(service, made.get(service) or session.client(service, config=patient))

    return client
