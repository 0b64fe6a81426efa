"""What is refused before anything is made: a sentence with what to do, and a state that is as it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.account import Account

pytestmark = pytest.mark.timeout(600)


def test_a_machine_that_the_zone_does_not_offer_is_told_before_anything_is_made(empty: Account) -> None:
    with empty.edited("demo", {"[infra]": '[infra]\nnode_type = "m7i.metal"'}):
        refused = empty.turnabout("up", "demo")

    assert refused.code == 1
    assert "m7i.metal is not offered in us-east-1-wl1-mia-wlz-1" in refused.err
    assert empty.state("demo") == []


def test_a_zone_that_is_nowhere_is_told_before_anything_is_made(empty: Account) -> None:
    with empty.edited("demo", {"us-east-1-wl1-mia-wlz-1": "us-east-1-wl1-xyz-wlz-1"}):
        refused = empty.turnabout("up", "demo")

    assert (refused.code, refused.err) == (
        1,
        "demo: AWS does not have what demo asks for: 1 problem\n  - there is no zone us-east-1-wl1-xyz-wlz-1 in "
        "us-east-1; name one that `aws ec2 describe-availability-zones --all-availability-zones` lists\n",
    )
    assert empty.state("demo") == []


def test_a_zone_that_is_not_open_to_the_account_is_told_and_after_the_opt_in_the_same_command_goes_on(
    empty: Account,
) -> None:
    """On nothing, and on a stack that is up: its state stays as it is to the byte, and so does the cloud."""
    opt_in = "aws ec2 modify-availability-zone-group --group-name us-east-1-wl1 --opt-in-status opted-in"
    told = (
        "demo: AWS does not have what demo asks for: 1 problem\n  - us-east-1-wl1-mia-wlz-1 is not open to this "
        f"account; open it with `{opt_in}`\n"
    )

    def refused() -> None:
        before, done = empty.kept("demo"), len(empty.provider.done)
        empty.aws.shut("us-east-1-wl1")
        said = [empty.turnabout(verb, "demo") for verb in ("preview", "up")]
        assert [(ran.code, ran.err) for ran in said] == [(1, told)] * 2
        assert (empty.kept("demo"), len(empty.provider.done)) == (before, done)
        obey(empty, opt_in)

    refused()
    empty.comes_up_whole("demo")
    with empty.edited("demo", {"nodes_per_zone = 2": "nodes_per_zone = 3"}):
        refused()
        up = empty.turnabout("up", "demo")
        assert up.code == 0 and "+ mia-c (ec2 Instance)" in up.err
    assert len(empty.there(empty.state("demo"))) == len(empty.state("demo"))


def obey(account: Account, command: str) -> None:
    """Do what a sentence says to do by AWS's command line."""
    service, call, *words = command.split()[1:]
    flags = (re.sub(r"-?(\w+)", lambda part: part[1].capitalize(), flag[2:]) for flag in words[::2])
    asked = dict(zip(flags, words[1::2], strict=True))
    getattr(account.aws.client(service), call.replace("-", "_"))(**asked)


def test_a_region_that_aws_does_not_have_is_told_and_the_command_ends(empty: Account) -> None:
    elsewhere = {
        "[infra]": '[infra]\nregion = "us-north-1"',
        "us-east-1a": "us-north-1a",
        "us-east-1-wl1": "us-north-1-wl1",
    }
    with empty.edited("demo", elsewhere):
        refused = [empty.turnabout(verb, "demo") for verb in ("preview", "up")]

    told = "demo: AWS has no region us-north-1. Correct infra.region in environments/demo.toml or base.toml.\n"
    assert [(ran.code, ran.err) for ran in refused] == [(1, told)] * 2
    assert empty.state("demo") == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "operation error STS: GetCallerIdentity, https response error StatusCode: 403, api error ExpiredToken: The "
            "security token included in the request is expired",
            "demo: AWS's credentials have expired. Get new ones and run it again. What was made until then is "
            "recorded; the same command goes on from there.\n",
        ),
        (
            "No valid credential sources found. Please see the provider's documentation",
            "demo: There are no credentials for AWS here. Set AWS_PROFILE, or let the pipeline take its role, as "
            "docs/deploy.md says.\n",
        ),
    ],
    ids=["expired", "none"],
)
def test_credentials_that_aws_does_not_take_are_told_and_the_command_ends(empty: Account, said: str, told: str) -> None:
    def refuse(deed: str, name: str) -> None:
        if deed == "configure":
            raise RuntimeError(said)

    empty.provider.before = refuse
    refused = empty.turnabout("up", "demo")

    assert (refused.code, refused.err) == (1, told)
    assert empty.state("demo") == []


@pytest.mark.parametrize(
    ("without", "more", "told"),
    [
        (("MONGODB_ATLAS_CLIENT_SECRET",), {}, "MONGODB_ATLAS_CLIENT_SECRET is not set: the service account of"),
        (("PULUMI_CONFIG_PASSPHRASE",), {}, "kept: kept's secrets are behind a passphrase, and none is set"),
        ((), {"PULUMI_CONFIG_PASSPHRASE": "another"}, "kept: The passphrase is not the one that kept's secrets were"),
        (("PULUMI_BACKEND_URL",), {}, "kept: Pulumi does not know where states are kept; set PULUMI_BACKEND_URL"),
        ((), {"PATH": "/nowhere"}, "There is no pulumi on this machine. Install it"),
    ],
    ids=["no service account", "no passphrase", "another passphrase", "no backend", "no pulumi"],
)
def test_what_is_missing_around_it_is_told(
    account: Account, without: tuple[str, ...], more: dict[str, str], told: str
) -> None:
    account.make_environment("kept", "passphrase")
    refused = account.turnabout("preview", "kept", without=without, **more)

    assert refused.code == 1
    assert refused.err.startswith(told), refused.err
    assert "Traceback" not in refused.err


def test_a_stack_that_was_never_made_is_told(account: Account) -> None:
    refused = account.turnabout("preview", "nowhere")

    assert (refused.code, refused.err) == (
        1,
        "nowhere: There is no stack nowhere in this backend. Make it with `pulumi stack init nowhere` and write its "
        "configuration, as docs/deploy.md says.\n",
    )
