"""What ``[infra]`` may not say although every key of it is well formed.

Networks that overlap, places of another region, zones that no fleet has, a far store that cannot do what is asked of
it. Each function yields complaints: where, and a sentence that says what to do. Whether AWS really has a zone or a
machine is not known here: the program asks AWS before it makes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network

from environments.infra_shapes import TIERS, AtlasShape, InfraShape, is_wavelength, region_of, region_of_arn
from environments.model import FleetShape
from environments.overlay import Table
from environments.problems import Complaint, KeyPath, nearest, shown

Where = tuple[KeyPath, str, str]
"""A subnet: its key, its place and its network."""

AWS_KEEPS = 5  # addresses of every subnet
ANYWHERE = "0.0.0.0/0"
PLATFORM_TAGS = ("Name", "turnabout:environment", "turnabout:zone", "turnabout:node", "turnabout:app")


def infra(shape: InfraShape, fleets: Mapping[str, FleetShape]) -> Iterator[Complaint]:
    subnets = [*_subnets(shape)]
    yield from _places(shape, subnets)
    yield from _networks(shape, subnets)
    yield from _zones(shape, fleets)
    yield from _room(shape, fleets)
    yield from _ways_in(shape)
    yield from _atlas(shape.atlas)
    yield from _of_this_region(shape)
    yield from _certificates(shape)
    if shape.protect and not shape.atlas.backup:
        reason = "what is protected is backed up as well, which takes a tier of M10 or above"
        yield Complaint(("infra", "atlas", "backup"), f"{reason}; write true here, or infra.protect = false")
    for app in shape.atlas.grants:
        if fleets and app not in fleets:
            reason = f"no fleet runs {shown(app)} {nearest(app, fleets)}; take it out"
            yield Complaint(("infra", "atlas", "grants", app), reason)
    for tag in shape.tags:
        if tag in PLATFORM_TAGS or tag.startswith("aws:"):
            yield Complaint(("infra", "tags", tag), f"{shown(tag)} is set by the platform or by AWS; take it out")


def apart(name: str, overlay: Table, overlay_of: Callable[[str], Table | None]) -> Iterator[Complaint]:
    """The network of an environment overlaps none on the way that its releases come."""
    mine, seen, source = _vpc(overlay), {name}, overlay.get("promotes_from")
    while mine and isinstance(source, str) and source not in seen:
        seen.add(source)
        found = overlay_of(source) or {}
        other = _vpc(found)
        if other and mine.overlaps(other):
            reason = f"{mine} overlaps {other}, which is the network of {source}; give each environment its own"
            yield Complaint(("infra", "vpc"), reason)
        source = found.get("promotes_from")


def _vpc(overlay: Table) -> IPv4Network | None:
    """The network in an overlay; None if it has none, or one that is complained of elsewhere."""
    table = overlay.get("infra")
    try:
        return IPv4Network(table["vpc"]) if isinstance(table, dict) else None
    except (KeyError, ValueError):
        return None


def _subnets(shape: InfraShape) -> Iterator[Where]:
    for place, cidr in shape.public.items():
        yield ("infra", "public", place), place, cidr
    for zone, places in shape.zones.items():
        for place, cidr in places.items():
            yield ("infra", "zones", zone, place), place, cidr


def _places(shape: InfraShape, subnets: list[Where]) -> Iterator[Complaint]:
    for at, place, _ in subnets:
        if region_of(place) != shape.region:
            reason = f"{place} is a zone of {region_of(place)}, and this environment is in {shape.region}"
            yield Complaint(at, f"{reason}; name a zone of {shape.region}", (("infra", "region"),))
        elif at[1] == "public" and is_wavelength(place):
            yield Complaint(at, f"{place} is a Wavelength zone, which nothing reaches from the internet; name another")


def _networks(shape: InfraShape, subnets: list[Where]) -> Iterator[Complaint]:
    vpc = IPv4Network(shape.vpc)
    for number, (at, _, cidr) in enumerate(subnets):
        network = IPv4Network(cidr)
        if not network.subnet_of(vpc):
            yield Complaint(at, f"{cidr} lies outside of infra.vpc, {shape.vpc}; write a part of it")
        for other, place, taken in subnets[:number]:
            if network.overlaps(IPv4Network(taken)):
                of = f"{other[2]} in {place}" if other[1] == "zones" else f"the public subnet in {place}"
                yield Complaint(at, f"{cidr} overlaps {taken}, which is the network of {of}; give each its own")


def _zones(shape: InfraShape, fleets: Mapping[str, FleetShape]) -> Iterator[Complaint]:
    used = {zone: app for app, fleet in fleets.items() for zone in fleet.zones}
    for zone, app in used.items():
        if zone not in shape.zones:
            reason = f"fleet.{app} runs in {zone}, which has no subnet here {nearest(zone, shape.zones)}"
            yield Complaint(("infra", "zones"), f"{reason}; write {zone} = {{ place = network }}")
    for zone, places in shape.zones.items():
        at: KeyPath = ("infra", "zones", zone)
        if fleets and zone not in used:
            reason = f"no fleet runs in {shown(zone)} {nearest(zone, used)}"
            yield Complaint(at, f"{reason}; take it out, or let one run there")
        edge = [place for place in places if is_wavelength(place)]
        if not places:
            yield Complaint(at, "this zone has no subnet; write a place and its network")
        elif edge and len(places) > 1:
            reason = "nodes of a zone balance among themselves, and Wavelength zones cannot talk to one another"
            yield Complaint(at, f"{reason}; name one Wavelength zone only")
        elif not edge and len(shape.public) < 2:
            reason = f"{zone} is behind a load balancer, which needs public subnets in two availability zones"
            yield Complaint(("infra", "public"), f"{reason}; name two")


def _room(shape: InfraShape, fleets: Mapping[str, FleetShape]) -> Iterator[Complaint]:
    for fleet in fleets.values():
        for zone in fleet.zones:
            for number, (place, cidr) in enumerate(shape.zones.get(zone, {}).items()):
                nodes = len(range(number, fleet.nodes_per_zone, len(shape.zones[zone])))
                room = IPv4Network(cidr).num_addresses - AWS_KEEPS
                if nodes > room:
                    reason = f"{cidr} has room for {room} nodes, and {nodes} of {zone} are to be here"
                    yield Complaint(("infra", "zones", zone, place), f"{reason}; write a larger network")


def _ways_in(shape: InfraShape) -> Iterator[Complaint]:
    if shape.transport == "ssh" and not shape.ssh_from:
        reason = "ssh passes through the bastion, and there is none without infra.ssh_from"
        yield Complaint(("infra", "transport"), f'{reason}; name the networks that may reach it, or write "ssm"')
    for number, network in enumerate(shape.ssh_from):
        if network == ANYWHERE:
            yield Complaint(("infra", "ssh_from", number), "the whole world may not try SSH; name your own networks")


def _of_this_region(shape: InfraShape) -> Iterator[Complaint]:
    """What is named by its ARN serves its own region only."""
    named: tuple[tuple[KeyPath, str, str | None], ...] = (
        (("infra", "certificate"), "certificate", shape.certificate),
        (("infra", "atlas", "encryption_key"), "key", shape.atlas.encryption_key),
    )
    for at, what, arn in named:
        if arn and region_of_arn(arn) != shape.region:
            reason = f"this {what} is in {region_of_arn(arn)}, and this environment is in {shape.region}"
            yield Complaint(at, f"{reason}; name a {what} of {shape.region}", (("infra", "region"),))


def _certificates(shape: InfraShape) -> Iterator[Complaint]:
    if shape.device_tls and shape.dns is None:
        reason = "a device compares a zone's certificate with the zone's name, and zones have none without infra.dns"
        yield Complaint(("infra", "device_tls"), f"{reason}; say there where names go, or write false")


def _atlas(shape: AtlasShape) -> Iterator[Complaint]:
    at: KeyPath = ("infra", "atlas")
    if shape.tier in ("M0", "FLEX"):
        for key, asked in (
            ("autoscale_to", shape.autoscale_to),
            ("backup", shape.backup),
            ("encryption_key", shape.encryption_key),
            ("private_link", shape.private_link),
        ):
            if asked:
                reason = f"a shared cluster ({shape.tier}) has no {key}"
                yield Complaint((*at, key), f"{reason}; take it out, or write a tier of M10 or above", ((*at, "tier"),))
    elif shape.autoscale_to and TIERS.index(shape.autoscale_to) <= TIERS.index(shape.tier):
        reason = f"{shape.autoscale_to} is no more than the tier, {shape.tier}"
        yield Complaint((*at, "autoscale_to"), f"{reason}; write a larger one, or leave it out", ((*at, "tier"),))
