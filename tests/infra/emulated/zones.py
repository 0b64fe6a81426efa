"""Wavelength zones: that they are there, their groups, whether they are open to the account, what runs in them.

moto knows availability zones alone. Here every zone also says its group, its network border group and its opt-in
status; zones of closed groups are shown to those who ask for all zones, and take no subnet.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidAvailabilityZoneError, MissingParameterError
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.availability_zones_and_regions import Zone as PlainZone
from moto.ec2.models.instance_types import InstanceTypeOfferingBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.responses.availability_zones_and_regions import AvailabilityZonesAndRegions

from tests.infra.emulated.patches import Patches

WAVELENGTH = {
    "us-east-1": {
        "bos": "a", "dfw": "b", "mia": "c", "nyc": "d", "atl": "a", "bna": "b", "chi": "c", "clt": "d", "dtw": "a",
        "iah": "b", "msp": "c", "tpa": "d", "was": "a",
    },
    "us-west-2": {"las": "a", "sfo": "b", "den": "c", "phx": "a", "sea": "b"},
}  # fmt: skip
"""Region to the places of its Wavelength zones, each with the letter of its parent zone.

The places are AWS's; the letters are made up, because which letter stands for which zone differs by account.
"""
OFFERED = ("t3.medium", "t3.xlarge", "r5.2xlarge", "g4dn.2xlarge")
NO_NEED, OPEN, CLOSED = "opt-in-not-required", "opted-in", "not-opted-in"
FILTERS = {
    "zone-name": "name",
    **{name: name.replace("-", "_") for name in (
        "group-name", "opt-in-status", "parent-zone-id", "parent-zone-name", "region-name", "state", "zone-id",
        "zone-type",
    )},
}  # fmt: skip
"""DescribeAvailabilityZones' filters, each with the attribute that it looks at."""


class Zone(PlainZone):
    """A zone, with what moto does not say of it. It has moto's name, by which moto finds `ZoneName` and the like."""

    group_name: str
    network_border_group: str
    opt_in_status: str
    parent_zone_name: str | None = None
    parent_zone_id: str | None = None


def is_wavelength(zone: PlainZone) -> bool:
    return zone.zone_type == "wavelength-zone"


def install(patches: Patches, opted_in: tuple[str, ...]) -> None:
    """Every region's zones anew, with the groups of ``opted_in`` open."""
    zones = {region: _zones(region, plain, opted_in) for region, plain in RegionsAndZonesBackend.zones.items()}
    patches.put(RegionsAndZonesBackend, "zones", zones)
    patches.put(RegionsAndZonesBackend, "get_zone_by_name", zone_of)
    patches.around(RegionsAndZonesBackend, "describe_availability_zones", lambda old: _without_wavelength(old))
    patches.put(AvailabilityZonesAndRegions, "describe_availability_zones", _describe_availability_zones)
    patches.put(AvailabilityZonesAndRegions, "modify_availability_zone_group", _modify_availability_zone_group)
    patches.around(SubnetBackend, "create_subnet", lambda old: _only_in_open_zones(old))
    patches.around(InstanceTypeOfferingBackend, "describe_instance_type_offerings", lambda old: _with_wavelength(old))
    patches.around(InstanceBackend, "run_instances", lambda old: _only_what_is_offered(old))


def shut(region: str, group: str) -> None:
    """The group's zones are closed to the account, as AWS closes them for who asks its support."""
    for zone in RegionsAndZonesBackend.zones[region]:
        if isinstance(zone, Zone) and zone.group_name == group:
            zone.opt_in_status = CLOSED


def zone_of(backend: Any, name: str) -> Zone | None:
    """A zone of the backend's region by its name, also one in the carrier's network."""
    return next((zone for zone in backend.zones.get(backend.region_name, []) if zone.name == name), None)


def open_zones(backend: Any) -> list[Zone]:
    return [zone for zone in backend.zones.get(backend.region_name, []) if zone.opt_in_status != CLOSED]


def subnet_zone(backend: Any, subnet: str) -> Zone:
    """The zone that a subnet, named by its id, lies in."""
    zone = zone_of(backend, backend.get_subnet(subnet).availability_zone)
    assert zone is not None
    return zone


def _zones(region: str, plain: list[PlainZone], opted_in: tuple[str, ...]) -> list[Zone]:
    made = [Zone(zone.name, region, zone.zone_id) for zone in plain]
    for zone in made:
        zone.group_name, zone.network_border_group, zone.opt_in_status = f"{region}-zg-1", region, NO_NEED
    ids = {zone.name: zone.zone_id for zone in made}
    for place, letter in WAVELENGTH.get(region, {}).items():
        parent = f"{region}{letter}"
        code = ids[parent].partition("-")[0]
        zone = Zone(f"{region}-wl1-{place}-wlz-1", region, f"{code}-wl1-{place}-wlz1", "wavelength-zone")
        zone.group_name, zone.network_border_group = f"{region}-wl1", zone.name
        zone.opt_in_status = OPEN if zone.group_name in opted_in else CLOSED
        zone.parent_zone_name, zone.parent_zone_id = parent, ids[parent]
        made.append(zone)
    return made


def _without_wavelength(old: Any) -> Any:
    def describe(self: Any, *args: Any, **kwargs: Any) -> list[PlainZone]:
        """What moto itself asks: where default subnets go, and the zone of a subnet that names none."""
        return [zone for zone in old(self, *args, **kwargs) if not is_wavelength(zone)]

    return describe


def _describe_availability_zones(self: Any) -> ActionResult:
    self.error_on_dryrun()
    backend = self.ec2_backend
    every = bool(self._get_param("AllAvailabilityZones", False))
    zones = backend.zones.get(backend.region_name, []) if every else open_zones(backend)
    for parameter, attribute in (("ZoneNames", "name"), ("ZoneIds", "zone_id")):
        if asked := self._get_param(parameter, []):
            known = {getattr(zone, attribute) for zone in backend.zones.get(backend.region_name, [])}
            if unknown := [name for name in asked if name not in known]:
                raise EC2ClientError("InvalidParameterValue", f"Invalid availability zone: [{', '.join(unknown)}]")
            zones = [zone for zone in zones if getattr(zone, attribute) in asked]
    for name, values in self._filters_from_querystring().items():
        if name not in FILTERS:
            raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
        zones = [zone for zone in zones if getattr(zone, FILTERS[name], None) in values]
    return ActionResult({"AvailabilityZones": zones})


def _modify_availability_zone_group(self: Any) -> ActionResult:
    self.error_on_dryrun()
    group, status = self._get_param("GroupName"), self._get_param("OptInStatus")
    for parameter, value in (("GroupName", group), ("OptInStatus", status)):
        if not value:
            raise MissingParameterError(parameter)
    zones = [zone for zone in self.ec2_backend.zones.get(self.region, []) if zone.group_name == group]
    if not zones or not all(map(is_wavelength, zones)):
        raise EC2ClientError("InvalidParameterValue", f"Value ({group}) for parameter GroupName is invalid.")
    if status != OPEN:
        why = "To opt out of a zone group, contact AWS Support."
        raise EC2ClientError("InvalidParameterValue", f"Value ({status}) for parameter OptInStatus is invalid. {why}")
    for zone in zones:
        zone.opt_in_status = OPEN
    return ActionResult({"Return": True})


def _only_in_open_zones(old: Any) -> Any:
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        name, number = (*args[3:5], None, None)[:2]
        name, number = kwargs.get("availability_zone", name), kwargs.get("availability_zone_id", number)
        zones = open_zones(self)
        if (name or number) and not any(name == zone.name or number == zone.zone_id for zone in zones):
            raise InvalidAvailabilityZoneError(name or number, ", ".join(zone.name for zone in zones))
        subnet = old(self, *args, **kwargs)
        if is_wavelength(subnet._availability_zone):  # moto takes the first subnet of any zone for its default one
            subnet.default_for_az = subnet.map_public_ip_on_launch = False
        return subnet

    return create


def _with_wavelength(old: Any) -> Any:
    def describe(self: Any, location_type: str | None = None, filters: dict[str, Any] | None = None) -> list[Any]:
        offered = list(old(self, location_type, filters))
        attribute = {"availability-zone": "name", "availability-zone-id": "zone_id"}.get(location_type or "")
        zones = [zone for zone in self.zones.get(self.region_name, []) if attribute and is_wavelength(zone)]
        here = [
            {"InstanceType": machine, "LocationType": location_type, "Location": getattr(zone, attribute or "")}
            for zone in zones
            for machine in OFFERED
        ]
        return offered + [one for one in here if self.matches_filters(one, filters or {}, location_type)]

    return describe


def _only_what_is_offered(old: Any) -> Any:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        subnet = kwargs.get("subnet_id") or next((nic.get("SubnetId") for nic in kwargs.get("nics") or ()), None)
        zone = subnet_zone(self, subnet) if subnet else None
        if zone and is_wavelength(zone) and kwargs["instance_type"] not in OFFERED:
            raise EC2ClientError(
                "Unsupported",
                f"Your requested instance type ({kwargs['instance_type']}) is not supported in your requested "
                f"Availability Zone ({zone.name}).",
            )
        return old(self, *args, **kwargs)

    return run
