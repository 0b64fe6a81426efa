"""The shape of ``[infra]``: what the infrastructure program builds for one environment, key by key.

Types and bounds of single keys, and what one address or one place looks like, live here. What keys mean together is in
``infra_rules.py``; the values that the program receives are in ``infra_values.py``. Numbers of nodes are not said here:
a fleet says them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from environments.problems import nearest, shown
from environments.shape import Shape, Text, Zone

REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")
AVAILABILITY_ZONE = re.compile(rf"({REGION.pattern})[a-z]")
WAVELENGTH_ZONE = re.compile(rf"({REGION.pattern})-wl[0-9]+-[a-z]{{3}}-wlz-[0-9]+")
MACHINE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
TIERS = ("M0", "FLEX", "M10", "M20", "M30", "M40", "M50", "M60", "M80", "M140", "M200", "M300")
NAMESPACE = re.compile(r"[a-z0-9_]+(?:\{zone\})?\.(?:\*|[a-z0-9_]+)")
HOSTED_ZONE = re.compile(r"Z[A-Z0-9]{5,31}")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
KEY_ARN = re.compile(rf"arn:aws[a-z-]*:kms:({REGION.pattern}):[0-9]+:key/[A-Za-z0-9-]+")
CERTIFICATE_ARN = re.compile(rf"arn:aws[a-z-]*:acm:({REGION.pattern}):[0-9]+:certificate/[A-Za-z0-9-]+")
ACTION = re.compile(r"[A-Z][A-Z_]+")
PREFIXES = range(16, 29)  # what AWS allows for a VPC and for a subnet


def _region(text: str) -> str:
    if not REGION.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a region; write one such as us-east-1")
    return text


def _place(text: str) -> str:
    if not (AVAILABILITY_ZONE.fullmatch(text) or WAVELENGTH_ZONE.fullmatch(text)):
        form = "write an availability zone such as us-east-1a, or a Wavelength zone such as us-east-1-wl1-bos-wlz-1"
        raise ValueError(f"{shown(text)} is no place for a subnet; {form}")
    return text


def _network(text: str) -> str:
    """Any IPv4 network: also the ones that may reach us."""
    try:
        return str(ipaddress.IPv4Network(text))
    except ValueError as error:
        why = "its address has bits beyond its length" if "host bits" in str(error) else "it is not one"
        raise ValueError(f"{shown(text)} is no IPv4 network: {why}; write one such as 10.20.16.0/24") from None


def _own_network(text: str) -> str:
    network = ipaddress.IPv4Network(_network(text))
    if not network.is_private or network.prefixlen not in PREFIXES:
        reason = f"is not a private network of /{PREFIXES[0]} to /{PREFIXES[-1]}, as AWS wants it"
        raise ValueError(f"{text} {reason}; write one such as 10.20.16.0/24")
    return text


def _tier(text: str) -> str:
    if text not in TIERS:
        raise ValueError(f"{shown(text)} is no size of a cluster {nearest(text, TIERS)}")
    return text


def _machine(text: str) -> str:
    if not MACHINE.fullmatch(text):
        raise ValueError(f"{shown(text)} is no instance type; write one such as t3.medium")
    return text


def _namespace(text: str) -> str:
    if not NAMESPACE.fullmatch(text):
        form = "write database.collection, such as zone_{zone}.readings, or c360.* for every collection"
        raise ValueError(f"{shown(text)} is no place in the far store; {form}")
    return text


def _action(text: str) -> str:
    if not ACTION.fullmatch(text):
        raise ValueError(f"{shown(text)} is no right; write one of Atlas's actions, such as FIND or INSERT")
    return text


def _hosted_zone(text: str) -> str:
    if not HOSTED_ZONE.fullmatch(text):
        form = "write its id, such as Z0123456789ABCDEFGHIJ, which `aws route53 list-hosted-zones` shows"
        raise ValueError(f"{shown(text)} is no hosted zone; {form}")
    return text


def _domain(text: str) -> str:
    if not DOMAIN.fullmatch(text):
        raise ValueError(f"{shown(text)} is no domain; write one in small letters, such as prod.example.com")
    return text


def _key(text: str) -> str:
    if not KEY_ARN.fullmatch(text):
        form = "write its ARN, such as arn:aws:kms:us-east-1:111122223333:key/example, not an alias"
        raise ValueError(f"{shown(text)} is no key of KMS; {form}")
    return text


def _certificate(text: str) -> str:
    if not CERTIFICATE_ARN.fullmatch(text):
        form = "write its ARN, such as arn:aws:acm:us-east-1:111122223333:certificate/example"
        raise ValueError(f"{shown(text)} is no certificate of ACM; {form}")
    return text


Region = Annotated[str, AfterValidator(_region)]
Place = Annotated[str, AfterValidator(_place)]
Network = Annotated[str, AfterValidator(_network)]
OwnNetwork = Annotated[str, AfterValidator(_own_network)]
Machine = Annotated[str, AfterValidator(_machine)]
Tier = Annotated[str, AfterValidator(_tier), Field(json_schema_extra={"enum": list(TIERS)})]
Namespace = Annotated[str, AfterValidator(_namespace)]
Action = Annotated[str, AfterValidator(_action)]
HostedZone = Annotated[str, AfterValidator(_hosted_zone)]
Domain = Annotated[str, AfterValidator(_domain)]
Key = Annotated[str, AfterValidator(_key)]
Certificate = Annotated[str, AfterValidator(_certificate)]
Port = Annotated[int, Field(ge=1, le=65535)]


class AtlasShape(Shape):
    """The far store: one project and one cluster of MongoDB Atlas."""

    tier: Tier = Field(description="the size of the cluster: M0 and FLEX are shared, M10 and above its own")
    autoscale_to: Tier | None = Field(default=None, description="the size up to which the cluster grows by itself")
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = Field(
        default="8.0", description="the major version of MongoDB on a dedicated cluster"
    )
    backup: bool = Field(default=False, description="whether snapshots and any second of the last days are kept")
    encryption_key: Key | None = Field(
        default=None, description="the KMS key, by its ARN, that encrypts the cluster's disks; left out: Atlas's own"
    )
    private_link: bool = Field(
        default=False, description="whether nodes reach the cluster by PrivateLink alone, and no address may connect"
    )
    grants: dict[str, dict[Namespace, Annotated[list[Action], Field(min_length=1)]]] = Field(
        default={}, description="application to what it may do, by database.collection; {zone} is its node's zone"
    )
    maintenance_day: int = Field(
        default=3, ge=1, le=7, description="the day on which Atlas may do its maintenance: 1 is Sunday, 7 Saturday"
    )
    maintenance_hour: int = Field(default=4, ge=0, le=23, description="the hour, in UTC, in which it begins")


class DnsShape(Shape):
    """Names of the zones, as devices and customers use them."""

    hosted_zone: HostedZone = Field(description="the hosted zone of Route 53, by its id, that the names go into")
    domain: Domain = Field(description="what the names end with: zone BOS becomes bos.<domain>")


class InfraShape(Shape):
    """What runs where in the cloud. An environment whose own file has no [infra] is not in the cloud."""

    region: Region = Field(description="the AWS region of everything here")
    vpc: OwnNetwork = Field(description="the network of the whole environment; no other environment's overlaps it")
    public: dict[Place, OwnNetwork] = Field(
        min_length=1, description="availability zone to public subnet: load balancer, bastion, way out"
    )
    zones: dict[Zone, dict[Place, OwnNetwork]] = Field(
        min_length=1, description="zone of a fleet to its subnets: one Wavelength zone, or availability zones"
    )
    fronts: dict[str, Port] = Field(min_length=1, description="port name of an application to the port clients use")
    node_type: Machine = Field(description="the instance type of nodes")
    image: Text = Field(description="the public SSM parameter that names the newest machine image")
    root_gb: int = Field(ge=8, le=1000, description="the size of a node's own disk")
    data_gb: int = Field(ge=1, le=16000, description="the size of a node's data volume, which outlives the machine")
    transport: Literal["ssm", "ssh"] = Field(default="ssm", description="how commands reach the nodes")
    ssh_from: list[Network] = Field(
        default=[], description="networks that may reach the bastion; left out: there is no bastion"
    )
    certificate: Certificate | None = Field(
        default=None, description="the ACM certificate, by its ARN, of load balancers; left out: they are internal ones"
    )
    ssm_endpoints: bool = Field(
        default=False, description="whether Systems Manager is reached inside the VPC, by endpoints of its own"
    )
    registry: bool = Field(
        default=False, description="whether there is a place for images, for releases that are images"
    )
    device_tls: bool = Field(
        default=False, description="whether MQTT is spoken over TLS, and only by devices that have a certificate"
    )
    dns: DnsShape | None = Field(default=None, description="names of the zones; left out: clients use addresses")
    controller_hosts: int = Field(default=0, ge=0, le=2, description="machines for the controller: leader, standby")
    protect: bool = Field(default=True, description="whether what cannot be made again may not be deleted")
    alerts_to: Text | None = Field(default=None, description="the mail address that alarms and the budget write to")
    budget_dollars: int = Field(ge=1, le=1_000_000, description="dollars a month that are expected to be enough")
    tags: dict[str, str] = Field(default={}, description="tags of everything, beside the platform's own")
    atlas: AtlasShape = Field(description="the far store, in MongoDB Atlas")


def region_of(place: str) -> str:
    """The region that a place belongs to, by its name."""
    found: Any = WAVELENGTH_ZONE.fullmatch(place) or AVAILABILITY_ZONE.fullmatch(place)
    return str(found[1])


def region_of_arn(arn: str) -> str:
    return arn.split(":")[3]


def is_wavelength(place: str) -> bool:
    return WAVELENGTH_ZONE.fullmatch(place) is not None
