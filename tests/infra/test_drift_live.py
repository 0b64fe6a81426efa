"""What is declared against an emulated cloud in which it was made: changed by hand, found, and what cannot be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
pytest.importorskip("moto")

from botocore.exceptions import ClientError

from controller.drift import live
from controller.drift.finding import Finding, Kind, Severity
from controller.drift.resources import Resources, read
from controller.errors import Unreachable
from controller.observers.aws import AwsAccount
from environments.settings import written
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.filled import HOUSE, fill

Json = dict[str, Any]


class Prod:
    """The shipped prod as it was brought up, and the calls by which somebody changes it."""

    def __init__(self, cloud: EmulatedCloud) -> None:
        self.cloud, self.client = cloud, cache(cloud.direct)
        self.ids = fill(self.client, "prod")
        asked = json.dumps({"name": "prod", "table": written(HOUSE / "environments", "prod").table})
        run = [sys.executable, "-m", "infra.declared"]
        said = subprocess.run(run, input=asked, cwd=HOUSE, capture_output=True, text=True, check=True, timeout=120)
        self.declared: Resources = read(json.loads(said.stdout)["resources"])

    def look(self, clients: Callable[[str], Any] | None = None) -> live.Compared:
        return live.compare("prod", self.declared, AwsAccount(clients or self.client).look("prod"))

    def id(self, name: str) -> str:
        return self.ids[name]


@pytest.fixture(scope="module")
def prod() -> Iterator[Prod]:
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        yield Prod(cloud)


def found(prod: Prod) -> list[tuple[Kind, Severity, str]]:
    return [(one.kind, one.severity, one.what) for one in prod.look().findings]


def test_what_nobody_touched_is_as_declared_and_all_of_it_is_declared(prod: Prod) -> None:
    compared = prod.look()
    assert [one.what for one in compared.findings] == []
    assert compared.live == compared.managed > 100


def test_a_look_takes_few_calls_however_many_resources_there_are(prod: Prod) -> None:
    account = AwsAccount(prod.client)
    account.look("prod")
    assert account.calls <= 40
    with pytest.raises(Unreachable, match="that would be more than 3 calls"):
        AwsAccount(prod.client, most_calls=3).look("prod")


def test_a_rule_that_was_added_by_hand_is_declared_by_no_program_until_its_command_is_run(prod: Prod) -> None:
    ec2, group = prod.client("ec2"), prod.id("SecurityGroup BOS-nodes")
    open_ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[open_ssh])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    (one,) = prod.look().findings
    assert (one.kind, one.severity) == (Kind.UNMANAGED, Severity.HIGH)
    assert one.what == f"aws.vpc.SecurityGroupIngressRule {rule} is declared by no program"
    assert one.remedies[0].does == (
        f"aws ec2 revoke-security-group-ingress --group-id {group} --security-group-rule-ids {rule}"
    )
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
    assert found(prod) == []


def test_a_rule_that_was_taken_away_is_gone_and_no_waiver_hides_it(prod: Prod) -> None:
    ec2, group = prod.client("ec2"), prod.id("SecurityGroup BOS-nodes")
    rule = prod.id("SecurityGroupIngressRule BOS-nodes-in-front-1883")
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
    (one,) = prod.look().findings
    assert (one.what, one.removed) == ("aws.vpc.SecurityGroupIngressRule BOS-nodes-in-front-1883 is gone", True)
    assert one.differences[0].place.startswith("infra/firewall.py:")
    port = {"IpProtocol": "tcp", "FromPort": 1883, "ToPort": 1883, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    tags = [{"Key": "Name", "Value": "turnabout-prod-BOS-nodes"}, {"Key": "turnabout:environment", "Value": "prod"}]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[port],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": tags}],
    )
    assert found(prod) == []


def test_a_tag_and_a_size_that_were_changed_are_named_by_their_path(prod: Prod) -> None:
    ec2, machine = prod.client("ec2"), prod.id("Instance bos-a")
    ec2.create_tags(Resources=[machine], Tags=[{"Key": "turnabout:zone", "Value": "DFW"}])
    assert found(prod) == [(Kind.LIVE, Severity.LOW, "aws.ec2.Instance bos-a: tags.turnabout:zone is not as declared")]
    ec2.create_tags(Resources=[machine], Tags=[{"Key": "turnabout:zone", "Value": "BOS"}])
    assert found(prod) == []


def test_what_the_account_may_not_see_is_blind_and_everything_else_is_looked_at(prod: Prod) -> None:
    class Guarded:
        """EC2 as somebody sees it who may not describe rules."""

        def __getattr__(self, call: str) -> Any:
            if call == "describe_security_group_rules":
                return self.denied
            return getattr(prod.client("ec2"), call)

        def denied(self, **asked: Any) -> Any:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "You may not."}}, "Describe")

    guarded = Guarded()
    account = AwsAccount(lambda service: guarded if service == "ec2" else prod.client(service)).look("prod")
    assert account.blind == {
        f"aws.vpc.SecurityGroup{way}Rule": "UnauthorizedOperation: You may not." for way in ("Ingress", "Egress")
    }
    assert live.compare("prod", prod.declared, account).findings == ()


def test_answers_that_come_in_pages_are_read_to_their_end(prod: Prod) -> None:
    class Paged:
        """EC2 that says subnets one at a time."""

        def __getattr__(self, call: str) -> Any:
            return self.subnets if call == "describe_subnets" else getattr(prod.client("ec2"), call)

        def subnets(self, NextToken: str = "0", **asked: Any) -> Json:  # noqa: N803 - boto3's name
            every, at = prod.client("ec2").describe_subnets(**asked)["Subnets"], int(NextToken)
            more = {"NextToken": str(at + 1)} if at + 1 < len(every) else {}
            return {"Subnets": every[at : at + 1], **more}

    paged = Paged()
    account = AwsAccount(lambda service: paged if service == "ec2" else prod.client(service)).look("prod")
    assert live.compare("prod", prod.declared, account).findings == ()


def test_an_account_that_has_nothing_of_an_environment_is_one_finding(prod: Prod) -> None:
    (one,) = live.compare("stage", prod.declared, AwsAccount(prod.client).look("stage")).findings
    assert one.what == "nothing of stage is in the cloud"


def test_where_much_is_wrong_at_once_no_command_is_printed(prod: Prod) -> None:
    account = AwsAccount(prod.client).look("prod")
    few = replace(account, found=[one for one in account.found if one.kind == "aws.ec2.Vpc"])
    several: list[Finding] = [one for one in live.compare("prod", prod.declared, few).findings if one.kind is Kind.LIVE]
    assert len(several) > 50 and not any(one.remedies for one in several)
    assert "look whether this is the right account" in several[0].why
