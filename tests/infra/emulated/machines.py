"""Machines that end: the interface that was made with one goes with it, and addresses are free again.

moto keeps that interface, with its private address, so that no other machine could ever take its place. An address that
is taken is refused as AWS refuses it.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet

from tests.infra.emulated.patches import Patches


def install(patches: Patches) -> None:
    patches.around(Instance, "prep_nics", lambda old: _going_with_the_machine(old))
    patches.around(Instance, "terminate", lambda old: _giving_addresses_back(old))
    patches.around(Subnet, "request_ip", lambda old: _if_it_is_free(old))


def _going_with_the_machine(old: Any) -> Any:
    def prepare(self: Any, nic_spec: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        asked = {int(nic.get("DeviceIndex", 0)): nic for nic in nic_spec}
        old(self, nic_spec, *args, **kwargs)
        for index, nic in self.nics.items():
            spec = asked.get(index, {})
            if "NetworkInterfaceId" not in spec and "DeleteOnTermination" not in spec:
                nic.delete_on_termination = True

    return prepare


def _giving_addresses_back(old: Any) -> Any:
    def terminate(self: Any) -> Any:
        for address in self.ec2_backend.addresses:
            if address.association_id and address.instance is self:
                self.ec2_backend.disassociate_address(association_id=address.association_id)
        return old(self)

    return terminate


def _if_it_is_free(old: Any) -> Any:
    def request(self: Any, ip: str, instance: Any) -> None:
        if ip in self._subnet_ips:
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")
        old(self, ip, instance)

    return request
