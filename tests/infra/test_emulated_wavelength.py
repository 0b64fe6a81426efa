"""What moto is taught of Wavelength: asked by boto3, as any program asks AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from botocore.exceptions import ClientError

from tests.infra.emulated.cloud import EmulatedCloud

BOS, DFW, SFO = "us-east-1-wl1-bos-wlz-1", "us-east-1-wl1-dfw-wlz-1", "us-west-2-wl1-sfo-wlz-1"
IMAGE = "ami-12c6146b"


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatedCloud]:
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def ec2(cloud: EmulatedCloud) -> Any:
    return cloud.client("ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"])


def subnet(ec2: Any, vpc: str, zone: str, cidr: str = "10.20.16.0/24") -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"])


def machine(ec2: Any, **asked: Any) -> Any:
    return ec2.run_instances(**{"ImageId": IMAGE, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1, **asked})[
        "Instances"
    ][0]


def refused(code: str, words: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{words}")


def zones(ec2: Any, **asked: Any) -> dict[str, Any]:
    return {zone["ZoneName"]: zone for zone in ec2.describe_availability_zones(**asked)["AvailabilityZones"]}


def test_a_wavelength_zone_says_its_group_its_border_group_and_its_parent(ec2: Any) -> None:
    zone = zones(ec2, ZoneNames=[BOS])[BOS]

    assert zone["ZoneType"] == "wavelength-zone"
    assert (zone["GroupName"], zone["NetworkBorderGroup"]) == ("us-east-1-wl1", BOS)
    assert zone["OptInStatus"] == "opted-in"
    parent = zones(ec2)[zone["ParentZoneName"]]
    assert (parent["ZoneId"], parent["ZoneType"]) == (zone["ParentZoneId"], "availability-zone")


def test_an_availability_zone_needs_no_opting_in_and_has_the_region_for_its_border_group(ec2: Any) -> None:
    zone = zones(ec2)["us-east-1a"]

    assert (zone["OptInStatus"], zone["NetworkBorderGroup"]) == ("opt-in-not-required", "us-east-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("opt-in-status", "opted-in"), ("group-name", "us-east-1-wl1"), ("zone-type", "wavelength-zone")],
)
def test_zones_are_found_by_what_sets_them_apart(ec2: Any, name: str, value: str) -> None:
    found = zones(ec2, Filters=[{"Name": name, "Values": [value]}])

    assert {BOS, DFW} <= found.keys()
    assert all("-wlz-" in zone for zone in found)


def test_a_zone_that_is_not_there_and_a_filter_that_is_none_are_refused(ec2: Any) -> None:
    with refused("InvalidParameterValue", "Invalid availability zone: .us-east-1-wl1-xyz-wlz-1."):
        zones(ec2, ZoneNames=["us-east-1-wl1-xyz-wlz-1"])
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        zones(ec2, Filters=[{"Name": "colour", "Values": ["red"]}])


def test_a_closed_zone_is_shown_to_those_who_ask_for_all_and_opens_with_its_group(cloud: EmulatedCloud) -> None:
    west = cloud.client("ec2", "us-west-2")
    vpc = str(west.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"])
    assert SFO not in zones(west)
    assert zones(west, AllAvailabilityZones=True)[SFO]["OptInStatus"] == "not-opted-in"
    with refused("InvalidParameterValue", "Subnets can currently only be created in .* us-west-2a"):
        subnet(west, vpc, SFO)

    west.modify_availability_zone_group(GroupName="us-west-2-wl1", OptInStatus="opted-in")

    assert zones(west)[SFO]["OptInStatus"] == "opted-in"
    assert subnet(west, vpc, SFO)


@pytest.mark.parametrize(
    ("group", "status"),
    [("us-east-1-wl9", "opted-in"), ("us-east-1-zg-1", "opted-in"), ("us-east-1-wl1", "not-opted-in")],
)
def test_a_group_that_is_none_cannot_be_opened_and_none_can_be_closed(ec2: Any, group: str, status: str) -> None:
    with refused("InvalidParameterValue"):
        ec2.modify_availability_zone_group(GroupName=group, OptInStatus=status)
    assert zones(ec2)[BOS]["OptInStatus"] == "opted-in"


def test_a_subnet_in_a_zone_of_another_region_is_refused(ec2: Any, vpc: str) -> None:
    with refused("InvalidParameterValue", "us-west-2a"):
        subnet(ec2, vpc, "us-west-2a")


def test_a_zone_offers_the_few_machines_that_it_has_and_runs_no_other(ec2: Any, vpc: str) -> None:
    at = [{"Name": "location", "Values": [BOS]}]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=at)[
        "InstanceTypeOfferings"
    ]
    assert {one["InstanceType"] for one in offered} == {"t3.medium", "t3.xlarge", "r5.2xlarge", "g4dn.2xlarge"}
    assert {one["Location"] for one in offered} == {BOS}

    both = [{"Name": "location", "Values": [BOS, "us-east-1a"]}, {"Name": "instance-type", "Values": ["t3.medium"]}]
    found = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=both)
    assert {one["Location"] for one in found["InstanceTypeOfferings"]} == {BOS, "us-east-1a"}

    here = subnet(ec2, vpc, BOS)
    with refused("Unsupported", f"m5.large.*{BOS}"):
        machine(ec2, SubnetId=here, InstanceType="m5.large")
    assert machine(ec2, SubnetId=here)["Placement"]["AvailabilityZone"] == BOS


@pytest.mark.parametrize("place", ["atl", "bna", "chi", "clt", "dtw", "iah", "msp", "tpa", "was"])
def test_the_region_has_its_other_zones_too(ec2: Any, place: str) -> None:
    name = f"us-east-1-wl1-{place}-wlz-1"
    zone = zones(ec2)[name]

    assert (zone["ZoneId"], zone["NetworkBorderGroup"]) == (f"use1-wl1-{place}-wlz1", name)
    assert zone["ParentZoneName"] in zones(ec2)


def test_a_route_is_sent_through_a_carrier_gateway_and_elsewhere(ec2: Any, vpc: str) -> None:
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    carrier = ec2.create_carrier_gateway(VpcId=vpc)["CarrierGateway"]["CarrierGatewayId"]
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    default = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}

    def ways() -> set[str]:
        (found,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        (route,) = (one for one in found["Routes"] if one["DestinationCidrBlock"] == "0.0.0.0/0")
        return {route[name] for name in ("GatewayId", "CarrierGatewayId") if route.get(name)}

    ec2.create_route(**default, CarrierGatewayId=carrier)
    ec2.replace_route(**default, GatewayId=internet)
    assert ways() == {internet}

    ec2.replace_route(**default, CarrierGatewayId=carrier)
    assert ways() == {carrier}
    with refused("InvalidCarrierGatewayID.NotFound"):
        ec2.replace_route(**default, CarrierGatewayId="cagw-none")
    assert ways() == {carrier}


def test_a_vpc_has_one_carrier_gateway(ec2: Any, vpc: str) -> None:
    first = ec2.create_carrier_gateway(VpcId=vpc)["CarrierGateway"]["CarrierGatewayId"]
    with refused("ResourceLimitExceeded", f"{vpc} already has a carrier gateway"):
        ec2.create_carrier_gateway(VpcId=vpc)

    ec2.delete_carrier_gateway(CarrierGatewayId=first)

    assert ec2.create_carrier_gateway(VpcId=vpc)["CarrierGateway"]["State"] == "available"


def test_an_address_of_a_zone_is_the_carrier_s_and_the_node_is_reached_by_it(ec2: Any, vpc: str) -> None:
    made = ec2.allocate_address(Domain="vpc", NetworkBorderGroup=BOS)
    assert "PublicIp" not in made
    assert (made["NetworkBorderGroup"], made["CarrierIp"].rpartition(".")[0]) == (BOS, "203.0.113")
    node = machine(ec2, SubnetId=subnet(ec2, vpc, BOS))

    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=node["InstanceId"])

    (shown,) = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"]
    assert shown["CarrierIp"] == made["CarrierIp"]
    assert shown["InstanceId"] == node["InstanceId"]
    assert "PublicIp" not in shown
    seen = ec2.describe_instances(InstanceIds=[node["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert "PublicIpAddress" not in seen
    nic = seen["NetworkInterfaces"][0]
    assert nic["Association"]["CarrierIp"] == made["CarrierIp"]
    assert "PublicIp" not in nic["Association"]
    (same,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[nic["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert same["Association"]["AllocationId"] == made["AllocationId"]
    assert same["Association"]["CarrierIp"] == made["CarrierIp"]


def test_an_address_of_the_region_is_as_it_was(ec2: Any, vpc: str) -> None:
    made = ec2.allocate_address(Domain="vpc")
    node = machine(ec2, SubnetId=subnet(ec2, vpc, "us-east-1a"))
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=node["InstanceId"])

    assert made["NetworkBorderGroup"] == "us-east-1"
    assert "CarrierIp" not in made
    seen = ec2.describe_instances(InstanceIds=[node["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert seen["PublicIpAddress"] == made["PublicIp"]
    ec2.disassociate_address(PublicIp=made["PublicIp"])
    ec2.release_address(AllocationId=made["AllocationId"])


def test_an_address_stays_within_its_border_group(ec2: Any, vpc: str) -> None:
    with refused("InvalidParameterValue", "networkBorderGroup"):
        ec2.allocate_address(Domain="vpc", NetworkBorderGroup=SFO)
    bos = ec2.allocate_address(Domain="vpc", NetworkBorderGroup=BOS)
    region = ec2.allocate_address(Domain="vpc")
    there = machine(ec2, SubnetId=subnet(ec2, vpc, DFW))["InstanceId"]
    for address in (bos, region):
        with refused("InvalidParameterCombination", f"{DFW}"):
            ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=there)

    found = ec2.describe_addresses(Filters=[{"Name": "network-border-group", "Values": [BOS]}])["Addresses"]
    assert bos["AllocationId"] in {address["AllocationId"] for address in found}
    assert {address["NetworkBorderGroup"] for address in found} == {BOS}


def test_an_address_is_released_by_who_names_its_border_group(ec2: Any) -> None:
    address = ec2.allocate_address(Domain="vpc", NetworkBorderGroup=BOS)["AllocationId"]
    for wrong in ({}, {"NetworkBorderGroup": DFW}):
        with refused("InvalidAddress.NotFound"):
            ec2.release_address(AllocationId=address, **wrong)

    ec2.release_address(AllocationId=address, NetworkBorderGroup=BOS)

    with refused("InvalidAllocationID.NotFound"):
        ec2.describe_addresses(AllocationIds=[address])


def test_an_interface_may_ask_for_a_carrier_address_of_its_own_and_only_at_the_edge(ec2: Any, vpc: str) -> None:
    def nic(where: str) -> list[dict[str, Any]]:
        return [{"DeviceIndex": 0, "SubnetId": where, "AssociateCarrierIpAddress": True}]

    node = machine(ec2, NetworkInterfaces=nic(subnet(ec2, vpc, BOS)))
    (seen,) = ec2.describe_instances(InstanceIds=[node["InstanceId"]])["Reservations"][0]["Instances"]
    assert seen["NetworkInterfaces"][0]["Association"]["CarrierIp"].startswith("203.0.113.")

    inside = subnet(ec2, vpc, "us-east-1a", "10.20.32.0/24")
    with refused("InvalidParameterCombination", "Wavelength"):
        machine(ec2, NetworkInterfaces=nic(inside))


def test_a_first_subnet_at_the_edge_is_no_default_one(ec2: Any, vpc: str) -> None:
    (made,) = ec2.describe_subnets(SubnetIds=[subnet(ec2, vpc, "us-east-1-wl1-mia-wlz-1")])["Subnets"]

    assert (made["DefaultForAz"], made["MapPublicIpOnLaunch"]) == (False, False)
