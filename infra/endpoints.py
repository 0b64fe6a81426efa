"""Ways to Systems Manager that stay inside the VPC, so that commands and sessions need no way out of it.

Interface endpoints stand in the region's public subnets, one for each service that the agent speaks to; none can stand
in a Wavelength zone, whose nodes reach these through the VPC. Names inside the VPC lead to them by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels

SERVICES = ("ssm", "ssmmessages", "ec2messages")


@dataclass(frozen=True, slots=True)
class EndpointsArgs:
    labels: Labels
    region: str
    vpc: pulumi.Input[str]
    inside: str
    subnets: Sequence[pulumi.Input[str]]


class Endpoints(pulumi.ComponentResource):
    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Endpoints", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        inside = [Opening("https", 443, 443, cidr=args.inside)]
        firewall = Firewall(name, FirewallArgs(args.labels, args.vpc, "ways in to AWS", inside, outside=False), under)
        for service in SERVICES:
            aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=args.vpc,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=args.subnets,
                security_group_ids=[firewall.id],
                private_dns_enabled=True,
                tags=args.labels.of(f"{name}-{service}"),
                opts=under,
            )
        self.register_outputs({})
