"""A zone of nodes in the carrier's network: a subnet of a Wavelength zone, and its nodes with carrier addresses.

Clients come in through the carrier gateway, to any node of the zone. From the region come only those who carry the
controllers' group. Nodes of other zones cannot come at all: AWS has no way between Wavelength zones of one VPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from environments import Subnet
from infra.atlas_link import PORTS as LINK_PORTS
from infra.firewall import Firewall, FirewallArgs, Opening
from infra.labels import Labels
from infra.network import EVERYWHERE
from infra.slot import MachineArgs, NodeSlot, NodeSlotArgs
from infra.slots import LISTENS_FROM, OBSERVE_PORT, Slot


@dataclass(frozen=True, slots=True)
class ZoneArgs:
    """What a zone needs, in the carrier's network or in the region."""

    labels: Labels
    zone: str
    subnets: Sequence[Subnet]
    slots: Sequence[Slot]
    fronts: Sequence[int]
    vpc: pulumi.Input[str]
    routes: pulumi.Input[str]
    machine: MachineArgs
    data_gb: int
    profile: pulumi.Input[str]
    user_data: dict[str, pulumi.Input[str]]
    """By the node's name."""
    controllers: pulumi.Input[str]
    """The group whose machines may observe, probe and reach the nodes' fronts."""
    bastion: pulumi.Input[str] | None
    border_groups: dict[str, str]
    linked: str = ""
    """The network in which the far store has a private way in; empty where it is reached by its public addresses."""


class EdgeZone(pulumi.ComponentResource):
    def __init__(self, name: str, args: ZoneArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:EdgeZone", name, None, opts)
        from_carrier = [Opening(f"front-{port}", port, port, cidr=EVERYWHERE) for port in args.fronts]
        subnets = zone_subnets(name, args, self)
        self.firewall = zone_firewall(name, args, from_carrier, self)
        self.slots = {
            slot.name: node_slot(slot, args, subnets, self.firewall, args.border_groups[slot.subnet.place], self)
            for slot in args.slots
        }
        self.register_outputs({"zone": args.zone})


def zone_subnets(name: str, args: ZoneArgs, parent: pulumi.ComponentResource) -> dict[str, aws.ec2.Subnet]:
    """The subnets of a zone by their place, with the routes that all of them share."""
    under, made = pulumi.ResourceOptions(parent=parent), {}
    for subnet in args.subnets:
        made[subnet.place] = aws.ec2.Subnet(
            f"{name}-{subnet.place}",
            vpc_id=args.vpc,
            cidr_block=subnet.cidr,
            availability_zone=subnet.place,
            map_public_ip_on_launch=False,
            tags=args.labels.of(f"{args.zone}-{subnet.place}", zone=args.zone),
            opts=under,
        )
        aws.ec2.RouteTableAssociation(
            f"{name}-{subnet.place}", route_table_id=args.routes, subnet_id=made[subnet.place].id, opts=under
        )
    return made


def zone_firewall(name: str, args: ZoneArgs, openings: Sequence[Opening], parent: pulumi.ComponentResource) -> Firewall:
    """The group of a zone's nodes: clients by ``openings``, each other, the controllers, and the bastion if any."""
    listens = LISTENS_FROM, max(port for slot in args.slots for port in slot.listens.values())
    controllers = [
        Opening("controllers-observe", OBSERVE_PORT, listens[1], group=args.controllers),
        *(Opening(f"controllers-front-{port}", port, port, group=args.controllers) for port in args.fronts),
    ]
    jump = [Opening("bastion-ssh", 22, 22, group=args.bastion)] if args.bastion is not None else []
    peers = Opening("peers", *listens, own=True)
    link = [Opening("far-store-link", *LINK_PORTS, cidr=args.linked)] if args.linked else []
    return Firewall(
        f"{name}-nodes",
        FirewallArgs(
            args.labels, args.vpc, f"nodes of {args.zone}", [*openings, peers, *controllers, *jump], out=[peers, *link]
        ),
        pulumi.ResourceOptions(parent=parent),
    )


def node_slot(
    slot: Slot,
    args: ZoneArgs,
    subnets: dict[str, aws.ec2.Subnet],
    firewall: Firewall,
    border_group: str,
    parent: pulumi.ComponentResource,
) -> NodeSlot:
    return NodeSlot(
        slot.name,
        NodeSlotArgs(
            labels=args.labels,
            slot=slot,
            machine=args.machine,
            data_gb=args.data_gb,
            subnet=subnets[slot.subnet.place].id,
            groups=[firewall.id],
            profile=args.profile,
            user_data=args.user_data[slot.name],
            border_group=border_group,
        ),
        pulumi.ResourceOptions(parent=parent),
    )
