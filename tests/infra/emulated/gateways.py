"""Carrier gateways: a VPC has at most one, and a route can be sent through it later, which moto leaves out."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.carrier_gateways import CarrierGatewayBackend
from moto.ec2.responses.route_tables import RouteTables
from moto.ec2.utils import generate_route_id

from tests.infra.emulated.patches import Patches


def install(patches: Patches) -> None:
    patches.around(CarrierGatewayBackend, "create_carrier_gateway", lambda old: _one_for_each_vpc(old))
    patches.around(RouteTables, "replace_route", lambda old: _also_through_a_carrier(old))


def _one_for_each_vpc(old: Any) -> Any:
    def create(self: Any, vpc_id: str, tags: dict[str, str] | None = None) -> Any:
        if any(gateway.vpc_id == vpc_id for gateway in self.carrier_gateways.values()):
            raise EC2ClientError("ResourceLimitExceeded", f"The VPC {vpc_id} already has a carrier gateway.")
        return old(self, vpc_id, tags)

    return create


def _also_through_a_carrier(old: Any) -> Any:
    def replace(self: Any) -> Any:
        backend, gateway = self.ec2_backend, self._get_param("CarrierGatewayId")
        table, cidr = self._get_param("RouteTableId"), self._get_param("DestinationCidrBlock")
        if gateway is not None and gateway not in backend.carrier_gateways:
            raise EC2ClientError("InvalidCarrierGatewayID.NotFound", f"The carrier gateway {gateway} does not exist")
        answer = old(self)
        route = backend.get_route_table(table)._routes[generate_route_id(table, cidr)]
        route.carrier_gateway = backend.carrier_gateways.get(gateway)
        return answer

    return replace
