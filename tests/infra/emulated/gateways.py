"""Carrier gateways: a VPC has at most one."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.carrier_gateways import CarrierGatewayBackend

from tests.infra.emulated.patches import Patches


def install(patches: Patches) -> None:
    patches.around(CarrierGatewayBackend, "create_carrier_gateway", lambda old: _one_for_each_vpc(old))


def _one_for_each_vpc(old: Any) -> Any:
    def create(self: Any, vpc_id: str, tags: dict[str, str] | None = None) -> Any:
        if any(gateway.vpc_id == vpc_id for gateway in self.carrier_gateways.values()):
            raise EC2ClientError("ResourceLimitExceeded", f"The VPC {vpc_id} already has a carrier gateway.")
        return old(self, vpc_id, tags)

    return create
