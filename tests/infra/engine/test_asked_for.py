"""What an environment may ask for besides comes up by the engine as well, all of it at once; its state in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.account import Account

pytestmark = pytest.mark.timeout(600)
OPTIONAL = (
    "aws:ecr/repository:Repository",
    "aws:route53/record:Record",
    "aws:sns/topicSubscription:TopicSubscription",
    "mongodbatlas:index/privateLinkEndpointService:PrivateLinkEndpointService",
    "mongodbatlas:index/encryptionAtRest:EncryptionAtRest",
)


@pytest.fixture
def in_bucket(account: Account) -> Iterator[Account]:
    """The account with states in a versioned bucket, as the runbook wants them."""
    from tests.infra.account import IN_BUCKET

    with account.keeping_states_in(IN_BUCKET):
        yield account


def test_everything_that_may_be_asked_for_comes_up_together_with_its_state_in_a_bucket(in_bucket: Account) -> None:
    account = in_bucket
    account.make_environment("more")
    zone = account.aws.client("route53").create_hosted_zone(Name="more.example.com", CallerReference="more")
    hosted = zone["HostedZone"]["Id"].rpartition("/")[2]
    key = account.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    asked = {
        "budget_dollars": 'ssh_from = ["198.51.100.0/24"]\nssm_endpoints = true\nregistry = true\nbudget_dollars',
        "[infra.zones]": f'[infra.dns]\nhosted_zone = "{hosted}"\ndomain = "more.example.com"\n\n[infra.zones]',
        'tier = "M0"': f'tier = "M10"\nbackup = true\nprivate_link = true\nencryption_key = "{key}"',
    }
    with account.edited("more", asked):
        up, again = account.turnabout("up", "more"), account.turnabout("up", "more")
        refresh = account.turnabout("refresh", "more")

    assert up.code == 0, up.err
    assert (again.said, refresh.said) == ("more: nothing to do", "more: nothing to do"), again.out + refresh.out
    made = account.state("more")
    assert {one["type"] for one in made} >= set(OPTIONAL)
    assert len(account.there(made)) == len(made)
    destroyed = account.pulumi("destroy", "--yes", "--stack", "more")
    assert destroyed.code == 0, destroyed.out
    assert account.there(made) == []
    removed = account.pulumi("stack", "rm", "--yes", "--stack", "more")
    assert removed.code == 0, removed.err
    assert account.turnabout("preview", "more").err.startswith("more: There is no stack more in this backend.")
