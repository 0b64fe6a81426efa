"""What services beside EC2 say they have of one environment: balancers, rights, buckets, alarms, budgets.

None of them can be limited to a network, so each is asked for what it lists in few calls, and what is not the
environment's is left out: by its network, its machines, its tag. What one thing costs in calls is said beside each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.drift.resources import flat
from controller.drift.same import Live
from controller.observers.aws_calls import Calls, Json

TAG = "turnabout:environment"
MANY = 20
"""Balancers and the like whose tags one call may ask for."""
OBJECTS = ("program/", "nodes/")
"""Where in a bucket a program puts objects; releases are the controller's."""
SHUT = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
ALARM = ("Namespace", "MetricName", "Statistic", "ComparisonOperator", "Threshold", "Period", "EvaluationPeriods")
DROPS, LASTS, WAITS = (
    "routing.http.drop_invalid_header_fields.enabled", "deletion_protection.enabled",
    "deregistration_delay.timeout_seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the environment before these services are asked."""

    environment: str
    account: str
    networks: frozenset[str]
    machines: frozenset[str]


@dataclass(frozen=True, slots=True)
class Service:
    kinds: tuple[str, ...]
    look: Callable[[Calls, Seen], list[Live]]


def live(kind: str, id: str, values: Json, arn: str = "") -> Live:
    return Live(kind, id, dict(flat(values)), arn)


def spelled(value: Any) -> Any:
    """AWS's names as the program has them: ``NoncurrentDays`` is ``noncurrentDays``, ``ID`` is ``id``."""
    if isinstance(value, dict):
        return {key.lower() if key.isupper() else key[0].lower() + key[1:]: spelled(one) for key, one in value.items()}
    return [spelled(one) for one in value] if isinstance(value, list) else value


# ---- balancers: one call for each list, and for each balancer its listeners and switches, each group its targets


BALANCER, LISTENER, GROUP, TARGET = (
    "aws.lb.LoadBalancer", "aws.lb.Listener", "aws.lb.TargetGroup", "aws.lb.TargetGroupAttachment",
)  # fmt: skip


def balancers(calls: Calls, seen: Seen) -> list[Live]:
    listed = {
        kind: [one for one in calls.all("elbv2", call, many) if one.get("VpcId") in seen.networks]
        for kind, call, many in (
            (BALANCER, "describe_load_balancers", "LoadBalancers"), (GROUP, "describe_target_groups", "TargetGroups"),
        )
    }  # fmt: skip
    listeners = [
        one
        for balancer in listed[BALANCER]
        for one in calls.all("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=balancer["LoadBalancerArn"])
    ]
    arns = [one["LoadBalancerArn"] for one in listed[BALANCER]] + [one["TargetGroupArn"] for one in listed[GROUP]]
    tags = tags_by_arn(calls, [*arns, *(one["ListenerArn"] for one in listeners)])
    found = [balancer(calls, one, tags) for one in listed[BALANCER]]
    found += [listener(one, tags) for one in listeners]
    for one in listed[GROUP]:
        found += [group(calls, one, tags), *targets(calls, one["TargetGroupArn"])]
    return found


def tags_by_arn(calls: Calls, arns: list[str]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for at in range(0, len(arns), MANY):
        for one in calls.all("elbv2", "describe_tags", "TagDescriptions", ResourceArns=arns[at : at + MANY]):
            found[one["ResourceArn"]] = own_tags(one)
    return found


def own_tags(one: Json) -> Json:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags") or [] if not tag["Key"].startswith("aws:")}


def switches(calls: Calls, call: str, **which: str) -> dict[str, str]:
    answer = calls.one("elbv2", call, **which) or {}
    return {one["Key"]: one["Value"] for one in answer.get("Attributes", ())}


def balancer(calls: Calls, one: Json, tags: dict[str, Json]) -> Live:
    arn = one["LoadBalancerArn"]
    on = switches(calls, "describe_load_balancer_attributes", LoadBalancerArn=arn)
    return live(BALANCER, arn, {
        "internal": one["Scheme"] == "internal", "loadBalancerType": one["Type"],
        "subnets": [zone["SubnetId"] for zone in one["AvailabilityZones"]],
        "securityGroups": one.get("SecurityGroups", []), "dropInvalidHeaderFields": on.get(DROPS) == "true",
        "enableDeletionProtection": on.get(LASTS) == "true", "tags": tags.get(arn, {}),
    }, arn)  # fmt: skip


def listener(one: Json, tags: dict[str, Json]) -> Live:
    actions = [{"type": each["Type"], "targetGroupArn": each.get("TargetGroupArn")} for each in one["DefaultActions"]]
    certificates = [each["CertificateArn"] for each in one.get("Certificates") or ()]
    said = {"loadBalancerArn": one["LoadBalancerArn"], "port": one["Port"], "protocol": one["Protocol"]}
    said |= {"certificateArn": certificates[0], "sslPolicy": one.get("SslPolicy")} if certificates else {}
    values = {**said, "defaultActions": actions, "tags": tags.get(one["ListenerArn"], {})}
    return live(LISTENER, one["ListenerArn"], values, one["ListenerArn"])


def group(calls: Calls, one: Json, tags: dict[str, Json]) -> Live:
    arn = one["TargetGroupArn"]
    waits = switches(calls, "describe_target_group_attributes", TargetGroupArn=arn).get(WAITS)
    return live(GROUP, arn, {
        "port": one["Port"], "protocol": one["Protocol"], "vpcId": one["VpcId"], "targetType": one["TargetType"],
        "healthCheck": {
            "path": one.get("HealthCheckPath"), "interval": one["HealthCheckIntervalSeconds"],
            "timeout": one["HealthCheckTimeoutSeconds"], "unhealthyThreshold": one["UnhealthyThresholdCount"],
        },
        "deregistrationDelay": int(waits) if waits else None, "tags": tags.get(arn, {}),
    }, arn)  # fmt: skip


def targets(calls: Calls, arn: str) -> Iterator[Live]:
    health = calls.one("elbv2", "describe_target_health", TargetGroupArn=arn) or {}
    for one in health.get("TargetHealthDescriptions", ()):
        target = one["Target"]
        if (one.get("TargetHealth") or {}).get("State") != "draining":
            values = {"targetGroupArn": arn, "targetId": target["Id"], "port": target["Port"]}
            yield live(TARGET, f"{arn}|{target['Id']}", values)


# ---- rights: one call for all roles of the account, with their policies and profiles


ROLE, POLICY, ATTACHED, PROFILE = (
    "aws.iam.Role", "aws.iam.RolePolicy", "aws.iam.RolePolicyAttachment", "aws.iam.InstanceProfile",
)  # fmt: skip


def rights(calls: Calls, seen: Seen) -> list[Live]:
    listed = calls.all("iam", "get_account_authorization_details", "RoleDetailList", Filter=["Role"])
    return [one for role in listed if own_tags(role).get(TAG) == seen.environment for one in of_role(role)]


def of_role(role: Json) -> Iterator[Live]:
    name = role["RoleName"]
    said = {"assumeRolePolicy": role["AssumeRolePolicyDocument"], "tags": own_tags(role)}
    yield live(ROLE, name, said, role["Arn"])
    for one in role.get("RolePolicyList") or ():
        yield live(POLICY, f"{name}|{one['PolicyName']}", {"role": name, "policy": one["PolicyDocument"]})
    for one in role.get("AttachedManagedPolicies") or ():
        yield live(ATTACHED, f"{name}|{one['PolicyArn']}", {"role": name, "policyArn": one["PolicyArn"]})
    for one in role.get("InstanceProfileList") or ():
        yield live(PROFILE, one["InstanceProfileName"], {"role": name}, one["Arn"])


# ---- buckets: one call for those with the tag, and seven for each


BUCKET, VERSIONS, DOORS, AGES, GUARD, OBJECT = (
    "aws.s3.Bucket", "aws.s3.BucketVersioning", "aws.s3.BucketPublicAccessBlock", "aws.s3.BucketLifecycleConfiguration",
    "aws.s3.BucketPolicy", "aws.s3.BucketObjectv2",
)  # fmt: skip


def buckets(calls: Calls, seen: Seen) -> list[Live]:
    listed = calls.all(
        "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
        ResourceTypeFilters=["s3"], TagFilters=[{"Key": TAG, "Values": [seen.environment]}],
    )  # fmt: skip
    those = [one for one in listed if "/" not in one["ResourceARN"]]  # an object may carry the tag as well
    return [each for one in those for each in of_bucket(calls, one["ResourceARN"].rpartition(":")[2], own_tags(one))]


def of_bucket(calls: Calls, name: str, tags: Json) -> Iterator[Live]:
    at = {"bucket": name}
    yield live(BUCKET, name, {"tags": tags}, f"arn:aws:s3:::{name}")
    status = (calls.one("s3", "get_bucket_versioning", Bucket=name) or {}).get("Status", "Disabled")
    yield live(VERSIONS, name, {**at, "versioningConfiguration": {"status": status}})
    if doors := calls.one("s3", "get_public_access_block", Bucket=name):
        shut = doors["PublicAccessBlockConfiguration"]
        yield live(DOORS, name, {**at, **{key[0].lower() + key[1:]: shut.get(key, False) for key in SHUT}})
    if ages := calls.one("s3", "get_bucket_lifecycle_configuration", Bucket=name):
        yield live(AGES, name, {**at, "rules": spelled(ages["Rules"])})
    if guard := calls.one("s3", "get_bucket_policy", Bucket=name):
        yield live(GUARD, name, {**at, "policy": guard["Policy"]})
    for prefix in OBJECTS:
        for one in calls.all("s3", "list_objects_v2", "Contents", Bucket=name, Prefix=prefix):
            yield live(OBJECT, f"{name}|{one['Key']}", {**at, "key": one["Key"]})


# ---- alarms and budgets: one call for all alarms, one for all budgets of the account


ALARMS, BUDGET = "aws.cloudwatch.MetricAlarm", "aws.budgets.Budget"


def alarms(calls: Calls, seen: Seen) -> list[Live]:
    """Those of the environment's machines. Their tags would be a call for each, and are not compared."""
    found = []
    for one in calls.all("cloudwatch", "describe_alarms", "MetricAlarms"):
        dimensions = {each["Name"]: each["Value"] for each in one.get("Dimensions") or ()}
        if dimensions.get("InstanceId") in seen.machines:
            said = {name: one.get(name) for name in ALARM}
            actions = one.get("AlarmActions") or [] if one.get("ActionsEnabled", True) else []
            values = {**spelled(said), "alarmActions": actions, "dimensions": dimensions}
            found.append(live(ALARMS, one["AlarmName"], values, one["AlarmArn"]))
    return found


def budgets(calls: Calls, seen: Seen) -> list[Live]:
    listed = calls.all("budgets", "describe_budgets", "Budgets", AccountId=seen.account)
    mine = f"user:{TAG}${seen.environment}"
    return [
        live(BUDGET, one["BudgetName"], {
            "budgetType": one["BudgetType"], "timeUnit": one["TimeUnit"], "limitUnit": one["BudgetLimit"]["Unit"],
            "limitAmount": f"{float(one['BudgetLimit']['Amount']):g}",
        })
        for one in listed if mine in (one.get("CostFilters") or {}).get("TagKeyValue", ())
    ]  # fmt: skip


SERVICES = (
    Service((BALANCER, LISTENER, GROUP, TARGET), balancers),
    Service((ROLE, POLICY, ATTACHED, PROFILE), rights),
    Service((BUCKET, VERSIONS, DOORS, AGES, GUARD, OBJECT), buckets),
    Service((ALARMS,), alarms),
    Service((BUDGET,), budgets),
)
