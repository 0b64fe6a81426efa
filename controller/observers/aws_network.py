"""What EC2 says of each kind of resource, spelled as the program spells it; asking is not done here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


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
