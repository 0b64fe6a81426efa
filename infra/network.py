"""The network of an environment: one VPC, its public subnets, and the ways out of it.

There are three ways, each a route table: the internet gateway for public subnets, the one carrier gateway for subnets
in Wavelength zones, and an address translator for private subnets of the region. Nothing comes in from the internet to
a Wavelength zone, and none of its subnets has a route to the internet gateway. Subnets with nodes are the zones' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from environments import Subnet
from infra.labels import Labels

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class NetworkArgs:
    labels: Labels
    region: str
    cidr: str
    public: Sequence[Subnet]
    carrier: bool
    """Whether there are Wavelength zones."""
    private: bool
    """Whether there are private subnets in the region."""
    protect: bool


class Network(pulumi.ComponentResource):
    """``carrier_routes`` and ``private_routes`` are None where there is no such subnet."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Network", name, None, opts)
        self._args, self._under = args, pulumi.ResourceOptions(parent=self)
        self.vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=args.labels.of("vpc"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        gateway = aws.ec2.InternetGateway(
            f"{name}-internet", vpc_id=self.vpc.id, tags=args.labels.of("internet"), opts=self._under
        )
        self.public_routes = self._routes(f"{name}-public", "public")
        self._default(f"{name}-public", self.public_routes, gateway_id=gateway.id)
        self.public_subnets = [self._public(f"{name}-public-{subnet.place}", subnet) for subnet in args.public]
        self.carrier_routes = self._carrier(name) if args.carrier else None
        self.way_out: aws.ec2.Eip | None = None
        self.private_routes = self._private(name) if args.private else None
        tables = [self.public_routes, *([self.private_routes] if self.private_routes else [])]
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{args.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=args.labels.of("s3"),
            opts=self._under,
        )
        self.register_outputs({"vpc": self.vpc.id})

    def _routes(self, name: str, label: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(name, vpc_id=self.vpc.id, tags=self._args.labels.of(label), opts=self._under)

    def _default(self, name: str, table: aws.ec2.RouteTable, **through: pulumi.Input[str]) -> None:
        aws.ec2.Route(
            f"{name}-default",
            route_table_id=table.id,
            destination_cidr_block=EVERYWHERE,
            opts=self._under,
            **through,
        )

    def _public(self, name: str, subnet: Subnet) -> aws.ec2.Subnet:
        made = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc.id,
            cidr_block=subnet.cidr,
            availability_zone=subnet.place,
            map_public_ip_on_launch=False,
            tags=self._args.labels.of(f"public-{subnet.place}"),
            opts=self._under,
        )
        aws.ec2.RouteTableAssociation(name, route_table_id=self.public_routes.id, subnet_id=made.id, opts=self._under)
        return made

    def _carrier(self, name: str) -> aws.ec2.RouteTable:
        """A VPC has at most one carrier gateway; all its Wavelength zones share it."""
        gateway = aws.ec2.CarrierGateway(
            f"{name}-carrier", vpc_id=self.vpc.id, tags=self._args.labels.of("carrier"), opts=self._under
        )
        table = self._routes(f"{name}-carrier", "carrier")
        self._default(f"{name}-carrier", table, carrier_gateway_id=gateway.id)
        return table

    def _private(self, name: str) -> aws.ec2.RouteTable:
        labels = self._args.labels
        self.way_out = aws.ec2.Eip(f"{name}-out", domain="vpc", tags=labels.of("out"), opts=self._under)
        translator = aws.ec2.NatGateway(
            f"{name}-out",
            allocation_id=self.way_out.id,
            subnet_id=self.public_subnets[0].id,
            tags=labels.of("out"),
            opts=self._under,
        )
        table = self._routes(f"{name}-private", "private")
        self._default(f"{name}-private", table, nat_gateway_id=translator.id)
        return table
