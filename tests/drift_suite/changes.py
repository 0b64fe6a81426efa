"""What somebody changes by hand: each change by its name, what it is done to, and the findings that must name it.

Nothing is changed here. ``plant`` makes a change, in a process of its own; the list that is drawn from this is written
down before anybody looks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

CLOUD, ATLAS, STORE, FLEET, PROGRAM, WAIVER = "cloud", "atlas", "store", "fleet", "program", "waiver"
SKIP, CLOCK, PACKAGE = "bring a release past stage", "set the clock wrong", "install a newer package"
ASK = "ask prod for something else"


@dataclass(frozen=True, slots=True)
class Change:
    """``expects`` has a part of the name of each finding that the change must bring, and no other may come."""

    room: str
    name: str
    expects: tuple[str, ...]
    given: tuple[str, ...] = field(default=())


NODES = ("bos-a", "bos-b", "bos-c", "dfw-a", "dfw-b", "dfw-c", "region-a", "region-b", "region-c")
RULES = (
    "Ingress BOS-nodes-in-front-1883", "Ingress DFW-nodes-in-front-1883", "Ingress BOS-nodes-in-controllers-observe",
    "Ingress region-balancer-in-clients", "Egress BOS-nodes-out-https", "Egress DFW-nodes-out-far-store",
)  # fmt: skip
GROUPS = ("BOS-nodes", "DFW-nodes", "region-nodes", "controllers")
TAGGED = (
    "Vpc network", "Subnet BOS-us-east-1-wl1-bos-wlz-1", "SecurityGroup region-balancer", "RouteTable network-private",
    "InternetGateway network-internet", "NatGateway network-out", "Volume dfw-a-data", "Eip dfw-a-carrier",
    "Instance region-b",
)  # fmt: skip


def changes(seed: int) -> tuple[Change, ...]:
    """Every change, in an order and on things that the seed decides."""
    chance = random.Random(seed)
    made = [*cloud(chance), *beside(chance), *store(), *fleet(chance), *program(), *waivers(), *atlas()]
    rooms = {room: [change for change in made if change.room == room] for room in dict.fromkeys(c.room for c in made)}
    return tuple(change for of in rooms.values() for change in chance.sample(of, len(of)))


def cloud(chance: random.Random) -> Iterator[Change]:
    for rule in RULES:
        direction, _, name = rule.partition(" ")
        yield Change(
            CLOUD, "delete a rule", (f"SecurityGroup{direction}Rule {name}",), (f"SecurityGroup{direction}Rule {name}",)
        )
    for group, port in zip(GROUPS, chance.sample((22, 23, 3389, 5432, 6379, 27017), 4), strict=True):
        yield Change(CLOUD, "open a port to the world", ("IngressRule sgr-",), (f"SecurityGroup {group}", str(port)))
    for group in chance.sample(GROUPS, 2):
        yield Change(CLOUD, "let everything out", ("EgressRule sgr-",), (f"SecurityGroup {group}",))
    for thing in TAGGED:
        kind, _, name = thing.partition(" ")
        yield Change(CLOUD, "change a tag", (f"{kind} {name} tags.turnabout:environment:by",), (thing,))
    for node in chance.sample(NODES[:6], 2):
        yield Change(CLOUD, "take a tag away", (f"Instance {node} tags.turnabout:app",), (f"Instance {node}",))
    for node in chance.sample(NODES[6:], 2):
        yield Change(CLOUD, "resize a machine", (f"Instance {node} instanceType",), (f"Instance {node}",))
    node = chance.choice(NODES[3:6])
    groups = (f"Instance {node}", "SecurityGroup controllers")
    yield Change(CLOUD, "put a machine into another group", (f"Instance {node} vpcSecurityGroupIds",), groups)
    for subnet in ("network-public-us-east-1a", "region-us-east-1b"):
        expects = (f"Subnet {subnet} mapPublicIpOnLaunch",)
        yield Change(CLOUD, "give machines public addresses", expects, (f"Subnet {subnet}",))
    other = ("RouteTable network-private", "InternetGateway network-internet")
    yield Change(CLOUD, "send traffic another way", ("Route network-private-default natGatewayId",), other)
    yield Change(CLOUD, "delete a route", ("Route network-carrier-default",), ("RouteTable network-carrier",))
    yield Change(
        CLOUD, "add a route", ("aws.ec2.Route rtb-",), ("RouteTable network-public", "InternetGateway network-internet")
    )
    yield Change(CLOUD, "add a subnet", ("aws.ec2.Subnet subnet-",), ("Vpc network", "10.22.200.0/24"))
    yield Change(CLOUD, "add a group", ("aws.ec2.SecurityGroup sg-", "EgressRule sgr-"), ("Vpc network",))
    yield Change(CLOUD, "add a route table", ("aws.ec2.RouteTable rtb-",), ("Vpc network",))
    yield Change(CLOUD, "add a volume", ("aws.ebs.Volume vol-",))
    yield Change(CLOUD, "add an address", ("aws.ec2.Eip eipalloc-",))
    yield Change(CLOUD, "add a parameter", ("aws.ssm.Parameter /turnabout/prod/by-hand",))
    yield Change(CLOUD, "delete a parameter", ("Parameter release-c360",), ("/turnabout/prod/releases/c360",))
    for node in chance.sample(NODES[:3], 1):
        yield Change(
            CLOUD,
            "take an address from a machine",
            (f"EipAssociation {node}-carrier",),
            (f"EipAssociation {node}-carrier",),
        )
    node = chance.choice(NODES[3:6])
    attached = (f"Volume {node}-data", f"Instance {node}")
    yield Change(CLOUD, "detach a volume", (f"VolumeAttachment {node}-data",), attached)
    gateway = ("InternetGateway network-internet", "Vpc network")
    yield Change(CLOUD, "detach the way to the internet", ("InternetGateway network-internet vpcId",), gateway)


def beside(chance: random.Random) -> Iterator[Change]:
    """Balancers, rights, buckets, alarms."""
    role, node = chance.choice(("nodes-BOS", "nodes-DFW", "nodes-region")), chance.choice(NODES[6:])
    yield Change(CLOUD, "make a role mighty", ("iam.RolePolicyAttachment",), (f"Role {role}",))
    yield Change(CLOUD, "let another account in", (f"Role {role} assumeRolePolicy",), (f"Role {role}",))
    yield Change(CLOUD, "let a role do more", ("RolePolicy controllers policy",), ("Role controllers",))
    for name, expects in (
        ("open the bucket", "BucketPublicAccessBlock artifacts blockPublicPolicy"),
        ("stop keeping versions", "BucketVersioning artifacts versioningConfiguration"),
        ("take the bucket's guard away", "BucketPolicy artifacts"),
        ("keep old versions for a day", "BucketLifecycleConfiguration artifacts rules"),
    ):
        yield Change(CLOUD, name, (expects,), ("Bucket artifacts",))
    yield Change(CLOUD, "delete what a node fetches", ("BucketObjectv2 nodes/bos-b/",), ("Bucket artifacts",))
    target = ("TargetGroup region", f"Instance {node}")
    yield Change(CLOUD, "take a machine from the balancer", (f"TargetGroupAttachment {node}",), target)
    yield Change(CLOUD, "ask for health elsewhere", ("TargetGroup region healthCheck.path",), ("TargetGroup region",))
    yield Change(CLOUD, "let the balancer be deleted", ("region enableDeletion",), ("LoadBalancer region",))
    alarm = f"MetricAlarm alarms-{chance.choice(NODES)}-host"
    yield Change(CLOUD, "raise an alarm's threshold", (f"{alarm} threshold",), (alarm,))
    alarm = f"MetricAlarm alarms-{chance.choice(NODES)}-machine"
    yield Change(CLOUD, "delete an alarm", (alarm,), (alarm,))


def fleet(chance: random.Random) -> Iterator[Change]:
    """What somebody with a shell on a node does, and a release that goes its own way."""
    nodes = ("bos-a", "bos-b", "bos-c")
    for name, expects in (
        ("patch a file", "release prod {} toy files"),
        ("leave a file behind", "release prod {} toy files"),
        ("delete a file", "release prod {} toy files"),
        ("go back by hand", "release prod {} toy digest"),
        ("install an older library", "runtime prod {} library dependable"),
        ("patch a library", "release prod {} toy files"),
        ("change the balancer", "runtime prod {} balancer"),
        (CLOCK, "runtime prod {} clock"),
        (PACKAGE, "runtime prod {} packages"),
    ):
        node = chance.choice(nodes)
        yield Change(FLEET, name, (expects.format(node),), (node,))
    yield Change(FLEET, SKIP, ("history stage:prod toy",))
    yield Change(FLEET, ASK, ("traffic stage:prod toy paths other",))


def store() -> Iterator[Change]:
    for name, expects in (
        ("drop an index", "orders index by_customer"),
        ("turn an index round", "orders index by_customer"),
        ("make an index unique", "orders index by_customer"),
        ("add an index", "orders index by_hand"),
        ("take the validator away", "orders validator"),
        ("loosen the validator", "orders validator"),
        ("let readers write", "role reader"),
        ("drop the role", "role reader"),
        ("add a role", "role intruder"),
        ("write another type", "orders field at"),
    ):
        yield Change(STORE, name, (expects,))
    yield Change(STORE, "drop the collection", ("orders collection", "orders index by_customer", "orders validator"))


def atlas() -> Iterator[Change]:
    """What somebody changes in Atlas's project by its Admin API."""
    address, user, cluster = "ProjectIpAccessList", "DatabaseUser", "AdvancedCluster store"
    grows = "replicationSpecs[0].regionConfigs[0].autoScaling.computeMaxInstanceSize"
    for name, expects, given in (
        ("let everybody in", f"{address} 0.0.0.0/0", ()),
        ("let a network in as if it were a node", f"{address} 203.0.113.0/24", ("bos-a",)),
        ("shut a node out", f"{address} store-dfw-b", ("dfw-b",)),
        ("add a user", f"{user} admin/eve", ()),
        ("make a user mighty", f"{user} store-mqtt_bos roles[atlasAdmin]", ("nodes-BOS",)),
        ("give a user another's role", f"{user} store-c360_region roles[", ("nodes-region", "mqtt_dfw")),
        ("let a user into every cluster", f"{user} store-mqtt_dfw scopes", ("nodes-DFW",)),
        ("let a database role do more", "CustomDbRole store-mqtt_dfw actions[REMOVE]", ("mqtt_dfw",)),
        ("add a database role", "CustomDbRole by_hand", ()),
        ("let the cluster be terminated", f"{cluster} terminationProtectionEnabled", ()),
        ("stop continuous backups", f"{cluster} pitEnabled", ()),
        ("let the cluster grow larger", f"{cluster} {grows}", ()),
        ("keep backups for a day", "CloudBackupSchedule store restoreWindowDays", ()),
        ("maintain at noon", "MaintenanceWindow store hourOfDay", ()),
    ):
        yield Change(ATLAS, name, (expects,), given)


PROGRAMS = {
    "encrypt by name": ("slot.py", "encrypted=True,\n            tags=tags", "ebs.Volume", "encrypted",
                        'encrypted=args.labels.environment != "prod",\n            tags=tags'),
    "protect by name": ("slot.py", "disable_api_termination=args.protect", "ec2.Instance", "disableApiTermination",
                        'disable_api_termination=tags["turnabout:environment"] != "prod"'),
    "size by name": ("slot.py", "instance_type=args.machine", "ec2.Instance", "instanceType",
                     'instance_type="t3.xlarge" if tags["turnabout:environment"] == "prod" else args.machine'),
    "watch by name": ("alarms.py", "period=MINUTE", "cloudwatch.MetricAlarm", "period",
                      'period=MINUTE * (5 if self._args.labels.environment == "prod" else 1)'),
    "spend by name": ("alarms.py", "limit_amount=str(args.dollars)", "budgets.Budget", "limitAmount",
                      'limit_amount="9" if args.labels.environment == "prod" else str(args.dollars)'),
    "resolve by name": ("network.py", "enable_dns_support=True", "ec2.Vpc", "enableDnsSupport",
                        'enable_dns_support=args.labels.environment != "prod"'),
}  # fmt: skip
"""Name of a change: the file, a text in it, where the difference must be found, and what somebody makes of the text."""


def program() -> Iterator[Change]:
    for name, (_, _, kind, path, _) in PROGRAMS.items():
        yield Change(PROGRAM, name, (f"alignment prod aws.{kind}", path))


def waivers() -> Iterator[Change]:
    yield Change(WAIVER, "let a waiver run out", ("waiver runtime prod",))
    yield Change(WAIVER, "break the file", ("waiver prod not looked at",))
