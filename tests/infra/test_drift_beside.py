"""Balancers, rights, buckets and alarms of an emulated cloud: changed by hand, found by their place, and ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
pytest.importorskip("moto")

from botocore.exceptions import ClientError

from controller.drift.finding import Finding, Severity
from controller.observers.aws import AwsAccount
from controller.observers.aws_beside import ALARMS, ATTACHED, GUARD, ROLE, TARGET
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.test_drift_live import Prod

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
OTHER = "arn:aws:iam::666666666666:root"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": OTHER}}],
}


@pytest.fixture(scope="module")
def prod() -> Iterator[Prod]:
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        yield Prod(cloud)


def role(prod: Prod, verb: str, **more: Any) -> None:
    getattr(prod.client("iam"), verb)(RoleName=prod.id("Role nodes-BOS"), **more)


def trust(prod: Prod, document: Any) -> None:
    role(prod, "update_assume_role_policy", PolicyDocument=json.dumps(document))


def rights(prod: Prod, change: Callable[[Any], None]) -> None:
    name = prod.client("iam").list_role_policies(RoleName=prod.id("Role nodes-BOS"))["PolicyNames"][0]
    at = {"RoleName": prod.id("Role nodes-BOS"), "PolicyName": name}
    document = prod.client("iam").get_role_policy(**at)["PolicyDocument"]
    change(document["Statement"][1]["Action"])
    prod.client("iam").put_role_policy(**at, PolicyDocument=json.dumps(document))


def doors(prod: Prod, shut: bool) -> None:
    keys = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    said = {**dict.fromkeys(keys, True), "BlockPublicPolicy": shut}
    prod.client("s3").put_public_access_block(Bucket=prod.id("Bucket artifacts"), PublicAccessBlockConfiguration=said)


def versions(prod: Prod, status: str) -> None:
    s3, bucket = prod.client("s3"), prod.id("Bucket artifacts")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def target(prod: Prod, verb: str) -> None:
    targets = [{"Id": prod.id("Instance region-a"), "Port": 80}]
    getattr(prod.client("elbv2"), verb)(TargetGroupArn=prod.id("TargetGroup region"), Targets=targets)


def health(prod: Prod, path: str) -> None:
    prod.client("elbv2").modify_target_group(TargetGroupArn=prod.id("TargetGroup region"), HealthCheckPath=path)


def lasting(prod: Prod, said: str) -> None:
    attributes = [{"Key": "deletion_protection.enabled", "Value": said}]
    balancer = prod.id("LoadBalancer region")
    prod.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=attributes)


def alarm(prod: Prod, **changed: Any) -> None:
    watch = prod.client("cloudwatch")
    (known,) = watch.describe_alarms(AlarmNames=[prod.id("MetricAlarm alarms-bos-a-machine")])["MetricAlarms"]
    keys = ("AlarmName", "Namespace", "MetricName", "Statistic", "ComparisonOperator", "Threshold", "Period",
            "EvaluationPeriods", "Dimensions")  # fmt: skip
    watch.put_metric_alarm(**({key: known[key] for key in keys} | {"AlarmActions": []} | changed))


Do = Callable[[Prod], None]
CHANGES: dict[str, tuple[Do, Do, str, Severity]] = {
    "let another account in": (
        lambda prod: trust(prod, TRUST),
        lambda prod: trust(prod, json.loads(json.dumps(TRUST).replace(
            f'"AWS": "{OTHER}"', '"Service": "ec2.amazonaws.com"'))),
        "aws.iam.Role nodes-BOS: assumeRolePolicy.Statement[0].Principal.AWS is not as declared", Severity.HIGH),
    "let a role write": (
        lambda prod: rights(prod, lambda actions: actions.append("s3:PutObject")),
        lambda prod: rights(prod, lambda actions: actions.remove("s3:PutObject")),
        "aws.iam.RolePolicy nodes-BOS: policy.Statement[1].Action[1] is not as declared", Severity.HIGH),
    "make a role mighty": (
        lambda prod: role(prod, "attach_role_policy", PolicyArn=ADMIN),
        lambda prod: role(prod, "detach_role_policy", PolicyArn=ADMIN),
        f"aws.iam.RolePolicyAttachment nodes-BOS-0f1e2d|{ADMIN} is declared by no program",
        Severity.HIGH),
    "open the bucket": (
        lambda prod: doors(prod, False), lambda prod: doors(prod, True),
        "aws.s3.BucketPublicAccessBlock artifacts: blockPublicPolicy is not as declared", Severity.HIGH),
    "stop keeping versions": (
        lambda prod: versions(prod, "Suspended"), lambda prod: versions(prod, "Enabled"),
        "aws.s3.BucketVersioning artifacts: versioningConfiguration.status is not as declared", Severity.HIGH),
    "take a machine from the balancer": (
        lambda prod: target(prod, "deregister_targets"), lambda prod: target(prod, "register_targets"),
        "aws.lb.TargetGroupAttachment region-a is gone", Severity.HIGH),
    "ask for health elsewhere": (
        lambda prod: health(prod, "/"), lambda prod: health(prod, "/ready"),
        "aws.lb.TargetGroup region: healthCheck.path is not as declared", Severity.MEDIUM),
    "let the balancer be deleted": (
        lambda prod: lasting(prod, "false"), lambda prod: lasting(prod, "true"),
        "aws.lb.LoadBalancer region: enableDeletionProtection is not as declared", Severity.HIGH),
    "raise an alarm's threshold": (
        lambda prod: alarm(prod, Threshold=5), lambda prod: alarm(prod, Threshold=1),
        "aws.cloudwatch.MetricAlarm alarms-bos-a-machine: threshold is not as declared", Severity.LOW),
    "tell somebody else of an alarm": (
        lambda prod: alarm(prod, AlarmActions=["arn:aws:sns:us-east-1:666666666666:mine"]), lambda prod: alarm(prod),
        "aws.cloudwatch.MetricAlarm alarms-bos-a-machine: alarmActions is not as declared", Severity.LOW),
}  # fmt: skip
"""What somebody does, how it is undone, what is found of it."""


@pytest.mark.parametrize("name", CHANGES)
def test_what_somebody_changed_is_found_by_its_place_and_is_over_when_it_is_undone(prod: Prod, name: str) -> None:
    does, undoes, what, weight = CHANGES[name]
    does(prod)
    try:
        found: list[Finding] = [*prod.look().findings]
        assert what in [one.what for one in found]
        assert {one.severity for one in found} == {weight}
    finally:
        undoes(prod)
    assert [one.what for one in prod.look().findings] == []


def test_only_what_carries_the_environments_tag_is_asked_about(prod: Prod) -> None:
    prod.client("s3").create_bucket(Bucket="somebody-elses")
    prod.client("iam").create_role(RoleName="somebody-elses", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert [one.what for one in prod.look().findings] == []


def test_a_bucket_that_lost_its_guard_is_gone_for_everybody_who_asks(prod: Prod) -> None:
    s3, bucket = prod.client("s3"), prod.id("Bucket artifacts")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    try:
        (one,) = prod.look().findings
        assert (one.what, one.removed, one.severity) == ("aws.s3.BucketPolicy artifacts is gone", True, Severity.HIGH)
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def test_a_service_that_the_account_may_not_ask_is_blind_and_the_others_are_seen(prod: Prod) -> None:
    class Shut:
        """IAM and CloudWatch for an account that may see neither."""

        def __getattr__(self, call: str) -> Any:
            def no(**asked: Any) -> Any:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"not {call}"}}, call)

            return no

    account = AwsAccount(lambda name: Shut() if name in ("iam", "cloudwatch") else prod.client(name)).look("prod")
    assert {ROLE, ATTACHED, ALARMS} <= account.blind.keys()
    assert not {TARGET, GUARD} & account.blind.keys()
    assert "not get_account_authorization_details" in account.blind[ROLE]
    assert len([one for one in account.found if one.kind == GUARD]) == 1


def test_ten_times_as_many_roles_and_alarms_cost_calls_by_the_hundred_only(prod: Prod) -> None:
    before = AwsAccount(prod.client).look("prod").calls
    for n in range(110):
        prod.client("cloudwatch").put_metric_alarm(
            AlarmName=f"others-{n}", Namespace="AWS/EC2", MetricName="CPUUtilization", Statistic="Maximum", Period=60,
            ComparisonOperator="GreaterThanThreshold", Threshold=1, EvaluationPeriods=1,
        )  # fmt: skip
    assert AwsAccount(prod.client).look("prod").calls <= before + 2
    assert [one.what for one in prod.look().findings] == []
