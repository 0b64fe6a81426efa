"""Facts of Wavelength that a program can get wrong and AWS would refuse, or worse, accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.cloud import Made, Plan

    Plans = Callable[[str], Plan]

EDGE = {"dev": ["bos"], "stage": ["bos"], "prod": ["bos", "dfw"]}
STACKS = tuple(EDGE)


def edge_subnets(plan: Plan) -> list[Made]:
    return [one for one in plan.of(":Subnet") if "-wlz-" in one.inputs["availabilityZone"]]


@pytest.mark.parametrize("stack", STACKS)
def test_a_vpc_has_one_carrier_gateway_however_many_zones_there_are(plan: Plans, stack: str) -> None:
    assert len(plan(stack).of(":CarrierGateway")) == 1
    assert len(edge_subnets(plan(stack))) == len(EDGE[stack])


@pytest.mark.parametrize("stack", STACKS)
def test_a_subnet_in_a_wavelength_zone_has_a_route_to_the_carrier_gateway_and_none_to_the_internet(
    plan: Plans, stack: str
) -> None:
    made = plan(stack)
    for subnet in edge_subnets(made):
        (link,) = [one for one in made.of(":RouteTableAssociation") if one.inputs["subnetId"] == subnet.id]
        routes = [one.inputs for one in made.of(":Route") if one.inputs["routeTableId"] == link.inputs["routeTableId"]]
        assert [(route["destinationCidrBlock"], route.get("carrierGatewayId")) for route in routes] == [
            ("0.0.0.0/0", made.one(":CarrierGateway").id)
        ]
        assert not any("gatewayId" in route or "natGatewayId" in route for route in routes)


@pytest.mark.parametrize("stack", STACKS)
def test_a_carrier_address_comes_from_the_border_group_of_its_node_s_zone(plan: Plans, stack: str) -> None:
    made = plan(stack)
    pairs = {one.inputs["allocationId"]: one.inputs["instanceId"] for one in made.of(":EipAssociation")}
    at_edge = [one for one in made.of(":Instance") if one.name.partition("-")[0] in EDGE[stack]]

    assert len(at_edge) == len(pairs)
    for address, machine in pairs.items():
        subnet = made.named(made.named(machine).inputs["subnetId"])
        assert made.named(address).inputs["networkBorderGroup"] == subnet.inputs["availabilityZone"]


@pytest.mark.parametrize("stack", STACKS)
def test_no_node_asks_for_a_public_address(plan: Plans, stack: str) -> None:
    nodes = [one.inputs for one in plan(stack).of(":Instance") if "privateIp" in one.inputs]

    assert nodes
    assert not any(node.get("associatePublicIpAddress") for node in nodes)
    assert not any(subnet.inputs["mapPublicIpOnLaunch"] for subnet in plan(stack).of(":Subnet"))


@pytest.mark.parametrize("stack", STACKS)
def test_disks_are_of_the_kind_that_every_wavelength_zone_has_and_encrypted(plan: Plans, stack: str) -> None:
    volumes = [one.inputs for one in plan(stack).of(":Volume")]
    disks = [one.inputs["rootBlockDevice"] for one in plan(stack).of(":Instance")]

    assert {(volume["type"], volume["encrypted"]) for volume in volumes} == {("gp2", True)}
    assert {(disk["volumeType"], disk["encrypted"]) for disk in disks} == {("gp2", True)}


@pytest.mark.parametrize("stack", STACKS)
def test_no_zone_lets_in_another_zone(plan: Plans, stack: str) -> None:
    """There is no way between Wavelength zones: an opening for it would be a plan that cannot work."""
    made = plan(stack)
    nodes = {one.id for one in made.of(":SecurityGroup") if one.name.endswith("-nodes")}
    among_nodes = 0
    for rule in made.of(":SecurityGroupIngressRule"):
        source = rule.inputs.get("referencedSecurityGroupId")
        if rule.inputs["securityGroupId"] in nodes and source in nodes:
            assert source == rule.inputs["securityGroupId"]
            among_nodes += 1
    assert among_nodes == len(EDGE[stack]) + 1


def test_an_environment_without_wavelength_zones_has_no_carrier_gateway(run: Callable[..., Plan]) -> None:
    only_region = run(
        "dev",
        {
            '[fleet.mqtt]\nzones = ["BOS"]\nnodes_per_zone = 2\nwaves = [{ BOS = 1 }]\nsynthetic_per_second = 20\n': "",
            'BOS = { us-east-1-wl1-bos-wlz-1 = "10.20.16.0/24" }\n': "",
        },
        {"mqtt = { ": "# "},
    )

    assert only_region.of(":CarrierGateway") == []
    assert [one.name for one in only_region.of(":ProjectIpAccessList")] == ["store-region"]
