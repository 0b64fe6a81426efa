"""Carrier addresses: an address of a Wavelength zone is the carrier's, and has no public address beside it.

moto keeps one address per elastic address and calls it public. A carrier's is kept in the same place, so that moto's
own book-keeping goes on, and is shown as ``CarrierIp`` wherever AWS shows it. Carriers' addresses here are those that
documentation may use, 203.0.113.0/24.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidAddressError, InvalidParameterCombination
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses

from tests.infra.emulated import machines
from tests.infra.emulated.patches import Patches
from tests.infra.emulated.zones import is_wavelength, open_zones, subnet_zone, zone_of

CARRIER = ip_network("203.0.113.0/24")


def install(patches: Patches) -> None:
    machines.install(patches)  # a machine that ends gives its addresses back
    patches.around(ElasticIPAddresses, "allocate_address", lambda old: _in_a_border_group(old))
    patches.around(ElasticIPAddresses, "associate_address", lambda old: _within_the_border_group(old))
    patches.around(ElasticIPAddresses, "release_address", lambda old: _of_the_border_group(old))
    patches.put(ElasticIPAddresses, "describe_addresses", _describe_addresses)
    patches.around(InstanceBackend, "run_instances", lambda old: _with_carrier_addresses(old))
    association = vars(NetworkInterface)["association"]
    patches.put(NetworkInterface, "association", property(lambda self: _association(self, association.fget)))
    for name in ("public_ip", "public_ip_address"):
        patches.put(Instance, name, property(_public_address))


def border_group(address: ElasticAddress) -> str:
    return str(getattr(address, "network_border_group", None) or address.ec2_backend.region_name)


def is_carriers(address: str | None) -> bool:
    return address is not None and ip_address(address) in CARRIER


def _free(backend: Any) -> str:
    taken = {one.public_ip for one in backend.addresses} | {nic.public_ip for nic in backend.enis.values()}
    for address in CARRIER.hosts():
        if str(address) not in taken:
            return str(address)
    raise EC2ClientError("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")


def _in_a_border_group(old: Any) -> Any:
    def allocate(self: Any) -> ActionResult:
        backend, group = self.ec2_backend, self._get_param("NetworkBorderGroup")
        zones = [zone for zone in open_zones(backend) if zone.network_border_group == group]
        if group and not zones:
            raise EC2ClientError(
                "InvalidParameterValue", f"Value ({group}) for parameter networkBorderGroup is invalid."
            )
        carrier = _free(backend) if zones and is_wavelength(zones[0]) else None
        said: dict[str, Any] = old(self).result
        (address,) = backend.address_by_allocation([said["AllocationId"]])
        address.network_border_group = said["NetworkBorderGroup"] = group or backend.region_name
        said["PublicIpv4Pool"] = "amazon"
        if carrier:
            address.public_ip = address.carrier_ip = said["CarrierIp"] = carrier
            del said["PublicIp"]
        return ActionResult(said)

    return allocate


def _named(self: Any) -> ElasticAddress:
    """The address that a request is about."""
    backend = self.ec2_backend
    allocation, by_ip = self._get_param("AllocationId"), [self._get_param("PublicIp")]
    found: list[ElasticAddress] = (
        backend.address_by_allocation([allocation]) if allocation else backend.address_by_ip(by_ip)
    )
    return found[0]


def _within_the_border_group(old: Any) -> Any:
    def associate(self: Any) -> Any:
        backend = self.ec2_backend
        machine, nic = self._get_param("InstanceId"), self._get_param("NetworkInterfaceId")
        if (machine or nic) and (self._get_param("AllocationId") or self._get_param("PublicIp")):
            address = _named(self)
            at = backend.get_network_interface(nic) if nic else backend.get_instance(machine).nics[0]
            zone = zone_of(backend, at.availability_zone)
            if zone is not None and zone.network_border_group != border_group(address):
                raise InvalidParameterCombination(
                    f"{address.allocation_id} is of the network border group {border_group(address)}, and {at.id} of "
                    f"{zone.network_border_group}."
                )
        return old(self)

    return associate


def _of_the_border_group(old: Any) -> Any:
    def release(self: Any) -> Any:
        if self._get_param("AllocationId") or self._get_param("PublicIp"):
            address = _named(self)
            group = self._get_param("NetworkBorderGroup") or self.ec2_backend.region_name
            if group != border_group(address):
                raise InvalidAddressError(self._get_param("AllocationId") or self._get_param("PublicIp"))
        return old(self)

    return release


class _Shown:
    """A carrier's address as AWS shows it: without a public one."""

    public_ip = None

    def __init__(self, address: ElasticAddress) -> None:
        self._address = address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._address, name)


def _describe_addresses(self: Any) -> ActionResult:
    self.error_on_dryrun()
    found = self.ec2_backend.describe_addresses(
        self._get_param("AllocationIds", []), self._get_param("PublicIps", []), self._filters_from_querystring()
    )
    for address in found:
        address.network_border_group = border_group(address)
    return ActionResult({"Addresses": [_Shown(one) if is_carriers(one.public_ip) else one for one in found]})


def _with_carrier_addresses(old: Any) -> Any:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = [nic for nic in kwargs.get("nics") or () if nic.get("AssociateCarrierIpAddress") in (True, "true")]
        for nic in wanted:
            if not is_wavelength(subnet_zone(self, nic["SubnetId"])):
                raise InvalidParameterCombination(f"{nic['SubnetId']} is not in a Wavelength Zone.")
        reservation = old(self, *args, **kwargs)
        for instance in reservation.instances:
            for nic in wanted:
                instance.nics[int(nic["DeviceIndex"])].public_ip = _free(self)
        return reservation

    return run


def _association(nic: Any, old: Any) -> dict[str, Any]:
    association: dict[str, Any] = old(nic)
    if is_carriers(nic.public_ip):
        association["carrierIp"] = nic.public_ip
        for key in ("publicIp", "publicDnsName", "natEnabled"):
            association.pop(key, None)
    return association


def _public_address(instance: Any) -> str | None:
    address: str | None = instance.nics[0].public_ip
    return None if is_carriers(address) else address
