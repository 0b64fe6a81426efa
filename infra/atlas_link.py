"""A private way to the far store: PrivateLink, instead of a list of addresses that may connect.

Atlas offers a service, the VPC has an endpoint to it in the region's public subnets, and Atlas is told of the endpoint.
Members of the cluster are told apart by port, from 1024 on. Nothing of it passes through the internet, and no address
of the platform need be known to Atlas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_mongodbatlas as atlas

from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels

PORTS = (1024, 65535)


class NoPrivateAddress(Exception):
    """Atlas has given the cluster no private address; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Where in the VPC the endpoint is to stand, and who may come to it."""

    vpc: pulumi.Input[str]
    inside: str
    subnets: Sequence[pulumi.Input[str]]


@dataclass(frozen=True, slots=True)
class PrivateLinkArgs:
    labels: Labels
    project: pulumi.Input[str]
    place: str
    """The region, as Atlas calls it."""
    ways: Ways


class PrivateLink(pulumi.ComponentResource):
    """``joined`` is there once both sides know each other; a cluster made after it has a private address."""

    def __init__(self, name: str, args: PrivateLinkArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:PrivateLink", name, None, opts)
        under, ways = pulumi.ResourceOptions(parent=self), args.ways
        inside = [Opening("far-store", *PORTS, cidr=ways.inside)]
        firewall = Firewall(name, FirewallArgs(args.labels, ways.vpc, "far store", inside, outside=False), under)
        offered = atlas.PrivateLinkEndpoint(
            name, project_id=args.project, provider_name="AWS", region=args.place, opts=under
        )
        endpoint = aws.ec2.VpcEndpoint(
            name,
            vpc_id=ways.vpc,
            service_name=offered.endpoint_service_name,
            vpc_endpoint_type="Interface",
            subnet_ids=ways.subnets,
            security_group_ids=[firewall.id],
            tags=args.labels.of(name),
            opts=under,
        )
        self.joined = atlas.PrivateLinkEndpointService(
            name,
            project_id=args.project,
            private_link_id=offered.private_link_id,
            endpoint_service_id=endpoint.id,
            provider_name="AWS",
            opts=under,
        )
        self.register_outputs({})


def private_address(cluster: atlas.AdvancedCluster) -> pulumi.Output[str]:
    """Where the cluster is reached through the link; raises NoPrivateAddress once that is known."""
    found: pulumi.Output[str] = cluster.connection_strings.apply(_private)
    return found


def _private(strings: atlas.outputs.AdvancedClusterConnectionStrings) -> str:
    for one in strings.private_endpoints or ():
        if one.srv_connection_string:
            return str(one.srv_connection_string)
    raise NoPrivateAddress(
        "Atlas has not given the cluster a private address yet. Run `pulumi refresh`, then `pulumi up` again."
    )
