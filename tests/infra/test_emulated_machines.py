"""A machine in the emulated cloud that ends, and another one in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from botocore.exceptions import ClientError

from tests.infra.emulated.cloud import EmulatedCloud

BOS = "us-east-1-wl1-bos-wlz-1"


@pytest.fixture(scope="module")
def ec2() -> Iterator[Any]:
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        yield cloud.client("ec2")


@pytest.fixture(scope="module")
def subnet(ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.16.0/24", AvailabilityZone=BOS)
    return str(made["Subnet"]["SubnetId"])


def machine(ec2: Any, **asked: Any) -> Any:
    number = {"ImageId": "ami-12c6146b", "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**number, **asked)["Instances"][0]


def interfaces(ec2: Any, subnet: str) -> list[str]:
    found = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])
    return [one["PrivateIpAddress"] for one in found["NetworkInterfaces"]]


def test_an_address_has_one_machine_and_the_next_one_when_that_has_ended(ec2: Any, subnet: str) -> None:
    carrier = ec2.allocate_address(Domain="vpc", NetworkBorderGroup=BOS)["AllocationId"]
    first = machine(ec2, SubnetId=subnet, PrivateIpAddress="10.20.16.4")["InstanceId"]
    ec2.associate_address(AllocationId=carrier, InstanceId=first)
    with pytest.raises(ClientError, match=r"\(InvalidIPAddress.InUse\).*Address 10\.20\.16\.4 is in use"):
        machine(ec2, SubnetId=subnet, PrivateIpAddress="10.20.16.4")

    ec2.terminate_instances(InstanceIds=[first])

    assert interfaces(ec2, subnet) == []
    (address,) = ec2.describe_addresses(AllocationIds=[carrier])["Addresses"]
    assert "AssociationId" not in address
    second = machine(ec2, SubnetId=subnet, PrivateIpAddress="10.20.16.4")["InstanceId"]
    ec2.associate_address(AllocationId=carrier, InstanceId=second)
    assert interfaces(ec2, subnet) == ["10.20.16.4"]


def test_an_interface_of_one_s_own_and_one_that_is_to_stay_outlive_the_machine(ec2: Any, subnet: str) -> None:
    own = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.20.16.9")["NetworkInterface"]
    for nic in (
        {"NetworkInterfaceId": own["NetworkInterfaceId"]},
        {"SubnetId": subnet, "PrivateIpAddress": "10.20.16.10", "DeleteOnTermination": False},
    ):
        made = machine(ec2, NetworkInterfaces=[{"DeviceIndex": 0, **nic}])
        ec2.terminate_instances(InstanceIds=[made["InstanceId"]])

    assert {"10.20.16.9", "10.20.16.10"} <= {*interfaces(ec2, subnet)}
