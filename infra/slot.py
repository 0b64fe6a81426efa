"""A node's place, filled: a machine, the data volume that outlives it, and its address in the carrier's network.

Nothing on the release path replaces a machine: a newer image or another boot text leaves it alone. Where it is replaced
all the same, the old one goes first, because address and volume belong to one machine at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels
from infra.slots import Slot

DEVICE = "/dev/sdf"
VOLUME_TYPE = "gp2"  # the only kind that every Wavelength zone has


@dataclass(frozen=True, slots=True)
class MachineArgs:
    """What every machine of the platform is made of."""

    image: str
    machine: str
    root_gb: int
    protect: bool


@dataclass(frozen=True, slots=True)
class NodeSlotArgs:
    labels: Labels
    slot: Slot
    machine: MachineArgs
    data_gb: int
    subnet: pulumi.Input[str]
    groups: list[pulumi.Input[str]]
    profile: pulumi.Input[str]
    user_data: pulumi.Input[str]
    border_group: str
    """The network border group of the carrier's addresses; empty where the node has none."""


class NodeSlot(pulumi.ComponentResource):
    """``carrier`` is the address that devices use, or empty."""

    def __init__(self, name: str, args: NodeSlotArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:NodeSlot", name, None, opts)
        slot, under = args.slot, pulumi.ResourceOptions(parent=self)
        tags = args.labels.of(slot.name, zone=slot.zone, node=slot.name, app=slot.app.name)
        self.instance = machine(
            name,
            args.machine,
            tags,
            pulumi.ResourceOptions(parent=self, ignore_changes=["ami", "userData"], delete_before_replace=True),
            subnet=args.subnet,
            groups=args.groups,
            profile=args.profile,
            private_ip=slot.address,
            user_data=args.user_data,
        )
        volume = aws.ebs.Volume(
            f"{name}-data",
            availability_zone=slot.subnet.place,
            size=args.data_gb,
            type=VOLUME_TYPE,
            encrypted=True,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.machine.protect),
        )
        aws.ec2.VolumeAttachment(
            f"{name}-data",
            device_name=DEVICE,
            instance_id=self.instance.id,
            volume_id=volume.id,
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.carrier: pulumi.Output[str] = pulumi.Output.from_input("")
        if args.border_group:
            address = aws.ec2.Eip(
                f"{name}-carrier",
                domain="vpc",
                network_border_group=args.border_group,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, protect=args.machine.protect),
            )
            aws.ec2.EipAssociation(
                f"{name}-carrier", allocation_id=address.id, instance_id=self.instance.id, opts=under
            )
            self.carrier = address.carrier_ip
        self.register_outputs({"instance": self.instance.id, "carrier": self.carrier})


def machine(
    name: str,
    args: MachineArgs,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
    *,
    subnet: pulumi.Input[str],
    groups: Sequence[pulumi.Input[str]],
    profile: pulumi.Input[str],
    private_ip: str | None = None,
    user_data: pulumi.Input[str] | None = None,
    public: bool = False,
) -> aws.ec2.Instance:
    """A machine as the house has them: metadata by token only, an encrypted disk, recovered by AWS where it can."""
    return aws.ec2.Instance(
        name,
        ami=args.image,
        instance_type=args.machine,
        metadata_options={"http_tokens": "required", "http_endpoint": "enabled", "http_put_response_hop_limit": 1},
        root_block_device={
            "encrypted": True,
            "volume_size": args.root_gb,
            "volume_type": VOLUME_TYPE,
            "delete_on_termination": True,
            "tags": tags,
        },
        maintenance_options={"auto_recovery": "default"},
        disable_api_termination=args.protect,
        tags=tags,
        subnet_id=subnet,
        private_ip=private_ip,
        associate_public_ip_address=public,
        vpc_security_group_ids=groups,
        iam_instance_profile=profile,
        user_data=user_data,
        user_data_replace_on_change=False,
        opts=opts,
    )
