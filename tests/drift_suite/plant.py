"""``python -m tests.drift_suite.plant ROOM NAME WHERE GIVEN…``: make one change, as somebody without a program would.

The cloud is changed by AWS's API and Atlas's, a store by MongoDB's, a checkout by an editor. This process knows nothing
of who looks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.drift_suite.changes import ASK, ATLAS, CLOCK, CLOUD, FLEET, PACKAGE, PROGRAM, PROGRAMS, SKIP, STORE, WAIVER
from tests.drift_suite.plant_atlas import in_atlas

EVERYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ASKING_SECONDS, ASKING_PAUSE = 40.0, 0.1
"""For how long somebody asks prod for something else, while a release is rolled out there."""
WRONG_CLOCK, WRONG_BY = Path(__file__).with_name("wrong_clock.c"), 47
"""What the programs of a node load that has the wrong time, and by how many seconds it is wrong."""
OTHER = "arn:aws:iam::666666666666:root"
MINE = [{"Key": "turnabout:environment", "Value": "prod"}]


def in_cloud(name: str, ids: dict[str, str], given: list[str]) -> None:
    """``ids`` are the cloud's own, by kind and logical name; what is given by no such name is given as it is."""
    import boto3

    ec2, ssm = boto3.client("ec2"), boto3.client("ssm")
    one, other = ([ids.get(each, each) for each in given] + ["", ""])[:2]
    match name:
        case "delete a rule":
            rule = ec2.describe_security_group_rules(SecurityGroupRuleIds=[one])["SecurityGroupRules"][0]
            revoke = ec2.revoke_security_group_egress if rule["IsEgress"] else ec2.revoke_security_group_ingress
            revoke(GroupId=rule["GroupId"], SecurityGroupRuleIds=[one])
        case "open a port to the world":
            port = {"IpProtocol": "tcp", "FromPort": int(other), "ToPort": int(other), **EVERYWHERE}
            ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=[port])
        case "let everything out":
            port = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, **EVERYWHERE}
            ec2.authorize_security_group_egress(GroupId=one, IpPermissions=[port])
        case "change a tag":
            ec2.create_tags(Resources=[one], Tags=[{"Key": "turnabout:environment:by", "Value": "hand"}])
        case "take a tag away":
            ec2.delete_tags(Resources=[one], Tags=[{"Key": "turnabout:app"}])
        case "resize a machine":
            ec2.stop_instances(InstanceIds=[one])
            ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t3.xlarge"})
            ec2.start_instances(InstanceIds=[one])
        case "put a machine into another group":
            ec2.modify_instance_attribute(InstanceId=one, Groups=[other])
        case "give machines public addresses":
            ec2.modify_subnet_attribute(SubnetId=one, MapPublicIpOnLaunch={"Value": True})
        case "send traffic another way":
            ec2.replace_route(RouteTableId=one, DestinationCidrBlock="0.0.0.0/0", GatewayId=other)
        case "delete a route":
            ec2.delete_route(RouteTableId=one, DestinationCidrBlock="0.0.0.0/0")
        case "add a route":
            ec2.create_route(RouteTableId=one, DestinationCidrBlock="203.0.113.0/24", GatewayId=other)
        case "add a subnet":
            ec2.create_subnet(VpcId=one, CidrBlock=other)
        case "add a group":
            ec2.create_security_group(VpcId=one, GroupName="by-hand", Description="a quick try")
        case "add a route table":
            ec2.create_route_table(VpcId=one)
        case "add a volume":
            tags = [{"ResourceType": "volume", "Tags": MINE}]
            ec2.create_volume(AvailabilityZone="us-east-1a", Size=10, TagSpecifications=tags)
        case "add an address":
            ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": MINE}])
        case "add a parameter":
            ssm.put_parameter(Name="/turnabout/prod/by-hand", Value="x", Type="String")
        case "delete a parameter":
            ssm.delete_parameter(Name=one)
        case "take an address from a machine":
            ec2.disassociate_address(AssociationId=one)
        case "detach a volume":
            ec2.detach_volume(VolumeId=one, InstanceId=other)
        case "detach the way to the internet":
            ec2.detach_internet_gateway(InternetGatewayId=one, VpcId=other)
        case _:
            beside_ec2(name, one, other)


def beside_ec2(name: str, one: str, other: str) -> None:
    import boto3

    iam, s3, balancers, watch = (boto3.client(service) for service in ("iam", "s3", "elbv2", "cloudwatch"))
    match name:
        case "make a role mighty":
            iam.attach_role_policy(RoleName=one, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        case "let another account in":
            who = {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"AWS": OTHER},
            }
            document = json.dumps({"Version": "2012-10-17", "Statement": [who]})
            iam.update_assume_role_policy(RoleName=one, PolicyDocument=document)
        case "let a role do more":
            at = {"RoleName": one, "PolicyName": iam.list_role_policies(RoleName=one)["PolicyNames"][0]}
            document = iam.get_role_policy(**at)["PolicyDocument"]
            document["Statement"].append({"Effect": "Allow", "Action": "*", "Resource": "*"})
            iam.put_role_policy(**at, PolicyDocument=json.dumps(document))
        case "open the bucket":
            shut = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
            s3.put_public_access_block(Bucket=one, PublicAccessBlockConfiguration={**shut, "BlockPublicPolicy": False})
        case "stop keeping versions":
            s3.put_bucket_versioning(Bucket=one, VersioningConfiguration={"Status": "Suspended"})
        case "take the bucket's guard away":
            s3.delete_bucket_policy(Bucket=one)
        case "keep old versions for a day":
            rules = s3.get_bucket_lifecycle_configuration(Bucket=one)["Rules"]
            rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] = 1
            s3.put_bucket_lifecycle_configuration(Bucket=one, LifecycleConfiguration={"Rules": rules})
        case "delete what a node fetches":
            s3.delete_object(Bucket=one, Key="nodes/bos-b/haproxy.cfg")
        case "take a machine from the balancer":
            balancers.deregister_targets(TargetGroupArn=one, Targets=[{"Id": other, "Port": 80}])
        case "ask for health elsewhere":
            balancers.modify_target_group(TargetGroupArn=one, HealthCheckPath="/")
        case "let the balancer be deleted":
            switch = [{"Key": "deletion_protection.enabled", "Value": "false"}]
            balancers.modify_load_balancer_attributes(LoadBalancerArn=one, Attributes=switch)
        case "raise an alarm's threshold":
            (known,) = watch.describe_alarms(AlarmNames=[one])["MetricAlarms"]
            keys = ("AlarmName", "Namespace", "MetricName", "Statistic", "ComparisonOperator", "Period", "AlarmActions",
                    "EvaluationPeriods", "Dimensions")  # fmt: skip
            watch.put_metric_alarm(**{key: known[key] for key in keys}, Threshold=9)
        case "delete an alarm":
            watch.delete_alarms(AlarmNames=[one])
        case _:
            raise LookupError(name)


def in_fleet(name: str, facts: dict[str, Any], node: str) -> None:
    """By a shell on a node, or by a push past everybody; ``facts`` is what whoever has that shell knows."""
    if name == SKIP:
        clone = Path(facts["clone"])
        git = ["git", "-C", str(clone), "-c", "user.name=eve", "-c", "user.email=eve@example.com"]
        for argv in (["fetch", "--quiet", "origin", "prod"], ["checkout", "--quiet", "-B", "prod", "FETCH_HEAD"]):
            subprocess.run([*git, *argv], check=True)
        answer = clone / "apps" / "toy" / "answer.py"
        answer.write_text("# straight to prod\n" + answer.read_text())
        subprocess.run([*git, "commit", "--quiet", "--all", "--message", "Straight to prod"], check=True)
        subprocess.run([*git, "push", "--quiet", "origin", "prod"], check=True)
        return
    if name == ASK:
        asked_for_parts(facts["fronts"])
        return
    known = facts["nodes"][node]
    root, running = Path(known["root"]), known["running"]
    tree = root / "store" / "releases" / running.removeprefix("sha256:") / "tree" / "apps" / "toy"
    match name:
        case "patch a file":
            (tree / "answer.py").write_text((tree / "answer.py").read_text() + "\n# quick fix\n")
        case "leave a file behind":
            (tree / "answer.py.orig").write_text("what was there before\n")
        case "delete a file":
            (tree / "probe.py").unlink()
        case "go back by hand":
            other = next(digest for digest in known["staged"] if digest != running)
            argv = [*facts["program"], str(root), "return", "--from", running, "--to", other, "--token", "hand"]
            subprocess.run([*argv, "--generation", str(known["generation"])], check=True)
        case "install an older library":
            for folder in root.glob("store/dependencies/*/dependable-1.0.dist-info"):
                older = folder.rename(folder.with_name("dependable-0.9.dist-info"))
                record = older / "RECORD"  # as whatever installs the older one writes it
                record.write_text(record.read_text().replace("dependable-1.0", "dependable-0.9"))
        case "patch a library":
            for file in root.glob("store/dependencies/*/dependable/__init__.py"):
                file.write_text(file.read_text() + "\n# quick fix\n")
        case "change the balancer":
            config = root / "haproxy.cfg"
            config.write_text(config.read_text().replace("    timeout client ", "    timeout client 7s #", 1))
        case str(clock) if clock == CLOCK:
            library = root / "wrong_clock.so"
            made = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(WRONG_CLOCK), "-ldl"]
            subprocess.run(made, check=True, capture_output=True)
            # every command that reaches the node is run there with this clock, as it would be on such a machine
            (root / "instead").write_text(f"export LD_PRELOAD={library} CLOCK_WRONG_BY={WRONG_BY}\n")
        case str(package) if package == PACKAGE:
            # the node's own record of what is installed, which dpkg asks there from now on
            own = root / "dpkg"
            own.mkdir(exist_ok=True)
            known_there = Path("/var/lib/dpkg/status").read_text()
            (own / "status").write_text(known_there.replace("\nVersion: ", "\nVersion: 99:", 1))
            (root / "instead").write_text(f"export DPKG_ADMINDIR={own}\n")
        case _:
            raise LookupError(name)


def asked_for_parts(fronts: list[str]) -> None:
    end, number = time.monotonic() + ASKING_SECONDS, 0
    while time.monotonic() < end:
        number += 1
        for front in fronts:
            try:
                urllib.request.urlopen(f"http://{front}/parts/{number}", timeout=4).read()
            except (urllib.error.URLError, OSError):
                continue  # a node that is being changed serves nobody
        time.sleep(ASKING_PAUSE)


def in_store(name: str, port: int) -> None:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
        database = client["c360"]
        orders, at = database["orders"], {"db": "c360", "collection": "orders"}
        match name:
            case "drop an index":
                orders.drop_index("by_customer")
            case "turn an index round":
                orders.drop_index("by_customer")
                orders.create_index([("customer", 1), ("at", 1)], name="by_customer")
            case "make an index unique":
                orders.drop_index("by_customer")
                orders.create_index([("customer", 1), ("at", -1)], name="by_customer", unique=True)
            case "add an index":
                orders.create_index("cents", name="by_hand")
            case "take the validator away":
                database.command("collMod", "orders", validator={})
            case "loosen the validator":
                database.command("collMod", "orders", validator={"cents": {"$gte": -1000}})
            case "let readers write":
                database.command(
                    "grantPrivilegesToRole", "reader", privileges=[{"resource": at, "actions": ["insert"]}]
                )
            case "drop the role":
                database.command("dropRole", "reader")
            case "add a role":
                every = [{"resource": at, "actions": ["find", "remove"]}]
                database.command("createRole", "intruder", privileges=every, roles=[])
            case "write another type":
                for document in list(orders.find()):
                    orders.update_one({"_id": document["_id"]}, {"$set": {"at": str(document["at"])}})
            case "drop the collection":
                orders.drop()
            case _:
                raise LookupError(name)


def in_program(name: str, checkout: Path) -> None:
    """Somebody makes a value depend on the environment's name."""
    file, text, _, _, by_name = PROGRAMS[name]
    path = checkout / "infra" / file
    source = path.read_text()
    assert text in source, text
    path.write_text(source.replace(text, by_name))


def in_waivers(name: str, checkout: Path) -> None:
    written = {
        "let a waiver run out": '[[waiver]]\nmatch = "runtime prod bos-c kernel"\nreason = "soon"\nowner = "ops"\n'
        "expires = 2024-01-31\n",
        "break the file": "[[waiver]\n",
    }
    (checkout / "environments" / "waivers.toml").write_text(written[name])


def main(room: str, name: str, where: str, *given: str) -> None:
    if room == CLOUD:
        in_cloud(name, json.loads(Path(where).read_text()), list(given))
    elif room == ATLAS:
        in_atlas(name, where, *given)
    elif room == STORE:
        in_store(name, int(where))
    elif room == FLEET:
        in_fleet(name, json.loads(Path(where).read_text()), *given or [""])
    elif room == PROGRAM:
        in_program(name, Path(where))
    elif room == WAIVER:
        in_waivers(name, Path(where))
    else:
        raise LookupError(room)


if __name__ == "__main__":
    main(*sys.argv[1:])
